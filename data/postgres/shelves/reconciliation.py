"""What of our books moved money at providers, and the runs that compared it with theirs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf
from engine.reconciliation import Comparison, DaySum, Entry, Line, Outcome


@dataclass(frozen=True, slots=True)
class Run:
    """One comparison of a provider's day. `movements` is what the provider told of it, `applied` what was missing here."""

    id: int
    provider: str
    livemode: bool
    day: date
    outcome: Outcome
    movements: int
    applied: int
    note: str
    ran_by: str
    ran_at: datetime
    sums: tuple[DaySum, ...]
    lines: tuple[Line, ...]


class ReconciliationShelf(Shelf):
    """Rows of reconciliation_run with their sums and lines."""

    def entries(self, provider: str, livemode: bool, start: datetime, end: datetime, names: Collection[str]) -> list[Entry]:
        """Our movements at a provider: every one of the names that moved in [start, end), and of `names`, whenever it was."""
        return [Entry(row.what, row.name, row.reference, row.amount_micro, row.currency, row.at) for row in self.rows(
            "select what, name, reference, amount_micro, currency, at from provider_movement m where provider = :provider"
            " and livemode = :livemode and name in (select unnest(cast(:names as text[])) union select name from provider_movement"
            "   where provider = :provider and livemode = :livemode and at >= :start and at < :end) order by at, name",
            provider=provider, livemode=livemode, start=start, end=end, names=list(names))]

    def awaited(self, provider: str, livemode: bool, names: Collection[str]) -> dict[str, str]:
        """Which of `names` are refunds under way or disputes of ours: name → refund or dispute."""
        rows = self.rows("select provider_ref as name, 'refund' as what from refund where provider = :provider and livemode = :livemode"
                         " and provider_ref = any(:names) union all select provider_ref, 'dispute' from dispute"
                         " where provider = :provider and livemode = :livemode and provider_ref = any(:names)",
                         provider=provider, livemode=livemode, names=list(names))
        return {row.name: row.what for row in rows}

    def add(self, provider: str, livemode: bool, day: date, found: Comparison | None, applied: int, note: str, by: str) -> int:
        """Keep a run; without a comparison it failed. Its number."""
        row = self.one("insert into reconciliation_run (provider, livemode, day, outcome, movements, applied, note, ran_by) values"
                       " (:provider, :livemode, :day, :outcome, :movements, :applied, :note, :by) returning id",
                       provider=provider, livemode=livemode, day=day, outcome=str(found.outcome if found else Outcome.FAILED),
                       movements=sum(one.movements for one in found.sums) if found else 0, applied=applied, note=note, by=by)
        assert row is not None
        self.execute_many("insert into reconciliation_sum values (:run, :currency, :ours, :theirs, :movements)",
                          [{"run": row.id, "currency": one.currency, "ours": one.ours_micro, "theirs": one.theirs_micro,
                            "movements": one.movements} for one in (found.sums if found else ())])
        self.execute_many("insert into reconciliation_line values (:run, :name, :reference, :currency, :ours, :theirs, :at, :note)",
                          [{"run": row.id, "name": line.name, "reference": line.reference, "currency": line.currency,
                            "ours": line.ours_micro, "theirs": line.theirs_micro, "at": line.at, "note": line.note}
                           for line in (found.lines if found else ())])
        return int(row.id)

    def get(self, id: int) -> Run | None:
        """One run."""
        row = self.one("select * from reconciliation_run where id = :id", id=id)
        return self._run(row) if row else None

    def latest(self, most: int = 100, provider: str | None = None) -> list[Run]:
        """The newest run of each provider and day, the newest day first."""
        rows = self.rows("select * from reconciliation_run where id in (select max(id) from reconciliation_run"
                         " where cast(:provider as text) is null or provider = :provider group by provider, livemode, day)"
                         " order by day desc, provider limit :most", most=most, provider=provider)
        return [self._run(row) for row in rows]

    def of_day(self, provider: str, day: date) -> Run | None:
        """The newest run of a provider's day."""
        row = self.one("select * from reconciliation_run where provider = :provider and day = :day order by id desc limit 1",
                       provider=provider, day=day)
        return self._run(row) if row else None

    def first_day(self, provider: str) -> date | None:
        """The earliest day of a provider that was ever looked at."""
        row = self.one("select min(day) as day from reconciliation_run where provider = :provider", provider=provider)
        return row.day if row else None

    def _run(self, row: sa.Row[Any]) -> Run:
        sums = self.rows("select currency, ours_micro, theirs_micro, movements from reconciliation_sum where run_id = :id order by 1",
                         id=row.id)
        lines = self.rows("select name, reference, currency, ours_micro, theirs_micro, at, note from reconciliation_line"
                          " where run_id = :id order by at, name", id=row.id)
        return Run(row.id, row.provider, row.livemode, row.day, Outcome(row.outcome), row.movements, row.applied, row.note, row.ran_by,
                   row.ran_at, tuple(DaySum(one.currency, one.ours_micro, one.theirs_micro, one.movements) for one in sums),
                   tuple(Line(line.name, line.reference, line.currency, line.ours_micro, line.theirs_micro, line.at, line.note)
                         for line in lines))
