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
_PRICED_BY = ("not u.settled and (u.tier = any(%(tiers)s) or u.account_name = any(%(projects)s))"
              " and (%(since)s::timestamptz is null or u.end_at >= %(since)s) and (%(until)s::timestamptz is null or u.end_at < %(until)s)")


class ReratingShelf(Shelf):
    """Runs of tiers and projects, whatever their price."""

    def ended(self, tiers: Sequence[str], projects: Sequence[str], since: datetime | None, until: datetime | None, *,
              receipted: bool = False, by_payer: bool = False) -> Iterator[pl.DataFrame]:
        """Runs that ended in [since, until), of `tiers` or run in `projects`, lot by lot (JOB_SCHEMA); only those on live
        receipts where asked; with `by_payer` all of a payer are in one lot. Nothing else can be asked in this transaction
        until the last lot was taken."""
        query = (f"select {as_columns(JOB_SCHEMA)} from usage_record u where u.ended and {_PRICED_BY}"
                 " and (not %(receipted)s or u.billed_micro is not null)" + (" order by u.payer" if by_payer else ""))
        lots = copy_blocks(self.connection, query, JOB_SCHEMA, tiers=list(tiers), projects=list(projects), since=since, until=until,
                           receipted=receipted)
        yield from _whole_payers(lots) if by_payer else lots

    def receipted_at_most(self, since: datetime | None) -> int:
        """How many jobs that ended since may stand on live receipts: never fewer than do, and asked without reading them."""
        row = self.one("select cast(coalesce(sum(lines), 0) as bigint) as lines from receipt where status <> 'void'"
                       " and (cast(:since as timestamptz) is null or ended_before > :since)", since=since)
        return int(row.lines) if row else 0

    def held(self, tiers: Sequence[str], projects: Sequence[str], since: datetime, until: datetime | None, *,
             by_payer: bool = False) -> Iterator[pl.DataFrame]:
        """Runs of `tiers` or run in `projects` that ended in [since, until) or have not ended, lot by lot (STORED_SCHEMA), by
        run key, locked until the transaction ends; with `by_payer` all of a payer are in one lot. The caller holds the rate
        book: none is added or moved meanwhile."""
        lots = self._gather(list(tiers), list(projects), since, until, by_payer)
        query = (f"select {_STORED} from gathered g join usage_record u on u.id = g.id where g.lot = %(lot)s"
                 " order by u.run_key for update of u")
        for lot in range(lots):
            yield copy_out(self.connection, query, STORED_SCHEMA, lot=lot)

    def months(self, payers: Sequence[str], cards: Sequence[str], since: int) -> pl.DataFrame:
        """Runs of `payers` on `cards` that ended at or after `since` (Unix seconds), by run key (STORED_SCHEMA), locked."""
        query = (f"select {_STORED} from usage_record u where u.ended and not u.settled and u.payer = any(%(payers)s)"
                 " and u.rate_card = any(%(cards)s) and u.end_at >= to_timestamp(%(since)s) order by u.run_key for update of u")
        return copy_out(self.connection, query, STORED_SCHEMA, payers=list(payers), cards=list(cards), since=since)

    def in_months(self, payers: Sequence[str], lines: Sequence[str], begins: Sequence[int], ends: Sequence[int]) -> pl.DataFrame:
        """Runs of each payer on cards of the line beside it that ended in [begin, end) beside that (Unix seconds), by run key
        (STORED_SCHEMA); a run that stands in two of them comes twice. Reads only."""
        query = (f"select {_STORED} from unnest(%(payers)s::text[], %(lines)s::text[], %(begins)s::bigint[], %(ends)s::bigint[])"
                 " as m(payer, line, begins, ends) join rate_card c on c.line = m.line"
                 " join usage_record u on u.payer = m.payer and u.rate_card = c.name and u.end_at >= to_timestamp(m.begins)"
                 " and u.end_at < to_timestamp(m.ends) where u.ended and not u.settled order by u.run_key")
        return copy_out(self.connection, query, STORED_SCHEMA, payers=list(payers), lines=list(lines), begins=list(begins),
                        ends=list(ends))

    def _gather(self, tiers: list[str], projects: list[str], since: datetime, until: datetime | None, by_payer: bool) -> int:
        """Note which runs go into which lot; how many lots. Where a lot is not a stretch of run keys, all are locked first."""
        order, start = ("u.payer, u.run_key", "min(place) over (partition by payer)") if by_payer else ("u.run_key", "place")
        self.execute("drop table if exists pg_temp.gathered")
        self.execute("create temp table gathered (lot bigint, id bigint, run_key text) on commit drop")
        self.execute(
            f"insert into gathered select ({start} - 1) / {LOT}, id, run_key from (select row_number() over (order by {order}) as place,"
            " u.payer, u.id, u.run_key from usage_record u"
            " where not u.settled and (u.tier = any(:tiers) or u.account_name = any(:projects))"
            " and (not u.ended or (u.end_at >= :since and (cast(:until as timestamptz) is null or u.end_at < :until)))) found",
            tiers=tiers, projects=projects, since=since, until=until)
        self.execute("create index on gathered (lot)")
        self.execute("analyze gathered")
        if by_payer:
            self.execute("select count(*) from (select 1 from usage_record u join gathered g on g.id = u.id order by u.run_key"
                         " for update of u) locked")
        row = self.one("select coalesce(max(lot), -1) + 1 as lots from gathered")
        return int(row.lots) if row else 0

    def write(self, priced: pl.DataFrame) -> None:
        """Write the charges of held runs. One on a receipt gets a new revision: its next adjustment is a line of its own."""
        columns = ", ".join(_CHARGES)
        self.execute("drop table if exists pg_temp.rerated")
        self.execute(f"create temp table rerated on commit drop as select id, {columns} from usage_record limit 0")
        copy_in(self.connection, "rerated", priced.select("id", *_CHARGES))
        self.execute("analyze rerated")
        self.execute(f"update usage_record u set {', '.join(f'{name} = r.{name}' for name in _CHARGES)},"
                     " revision = u.revision + (u.billed_micro is not null)::int from rerated r where u.id = r.id")


def _whole_payers(lots: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Rows by payer in lots that never cut one."""
    kept: pl.DataFrame | None = None
    for lot in lots:
        rows = lot if kept is None else pl.concat([kept, lot])
        last = rows["payer"] == rows["payer"][-1]
        kept = rows.filter(last)
        if not last.all():
            yield rows.filter(~last)
    if kept is not None:
        yield kept
