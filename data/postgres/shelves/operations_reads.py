"""What operations pages read: the audit chain by actor, action, subject and period.

Read-only; verifying the chain is the audit shelf's and engine.audit's work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from data.postgres.shelves.shelf import Shelf

_MATCHES = """(cast(:actor as text) is null or actor = :actor) and (cast(:action as text) is null or action = :action)
  and (cast(:subject as text) is null or position(lower(:subject) in lower(subject)) > 0)
  and (cast(:start as timestamptz) is null or at >= :start) and (cast(:end as timestamptz) is null or at < :end)"""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries: None means any; `subject` is a part of it; the period is [start, end)."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    def values(self) -> dict[str, Any]:
        """The filter as query values."""
        return {"actor": self.actor, "action": self.action, "subject": self.subject, "start": self.start, "end": self.end}


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One entry as people read it, with the hash that ties it to the chain."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    facts: Mapping[str, Any]
    key_id: str
    hash: str


class OperationsReadsShelf(Shelf):
    """Lists for people who run the centre."""

    def audit_count(self, only: AuditFilter) -> int:
        """How many entries match."""
        row = self.one(f"select count(*) as entries from audit_entry where {_MATCHES}", **only.values())  # noqa: S608
        assert row is not None
        return int(row.entries)

    def audit_lines(self, only: AuditFilter, limit: int, offset: int = 0) -> list[AuditLine]:
        """Matching entries, newest first."""
        rows = self.rows(f"""select id, at, actor, action, subject, body, key_id, hash from audit_entry where {_MATCHES}
            order by id desc limit :limit offset :offset""", limit=limit, offset=offset, **only.values())  # noqa: S608
        return [AuditLine(row.id, row.at, row.actor, row.action, row.subject, json.loads(bytes(row.body))["facts"], row.key_id,
                          bytes(row.hash).hex()) for row in rows]

    def audit_words(self) -> tuple[list[str], list[str]]:
        """Every actor and every action that occurs, by name."""
        actors = [row.actor for row in self.rows("select distinct actor from audit_entry order by 1")]
        return actors, [row.action for row in self.rows("select distinct action from audit_entry order by 1")]
