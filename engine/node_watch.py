"""Looking after nodes: what is found on one beside what the books say, when one counts as out of reach, and when GPUs count as idle.
Pure: knows no table, no clock and no node's ways.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.allocations import NEVER, RUNNING, Allocation
from engine.provisioning import Holding, Tenancy
from engine.ssh_keys import PublicKey, parse_public_key

MISSES = 2                                  # looks in a row without an answer: it is out of reach
OUT_OF_REACH = "Out of reach:"              # what the reason of its quarantine begins with
FOREIGN = "Not in our books:"
IDLE_PERCENT = 5                            # below it a GPU does nothing
IDLE_LOOKS = 0.8                            # of the minutes of an idle spell, so many at least were looked at
AGREED_END = "Its agreed end came."
IDLE = "Its GPUs did nothing for as long as was agreed."
NO_ACCESS = "The node would not let its holder in again."
ENDING = timedelta(hours=1)                 # so long before its end its holder is told


@dataclass(frozen=True, slots=True)
class Watch:
    """How a node answered: when it was looked at and when it last answered, how many looks it missed since."""

    looked_at: datetime
    answered_at: datetime | None
    missed: int
    trouble: str = ""

    @property
    def away(self) -> bool:
        """True once it counts as out of reach."""
        return self.missed >= MISSES

    def seen_until(self, at: datetime) -> datetime:
        """Up to when the node was there as far as anybody knows at `at`: its last answer, once a look was missed."""
        return at if not self.missed else min(at, self.answered_at or NEVER)


@dataclass(frozen=True, slots=True)
class Idleness:
    """How long an allocation's GPUs have done nothing: [since, last], and how many minutes of that were looked at."""

    allocation_id: str
    since: datetime
    last: datetime
    looks: int

    @property
    def minutes(self) -> int:
        """Whole minutes; 0 when too few of them were looked at to say."""
        whole = (self.last - self.since) // timedelta(minutes=1)
        return whole if self.looks >= IDLE_LOOKS * whole else 0


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found: tenancies to be taken off, whether the holder lacks what they need, and what nobody knows."""

    orphans: tuple[Tenancy, ...] = ()
    lost: bool = False
    foreign: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """An allocation that something on a node is for, and whether it was over before the look began."""

    allocation: Allocation
    over: bool


def named(holdings: Iterable[Holding]) -> set[str]:
    """The allocations that marks and keys on a node are for."""
    return {id for one in holdings if not one.at_rest for id in ({one.allocation} if one.allocation else one.key_allocations)}


def found(holdings: Sequence[Holding], live: Allocation | None, known: Mapping[str, Known], earlier: Mapping[str, Allocation],
          spare: PublicKey) -> Found:
    """What of `holdings` does not fit: `live` is the allocation that has the node, `known` what marks and keys are for, `earlier` who
    had the node last under each name. `spare` stands for a key that is gone."""
    there = [one for one in holdings if not one.at_rest]
    theirs = [one for one in there if live and one.user == live.tenant and one.allocation in ("", live.id)]
    lost = live is not None and live.state in RUNNING and not any(one.fits(_tenancy(live)) for one in theirs)
    orphans: list[Tenancy] = []
    foreign: list[str] = []
    for one in there:
        if one in theirs:
            continue
        told = [known[id] for id in named([one]) if id in known]
        whose = told[0] if told else Known(earlier[one.user], over=True) if not named([one]) and one.user in earlier else None
        if whose is None:
            foreign.append(f"{one.user}{f' for {one.allocation}' if one.allocation else ''}")
        elif whose.over:
            orphans.append(Tenancy(whose.allocation.id, one.user, spare))
    return Found(tuple(orphans), lost, tuple(foreign))


def _tenancy(allocation: Allocation) -> Tenancy:
    return Tenancy(allocation.id, allocation.tenant, parse_public_key(allocation.public_key))
