"""Frames in and out of Postgres: a query's rows as a polars frame, a frame's rows into a table by COPY."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import sqlalchemy as sa


def frame(connection: sa.Connection, sql: str, schema: Mapping[str, pl.DataType], **values: Any) -> pl.DataFrame:
    """The rows of `sql` as a frame of `schema`, columns in its order."""
    rows = connection.execute(sa.text(sql), values).all()
    return pl.DataFrame([tuple(row) for row in rows], schema=dict(schema), orient="row")


def copy_into(connection: sa.Connection, table: str, rows: pl.DataFrame) -> None:
    """Append `rows` to `table`, whose columns are named like the frame's; one COPY, all or nothing."""
    columns = ", ".join(f'"{name}"' for name in rows.columns)
    cursor = connection.connection.cursor()
    with cursor.copy(f'copy "{table}" ({columns}) from stdin with (format csv)') as copy:
        copy.write(rows.write_csv(include_header=False, quote_style="necessary").encode())
