"""Batches on their way to the analytics copy. Written in the transaction of the change, copied after its commit."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import sqlalchemy as sa

from data.analytics.lake import Lake
from data.analytics.parts import Part
from data.postgres.shelves.shelf import Shelf


class LakeShelf(Shelf):
    """Hands differences to the copy. A batch that stays `pending` means: rebuild the copy."""

    def __init__(self, connection: sa.Connection, after_commit: Callable[[Callable[[], None]], None], lake: Lake) -> None:
        super().__init__(connection)
        self._after_commit, self._lake = after_commit, lake
        self._parts: list[Part] = []
        self._batch_id = 0

    def add(self, differences: pl.DataFrame) -> None:
        """Queue `differences` (FACT_SCHEMA) for the copy; all of one transaction are one batch."""
        if not differences.is_empty():
            self._parts.append(self._lake.part(self.open(), differences))

    def open(self) -> int:
        """The number of this transaction's batch. Asks the database once: afterwards `add` may run beside a COPY."""
        if not self._batch_id:
            row = self.one("insert into lake_batch default values returning id")
            assert row is not None
            self._batch_id = int(row.id)
            self._after_commit(lambda: self._lake.append(self._batch_id, self._parts))
        return self._batch_id

    def pending(self) -> list[int]:
        """Batches the copy does not hold yet."""
        return [row.id for row in self.rows("select id from lake_batch where state = 'pending' order by id")]
