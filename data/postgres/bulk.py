"""Frames in and out of Postgres in bulk, by COPY, a slice at a time: binary on the way in, CSV on the way out. Instants
are Unix seconds in frames and timestamptz in tables. Refuses to know what the columns mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import polars as pl
import psycopg
import sqlalchemy as sa

from data.postgres import binary

INSTANTS = frozenset({"submit_at", "start_at", "end_at"})
BLOCK = 2**24                   # bytes of CSV read at a time
SLICE = 65_536                  # rows encoded at a time: keeps memory flat and the server busy


def copy_in(connection: sa.Connection, table: str, rows: pl.DataFrame) -> None:
    """Append `rows` to `table`, whose columns are named like the frame's."""
    copy_slices(connection, table, rows.columns, (rows.slice(start, SLICE) for start in range(0, len(rows), SLICE)), silent)


def copy_slices(connection: sa.Connection, table: str, columns: Sequence[str], slices: Iterable[pl.DataFrame],
                told: Callable[[int], None], fresh: bool = False) -> None:
    """Append every frame of `slices`; the next is made and encoded while the server takes the last. `told` hears how
    many rows are in. What `slices` raises ends the COPY, and with it the transaction.

    The rows of a table whose file is `fresh`, made in this transaction, are written as they stay: nobody who reads them
    later, nor a vacuum, writes them once more.
    """
    names, types = ", ".join(f'"{name}"' for name in columns), _types(connection, table)
    statement = f'copy "{table}" ({names}) from stdin with (format binary, freeze {fresh})'
    with ThreadPoolExecutor(1) as ahead, _cursor(connection).copy(statement) as copy:
        copy.write(binary.HEADER)
        source, done = (rows.select(columns) for rows in slices if len(rows)), 0
        made = ahead.submit(_next, source, types)
        while (part := made.result()) is not None:
            made = ahead.submit(_next, source, types)
            copy.write(part[1])
            done += part[0]
            told(done)
        copy.write(binary.TRAILER)


def silent(_done: int) -> None:
    """Progress nobody asked for."""


def _next(source: Iterator[pl.DataFrame], types: Mapping[str, str]) -> tuple[int, memoryview] | None:
    rows = next(source, None)
    return None if rows is None else (len(rows), binary.encoded(rows, types))


def _types(connection: sa.Connection, table: str) -> dict[str, str]:
    rows = connection.execute(sa.text("select attname, format_type(atttypid, atttypmod) as kind from pg_attribute"
                                      " where attrelid = to_regclass(quote_ident(:name)) and attnum > 0"), {"name": table})
    return {row.attname: row.kind for row in rows}


def copy_out(connection: sa.Connection, query: str, schema: Mapping[str, pl.DataType], **values: Any) -> pl.DataFrame:
    """The rows of `query` (`%(name)s` stands for a value) as a frame of `schema`, columns by position."""
    buffer = BytesIO()
    with _cursor(connection).copy(f"copy ({query}) to stdout with (format csv)", values) as copy:
        for block in copy:
            buffer.write(block)
    return _frame(buffer, schema)


def copy_blocks(connection: sa.Connection, query: str, schema: Mapping[str, pl.DataType], **values: Any) -> Iterator[pl.DataFrame]:
    """The same in frames of about BLOCK bytes of text each, read as they are asked for: bounded memory, however many rows."""
    buffer = BytesIO()
    with _cursor(connection).copy(f"copy ({query}) to stdout with (format csv)", values) as copy:
        for line in copy:                       # a message of the server is a whole row
            buffer.write(line)
            if buffer.tell() >= BLOCK:
                yield _frame(buffer, schema)
                buffer = BytesIO()
    if buffer.tell():
        yield _frame(buffer, schema)


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
