"""A query's rows as a polars frame, for the sizes that people read; bulk goes through COPY (bulk.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import sqlalchemy as sa


def frame(connection: sa.Connection, sql: str, schema: Mapping[str, pl.DataType], **values: Any) -> pl.DataFrame:
    """The rows of `sql` as a frame of `schema`, columns in its order."""
    rows = connection.execute(sa.text(sql), values).all()
    return pl.DataFrame([tuple(row) for row in rows], schema=dict(schema), orient="row")
