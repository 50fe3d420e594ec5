"""What people are told while they are away: shown on open pages, and mailed. A notice is a kind and facts; its words are made
where it is read, in the reader's language. Pure: knows no table, no page and no mail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

SEND = "notice.send"


class NoticeKind(StrEnum):
    """What somebody is told."""

    RUNWAY_DAY = "runway.day"
    """The wallet lasts for less than 24 hours."""
    RUNWAY_HOUR = "runway.hour"
    """Less than an hour."""
    RUNWAY_MINUTES = "runway.minutes"
    """Less than ten minutes."""
    READY = "allocation.ready"
    """The node is set up: its holder can log in."""
    FAILED = "allocation.failed"
    """The node could not be set up; nothing was charged."""
    DEPLETED = "allocation.depleted"
    """The wallet is empty: the allocation is over."""
    ENDING = "allocation.ending"
    """Its agreed end is near."""
    ENDED = "allocation.ended"
    """Its agreed end came, or somebody else ended it."""
    IDLE = "allocation.idle"
    """Its GPUs have done nothing for a while."""
    SUSPENDED = "allocation.suspended"
    """Its node is out of reach, and it is not charged."""
    RESUMED = "allocation.resumed"
    """Its node is back."""
    RELEASED = "allocation.released"
    """Nothing of it is left on the node."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing somebody was told. `subject` is allocation:ID or wallet:OWNER, `facts` what its words are made of."""

    id: int
    user_id: int
    kind: NoticeKind
    subject: str
    facts: Mapping[str, object]
    created_at: datetime
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What somebody is to be told. Facts are numbers, texts or null; instants are ISO 8601, amounts are texts with their currency."""

    user_id: int
    kind: NoticeKind
    subject: str
    facts: Mapping[str, object]

    def __post_init__(self) -> None:
        if missing := FACTS[self.kind] - self.facts.keys():
            raise ValueError(f"a notice of {self.kind} is told with {', '.join(sorted(missing))}")


_RUNWAY = frozenset({"wallet", "available", "burn"})
_COST = frozenset({"node", "charged"})
FACTS: dict[NoticeKind, frozenset[str]] = {
    NoticeKind.RUNWAY_DAY: _RUNWAY,
    NoticeKind.RUNWAY_HOUR: _RUNWAY,
    NoticeKind.RUNWAY_MINUTES: _RUNWAY,
    NoticeKind.READY: frozenset({"node", "host", "port", "tenant"}),
    NoticeKind.FAILED: frozenset({"node", "why"}),
    NoticeKind.DEPLETED: _COST | {"wallet"},
    NoticeKind.ENDING: frozenset({"node", "until"}),
    NoticeKind.ENDED: _COST | {"reason"},
    NoticeKind.IDLE: frozenset({"node", "minutes", "release_minutes"}),
    NoticeKind.SUSPENDED: frozenset({"node"}),
    NoticeKind.RESUMED: frozenset({"node", "seconds"}),
    NoticeKind.RELEASED: _COST,
}
"""What the words of each kind are made of: `burn` an hour, `seconds` of a pause that was free, `minutes` that GPUs did nothing,
`release_minutes` after which the node is released (null: it stays)."""


def about_wallet(owner: str) -> str:
    """The subject of what is told of a wallet."""
    return f"wallet:{owner}"


def about_allocation(id: str) -> str:
    """The subject of what is told of an allocation."""
    return f"allocation:{id}"


def send_job(number: int) -> tuple[str, str, dict[str, object]]:
    """Kind, key and payload of the job that mails a notice."""
    return SEND, str(number), {"notice": number}
