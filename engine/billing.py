"""The billing loop: charges what runs, in turns, as long as its clock can be trusted. Pure: has no clock of its own; the loop
tells it what two clocks said.

The database's clock decides what is charged. Beside it the loop watches a clock that only goes forward (the machine's monotonic
one): when the two part, one of them jumped, and nothing is charged until a person says that the time is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.allocations import NEVER, Runway
from engine.errors import DomainError
from engine.notices import NoticeKind

JUMP = timedelta(seconds=120)
LONGEST_OUTAGE = timedelta(hours=72)        # a longer silence looks like a clock that jumped: a person has to say
DEPLETED = "the wallet is empty"


class LoopStopped(DomainError):
    """The billing loop is stopped: nothing is charged."""

    code, status = "billing_stopped", 409


@dataclass(frozen=True, slots=True)
class LoopState:
    """When the loop last turned, since when and why it is stopped; `at` is the site's clock when that was read."""

    beat_at: datetime | None
    stopped_at: datetime | None
    reason: str
    at: datetime

    @property
    def running(self) -> bool:
        """True while charges go on."""
        return self.stopped_at is None

    def trusted_until(self, at: datetime) -> datetime:
        """`at`, or the last turn where the loop is stopped: what a clock says that nobody trusts is charged to nobody."""
        return at if self.running else min(at, self.beat_at or NEVER)


@dataclass(frozen=True, slots=True)
class Reading:
    """Two clocks at one moment: the site's, and seconds of a clock that only goes forward."""

    site: datetime
    steady: float


@dataclass(frozen=True, slots=True)
class BillingRun:
    """One turn that had something to charge. `totals` are micro-units by currency."""

    id: int
    started_at: datetime
    ended_at: datetime | None
    by: str
    batches: int
    allocations: int
    depleted: int
    warned: int
    totals: Mapping[str, int]
    lag_seconds: int


@dataclass(frozen=True, slots=True)
class Ended:
    """An allocation that its wallet could not pay any further."""

    id: str
    user_id: int
    node: str
    wallet: str
    currency: str
    charged_micro: int


@dataclass(frozen=True, slots=True)
class Warned:
    """A wallet that is lower than when people were last told, and who holds nodes by it."""

    wallet: str
    currency: str
    level: Runway
    available_micro: int
    burn_micro_per_hour: int
    user_ids: tuple[int, ...]

    @property
    def kind(self) -> NoticeKind:
        """What they are told."""
        return WARNINGS[self.level]


WARNINGS = {Runway.DAY: NoticeKind.RUNWAY_DAY, Runway.HOUR: NoticeKind.RUNWAY_HOUR, Runway.MINUTES: NoticeKind.RUNWAY_MINUTES}


def distrust(now: Reading, last: Reading | None) -> str:
    """Why the site's clock cannot be trusted since `last` was read; empty when it can."""
    if last is None:
        return ""
    gone = now.site - last.site
    drift = gone - timedelta(seconds=now.steady - last.steady)
    if abs(drift) <= JUMP:
        return ""
    return f"The database's clock jumped {_ahead(drift)} while this machine counted {now.steady - last.steady:.0f} s."


def distrust_at_start(site: datetime, here: datetime, beat_at: datetime | None) -> str:
    """Why a loop that just began cannot trust the site's clock: beside this machine's, and beside the last turn of any loop."""
    if abs(site - here) > JUMP:
        return f"The database's clock is {_ahead(site - here)} of this machine's: set them right."
    if beat_at is not None and beat_at - site > JUMP:
        return f"The database's clock is {_ahead(site - beat_at)} of the last turn: it went back."
    if beat_at is not None and site - beat_at > LONGEST_OUTAGE:
        return f"The last turn was {_ahead(site - beat_at)} ago: say that the clock is right and all of it shall be charged."
    return ""


def _ahead(by: timedelta) -> str:
    """`1:00:00 ahead`, in words a person checks against a clock."""
    return f"{abs(by) - timedelta(microseconds=abs(by).microseconds)} {'ahead' if by > timedelta() else 'behind'}"
