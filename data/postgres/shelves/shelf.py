"""What every shelf has: a connection and three ways to ask it. SQL stands in the shelf that owns the noun."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa


@lru_cache(maxsize=2048)
def statement(sql: str) -> sa.TextClause:
    """`sql` made ready; what is asked again and again is read for its `:name`s once."""
    return sa.text(sql)


class Shelf:
    """A view of one noun inside an open transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection

    def rows(self, sql: str, **values: Any) -> Sequence[sa.Row[Any]]:
        """All rows of `sql`; `:name` stands for a value."""
        return self.connection.execute(statement(sql), values).all()

    def one(self, sql: str, **values: Any) -> sa.Row[Any] | None:
        """The only row of `sql`, or None."""
        return self.connection.execute(statement(sql), values).one_or_none()

    def execute(self, sql: str, **values: Any) -> int:
        """Run `sql` and say how many rows it touched."""
        return self.connection.execute(statement(sql), values).rowcount

    def execute_many(self, sql: str, batch: Sequence[dict[str, Any]]) -> None:
        """Run `sql` for every row of `batch`, pipelined by the driver. For tens of rows; bulk goes through COPY."""
        if batch:
            self.connection.execute(statement(sql), batch)
