"""Frames in and out of Postgres in bulk, by COPY in its CSV form, a slice at a time. Instants are Unix seconds in
frames and timestamptz in tables. Refuses to know what the columns mean.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from typing import Any

import polars as pl
import psycopg
import sqlalchemy as sa

INSTANTS = frozenset({"submit_at", "start_at", "end_at"})
SLICE = 16384                  # rows encoded at a time: keeps memory flat and the server busy


def copy_in(connection: sa.Connection, table: str, rows: pl.DataFrame, told: Callable[[int], None] | None = None) -> None:
    """Append `rows` to `table`, whose columns are named like the frame's; `told` hears how many are in."""
    names = ", ".join(f'"{name}"' for name in rows.columns)
    with _cursor(connection).copy(f'copy "{table}" ({names}) from stdin with (format csv)') as copy:
        for done, text in _encoded(rows):
            copy.write(text)
            if told:
                told(done)


def _encoded(rows: pl.DataFrame) -> Iterator[tuple[int, bytes]]:
    """Slices as CSV with how many rows they complete; the next one is made while the server takes the last."""
    ends = range(SLICE, len(rows) + SLICE, SLICE)
    with ThreadPoolExecutor(1) as ahead:
        waiting = deque[tuple[int, Future[bytes]]]()
        for end in ends:
            waiting.append((min(end, len(rows)), ahead.submit(as_csv, rows.slice(end - SLICE, SLICE))))
            if len(waiting) > 1:
                done, text = waiting.popleft()
                yield done, text.result()
        for done, text in waiting:
            yield done, text.result()


def as_csv(rows: pl.DataFrame) -> bytes:
    """CSV as COPY reads it: nothing for null, `""` for an empty text, instants as UTC times.

    NUL, which Postgres cannot keep in a text, becomes the replacement character.
    """
    out = BytesIO()
    instants = [pl.from_epoch(pl.col(name), time_unit="s") for name in rows.columns if name in INSTANTS]
    rows.with_columns(instants).write_csv(out, include_header=False, datetime_format="%Y-%m-%d %H:%M:%S")
    text = out.getvalue()
    return text.replace(b"\0", "�".encode()) if b"\0" in text else text


def copy_out(connection: sa.Connection, query: str, schema: Mapping[str, pl.DataType], **values: Any) -> pl.DataFrame:
    """The rows of `query` (`%(name)s` stands for a value) as a frame of `schema`, columns by position."""
    buffer = BytesIO()
    with _cursor(connection).copy(f"copy ({query}) to stdout with (format csv)", values) as copy:
        for block in copy:
            buffer.write(block)
    return _frame(buffer, schema)


def _frame(buffer: BytesIO, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    if not buffer.tell():
        return pl.DataFrame(schema=dict(schema))
    buffer.seek(0)
    flags = [name for name, dtype in schema.items() if dtype == pl.Boolean]
    texts = {name: pl.String() if name in flags else dtype for name, dtype in schema.items()}
    rows = pl.read_csv(buffer, has_header=False, schema=texts)
    return rows.with_columns(pl.col(name) == "t" for name in flags)


def _cursor(connection: sa.Connection) -> psycopg.ClientCursor[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return psycopg.ClientCursor(driver)


def as_columns(schema: Mapping[str, pl.DataType], table: str = "u") -> str:
    """The select list that reads `schema` from `table`: instants as Unix seconds."""
    return ", ".join(f"extract(epoch from {table}.{name})::bigint" if name in INSTANTS else f"{table}.{name}" for name in schema)
