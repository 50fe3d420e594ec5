"""DuckDB hashes all 70 MB of its extensions to see who signed them, a quarter of a second for each lake that is opened, however often
that was done before. Tests let it do so once; programs that they start with `python -m` do it as always.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import duckdb


@contextmanager
def believed(from_the_first: bool) -> Iterator[None]:
    """While the block runs, extensions are loaded unseen, but for the first connection where that is asked."""
    connect, believing = duckdb.connect, {"allow_unsigned_extensions": "true"} if from_the_first else {}

    def once(*words: Any, config: dict[str, str] | None = None, **more: Any) -> duckdb.DuckDBPyConnection:
        opened = connect(*words, config={**believing, **(config or {})}, **more)
        believing["allow_unsigned_extensions"] = "true"
        return opened
    with patch.object(duckdb, "connect", once):
        yield
