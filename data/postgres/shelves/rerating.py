"""Runs that are priced again: read in lots of bounded size, held in ascending run key, written lot by lot."""
# ruff: noqa: S608  statements are put together from constants; every value is bound or copied

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import polars as pl

from data.postgres.bulk import as_columns, copy_blocks, copy_in, copy_out
from data.postgres.shelves.shelf import Shelf
from engine.rating import CHARGE_SCHEMA
from engine.rerating import JOB_SCHEMA
from engine.revisions import STORED_SCHEMA

LOT = 65_536                    # runs priced at a time
_STORED = as_columns(STORED_SCHEMA)
_CHARGES = tuple(CHARGE_SCHEMA)
_PRICED_BY = ("(u.tier = any(%(tiers)s) or u.account_name = any(%(projects)s))"
              " and (%(since)s::timestamptz is null or u.end_at >= %(since)s) and (%(until)s::timestamptz is null or u.end_at < %(until)s)")


class ReratingShelf(Shelf):
    """Runs of tiers and projects, whatever their price."""

    def ended(self, tiers: Sequence[str], projects: Sequence[str], since: datetime | None, until: datetime | None,
              receipted: bool = False) -> Iterator[pl.DataFrame]:
        """Runs that ended in [since, until), of `tiers` or run in `projects`, lot by lot (JOB_SCHEMA), in no order; only those
        on live receipts where asked. Nothing else can be asked in this transaction until the last lot was taken."""
        query = (f"select {as_columns(JOB_SCHEMA)} from usage_record u where u.ended and {_PRICED_BY}"
                 " and (not %(receipted)s or u.billed_micro is not null)")
        yield from copy_blocks(self.connection, query, JOB_SCHEMA, tiers=list(tiers), projects=list(projects), since=since, until=until,
                               receipted=receipted)

    def held(self, tiers: Sequence[str], projects: Sequence[str], since: datetime, until: datetime | None) -> Iterator[pl.DataFrame]:
        """Runs of `tiers` or run in `projects` that ended in [since, until) or have not ended, lot by lot (STORED_SCHEMA), by
        run key, each locked until the transaction ends. The caller holds the rate book: none is added or moved meanwhile."""
        count = self._gather(list(tiers), list(projects), since, until)
        query = (f"select {_STORED} from gathered g join usage_record u on u.id = g.id where g.place > %(start)s and g.place <= %(end)s"
                 " order by u.run_key for update of u")
        for start in range(0, count, LOT):
            yield copy_out(self.connection, query, STORED_SCHEMA, start=start, end=start + LOT)

    def _gather(self, tiers: list[str], projects: list[str], since: datetime, until: datetime | None) -> int:
        self.execute("drop table if exists pg_temp.gathered")
        self.execute("create temp table gathered (place bigint primary key, id bigint) on commit drop")
        count = self.execute(
            "insert into gathered select row_number() over (order by u.run_key), u.id from usage_record u"
            " where (u.tier = any(:tiers) or u.account_name = any(:projects)) and (not u.ended or (u.end_at >= :since"
            " and (cast(:until as timestamptz) is null or u.end_at < :until)))",
            tiers=tiers, projects=projects, since=since, until=until)
        self.execute("analyze gathered")
        return count

    def write(self, priced: pl.DataFrame) -> None:
        """Write the charges of held runs. One on a receipt gets a new revision: its next adjustment is a line of its own."""
        columns = ", ".join(_CHARGES)
        self.execute("drop table if exists pg_temp.rerated")
        self.execute(f"create temp table rerated on commit drop as select id, {columns} from usage_record limit 0")
        copy_in(self.connection, "rerated", priced.select("id", *_CHARGES))
        self.execute("analyze rerated")
        self.execute(f"update usage_record u set {', '.join(f'{name} = r.{name}' for name in _CHARGES)},"
                     " revision = u.revision + (u.billed_micro is not null)::int from rerated r where u.id = r.id")
