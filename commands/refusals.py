"""How a command says no: one sentence on stderr and an exit code. Bugs keep their traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa
from pydantic import ValidationError

from engine.errors import BatchRefused, DomainError


@contextmanager
def told() -> Iterator[None]:
    """Turn a refusal in the block into its sentence and exit 1 (a batch that was set aside: 3)."""
    try:
        yield
    except DomainError as refusal:
        _leave(refusal.sentence, 3 if isinstance(refusal, BatchRefused) else 1)
    except ValidationError as wrong:
        _leave("; ".join(_setting(error) for error in wrong.errors()), 1)
    except sa.exc.OperationalError as error:
        if not isinstance(error.orig, psycopg.OperationalError) or error.orig.sqlstate:
            raise
        _leave(f"The database does not answer: {str(error.orig).splitlines()[0]}", 1)


def _setting(error: object) -> str:
    place, message = error["loc"], error["msg"].removeprefix("Value error, ")  # type: ignore[index]
    name = "_".join(map(str, place)).upper()
    known = name in ("", "DATABASE_URL") or name.startswith("COREHOURS_")
    return f"{name if known else f'COREHOURS_{name}'}: {message}".removeprefix(": ")


def _leave(sentence: str, code: int) -> None:
    print(sentence, file=sys.stderr)
    raise SystemExit(code)
