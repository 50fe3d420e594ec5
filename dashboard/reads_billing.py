"""How the billing loop goes, and what people were told: what its pages show. Draws nothing, changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dashboard.connection import store
from data.postgres.store import PostgresTransaction
from engine.allocations import AllocationState, burn_micro_per_hour
from engine.billing import BillingRun, LoopState
from engine.notices import Notice
from engine.users import Person

TURNS = 240
LATE_INTERVALS = 5


@dataclass(frozen=True, slots=True)
class Loop:
    """The loop, its last turns (the newest first), and what it has to charge now."""

    now: datetime
    state: LoopState
    runs: list[BillingRun]
    interval_seconds: int
    active: int
    suspended: int
    burn_micro: dict[str, int]
    behind_seconds: int                 # how far the active allocation that is furthest behind is charged

    @property
    def late(self) -> bool:
        """True when something waits for longer than a few intervals."""
        return self.behind_seconds > LATE_INTERVALS * self.interval_seconds

    def since(self, ago: timedelta) -> list[BillingRun]:
        """The turns since so long ago."""
        return [run for run in self.runs if run.started_at >= self.now - ago]


def loop() -> Loop:
    """All of it from one snapshot."""
    def read(tx: PostgresTransaction) -> Loop:
        live = tx.allocations.live()
        active = [one for one in live if one.state is AllocationState.ACTIVE]
        behind = max((tx.now - one.charged_to for one in active if one.charged_to), default=timedelta(0))
        burn = {currency: burn_micro_per_hour(one for one in active if one.currency == currency)
                for currency in sorted({one.currency for one in active})}
        return Loop(tx.now, tx.billing.loop(), tx.billing.runs(TURNS), tx.settings.billing_interval_seconds, len(active),
                    sum(one.state is AllocationState.SUSPENDED for one in live), burn, int(behind.total_seconds()))
    return store().read(read)


def totals(runs: Sequence[BillingRun]) -> dict[str, int]:
    """Micro-units by currency of some turns."""
    found: Counter[str] = Counter()
    for run in runs:
        found.update(dict(run.totals))
    return dict(sorted(found.items()))


def notices(person: Person) -> tuple[list[Notice], datetime]:
    """What somebody was told, the newest first, and what time it is."""
    return store().read(lambda tx: (tx.notices.of_user(person.id), tx.now))


def unseen(person: Person) -> tuple[int, int]:
    """How many they have not seen, and the newest one's number."""
    return store().read(lambda tx: tx.notices.unseen(person.id))


def newest_unseen(person: Person, after: int, most: int) -> list[Notice]:
    """What they have not seen of what came after a number, the newest first."""
    return store().read(lambda tx: [one for one in tx.notices.of_user(person.id, unseen=True, most=most) if one.id > after])
