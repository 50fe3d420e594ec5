"""What months' minimums are reckoned from: usage by month, what live lines billed of them, and who pays."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime

from data.postgres.shelves.shelf import Shelf
from engine.commitments import Billed, MonthLine, Months, PayersMonth


class CommitmentShelf(Shelf):
    """Payers' months on lines of the rate book."""

    def months(self, lines: Collection[str], zone: str, since: datetime, until: datetime, payer: str | None = None) -> Months:
        """What was used on `lines` by jobs that ended in [since, until), by month of `zone`; what was billed of any minimum;
        of everybody, or of one payer."""
        used = self.rows("""
            select u.payer, c.line, cast(date_trunc('month', u.end_at at time zone :zone) as date) as month,
              cast(sum(u.cost_micro) as bigint) as micro
            from usage_record u join rate_card c on c.name = u.rate_card
            where u.ended and not u.settled and u.elapsed_seconds > 0 and u.end_at >= :since and u.end_at < :until and c.line = any(:lines)
              and (cast(:payer as text) is null or u.payer = :payer) group by 1, 2, 3""",
            zone=zone, since=since, until=until, lines=sorted(lines), payer=payer)
        known = self.rows("""
            select name, tier, cast(date_trunc('month', created_at at time zone :zone) as date) as since from payer
            where cast(:payer as text) is null or name = :payer""", zone=zone, payer=payer)
        return Months({PayersMonth(row.payer, row.month, row.line): row.micro for row in used}, self._billed(payer),
                      {row.name: row.tier for row in known}, {row.name: row.since for row in known})

    def _billed(self, payer: str | None) -> dict[PayersMonth, Billed]:
        rows = self.rows("""
            select payer, month, card_line, cast(coalesce(sum(cost_micro) filter (where live), 0) as bigint) as micro,
              coalesce(bool_or(live and kind = 'commitment'), false) as first, max(revision) as revision
            from receipt_line where month is not null and (cast(:payer as text) is null or payer = :payer) group by 1, 2, 3""",
            payer=payer)
        return {PayersMonth(row.payer, row.month, row.card_line): Billed(row.micro, row.first, row.revision) for row in rows}

    def lines(self, payer: str | None = None, month: date | None = None) -> list[MonthLine]:
        """Every line of a month's minimum on any receipt, by payer, month, line of the book and number."""
        return [MonthLine(PayersMonth(row.payer, row.month, row.card_line), row.number, row.status, row.kind, row.live, row.revision,
                          row.minimum_micro, row.used_micro, row.before_micro, row.cost_micro, row.currency,
                          tuple((name, days, micro) for name, days, micro in row.shares))
                for row in self.rows("""
                    select l.*, r.number, r.status, r.currency from receipt_line l join receipt r on r.id = l.receipt_id
                    where l.month is not null and (cast(:payer as text) is null or l.payer = :payer)
                      and (cast(:month as date) is null or l.month = :month)
                    order by l.payer, l.month, l.card_line, l.revision""", payer=payer, month=month)]

    def last_billed_month(self, line: str) -> date | None:
        """The last month whose minimum on `line` stands on a live receipt, by its first day."""
        row = self.one("select max(month) as month from receipt_line where month is not null and live and card_line = :line", line=line)
        month: date | None = row.month if row else None
        return month
