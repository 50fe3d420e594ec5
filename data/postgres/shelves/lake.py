"""Batches on their way to the analytics copy. Written in the transaction of the change, copied after its commit."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import sqlalchemy as sa

from data.analytics.lake import Lake
from data.analytics.parts import Batch
from data.postgres.shelves.shelf import Shelf


class LakeShelf(Shelf):
    """Hands differences to the copy. A batch that stays `pending` means: rebuild the copy."""

    def __init__(self, connection: sa.Connection, after_commit: Callable[[Callable[[], None]], None], lake: Lake) -> None:
        super().__init__(connection)
        self._after_commit, self._lake = after_commit, lake
        self._batch: Batch | None = None

    def add(self, differences: pl.DataFrame) -> None:
        """Queue `differences` (FACT_SCHEMA) for the copy; all of one transaction are one batch, in bounded memory."""
        if not differences.is_empty():
            self.open(len(differences)).add(differences)

    def finish(self) -> None:
        """Nothing more is coming for now: what came is made ready beside what Postgres does next."""
        if self._batch is not None:
            self._batch.finish()

    def open(self, rows: int = 0) -> Batch:
        """This transaction's batch, of `rows` or more. Asks the database once: afterwards `add` may run beside a COPY."""
        self._lake.open_ahead(rows)
        if self._batch is None:
            row = self.one("insert into lake_batch default values returning id")
            assert row is not None
            batch = self._batch = self._lake.batch(int(row.id))
            self._after_commit(lambda: self._lake.append(batch))
        return self._batch

    def pending(self) -> list[int]:
        """Batches the copy does not hold yet."""
        return [row.id for row in self.rows("select id from lake_batch where state = 'pending' order by id")]
