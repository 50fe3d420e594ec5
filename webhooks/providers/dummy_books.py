"""The dummy company's books: one JSON file under COREHOURS_HOME, read and written whole under a lock.

Any number of processes of this machine share them. Development only: nothing here is money.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Record = dict[str, Any]
EMPTY: Record = {"number": 0, "checkouts": {}, "charges": {}, "refunds": {}, "disputes": {}, "lines": [], "fault": {},
                 "refunds_end": "arrive"}


class DummyBooks:
    """The file; `open()` for changes, `read()` to look."""

    def __init__(self, home: Path) -> None:
        self.path = home / "dummy" / "books.json"

    def read(self) -> Record:
        """What stands in it now."""
        with self.open() as held:
            return held

    @contextmanager
    def open(self) -> Iterator[Record]:
        """The books, ours alone until the block ends; what was changed is kept, unless the block raised."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            written = file.read()
            held = json.loads(written or json.dumps(EMPTY))
            yield held
            if (changed := json.dumps(held)) != written:
                file.seek(0)
                file.truncate()
                file.write(changed)


def new_id(held: Record, prefix: str) -> str:
    """The next name of its kind: `re_000012`."""
    held["number"] += 1
    return f"{prefix}_{held['number']:06}"
