"""What operations pages read: ingest runs with what they rejected, who published which card, the audit chain by filter.

Read-only; verifying the chain is the audit shelf's and engine.audit's work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from data.postgres.frames import frame
from data.postgres.shelves.shelf import Shelf

REJECTION_SCHEMA: dict[str, pl.DataType] = {
    "line": pl.Int64(), "reason": pl.String(), "text": pl.String(), "resolved": pl.Boolean(),
}
_RUN = """select *, (select count(*) from ingest_rejection r where r.run_id = run.id and resolved_at is null) as unresolved
  from ingest_run run"""
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


@dataclass(frozen=True, slots=True)
class RunLine:
    """One ingest run. `unresolved` of its `rejected` lines were read well by no later run."""

    id: int
    source: str
    origin: str
    cluster: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    window_start: datetime | None
    window_end: datetime | None
    lines: int
    jobs: int
    new: int
    changed: int
    unchanged: int
    rejected: int
    unresolved: int
    reason: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Watermark:
    """Up to when a cluster's usage is complete, and which run said so."""

    cluster: str
    complete_to: datetime
    source: str
    run_id: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Published:
    """Who published a card, and when."""

    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Someone:
    """A person who can sign in, with when they last clicked."""

    name: str
    role: str
    payer: str
    projects: tuple[str, ...]
    created_at: datetime
    disabled_at: datetime | None
    seen_at: datetime | None


class OperationsReadsShelf(Shelf):
    """Lists for people who run the centre."""

    def watermarks(self) -> list[Watermark]:
        """Up to when usage is complete, by cluster."""
        return [Watermark(row.cluster, row.complete_to, row.source, row.run_id, row.updated_at) for row in self.rows(
            "select cluster, complete_to, source, run_id, updated_at from ingest_watermark order by cluster")]

    def runs(self, states: list[str] | None = None, limit: int = 50, offset: int = 0) -> list[RunLine]:
        """Ingest runs, the latest first; only those in `states` when given."""
        rows = self.rows(f"{_RUN} where (cast(:states as text[]) is null or state = any(:states))"
                         " order by started_at desc, id desc limit :limit offset :offset",
                         states=states, limit=limit, offset=offset)
        return [_run(row) for row in rows]

    def run_states(self) -> dict[str, int]:
        """How many runs are in each state."""
        return {row.state: row.runs for row in self.rows("select state, count(*) as runs from ingest_run group by 1 order by 1")}

    def run(self, run_id: int) -> RunLine | None:
        """One run."""
        row = self.one(f"{_RUN} where id = :id", id=run_id)
        return _run(row) if row else None

    def rejections(self, run_id: int) -> pl.DataFrame:
        """The lines a run could not read, in order (REJECTION_SCHEMA). Text from outside: data, never markup."""
        return frame(self.connection, "select line, reason, text, resolved_at is not null from ingest_rejection"
                     " where run_id = :id order by line, id", REJECTION_SCHEMA, id=run_id)

    def brought(self, since: datetime) -> tuple[int, int]:
        """(new, changed) runs of jobs that batches brought since."""
        row = self.one("select cast(coalesce(sum(new), 0) as bigint) as new, cast(coalesce(sum(changed), 0) as bigint) as changed"
                       " from ingest_run where state = 'taken' and started_at >= :since", since=since)
        assert row is not None
        return row.new, row.changed

    def unresolved(self) -> int:
        """Lines no run has read well yet."""
        row = self.one("select count(*) as lines from ingest_rejection where resolved_at is null")
        assert row is not None
        return int(row.lines)

    def published(self) -> dict[str, Published]:
        """Who published each card, by the card's name."""
        return {row.name: Published(row.published_by, row.published_at)
                for row in self.rows("select name, published_by, published_at from rate_card")}

    def people(self) -> list[Someone]:
        """Everybody who can or could sign in, by name."""
        rows = self.rows("""
            select u.name, u.role, u.payer, u.created_at, u.disabled_at, (select max(seen_at) from app_session s where s.user_id = u.id)
              as seen_at, array(select project from project_lead l where l.user_id = u.id order by 1) as projects
            from app_user u order by u.name""")
        return [Someone(row.name, row.role, row.payer, tuple(row.projects), row.created_at, row.disabled_at, row.seen_at) for row in rows]

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


def _run(row: sa.Row[Any]) -> RunLine:
    values = {name: getattr(row, name) for name in RunLine.__slots__}
    return RunLine(**values | {"notes": tuple(str(note) for note in row.notes)})
