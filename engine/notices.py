"""What people are told while they are away: shown on open pages, and mailed. A notice is a kind and facts; its words are made
where it is read, in the reader's language. Pure: knows no table, no page and no mail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


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
