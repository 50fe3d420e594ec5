"""The audit chain's table. Entries are queued and written at commit: the head row is always the last lock taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf
from engine.audit import Anchor, AuditEntry, canonical, link


class AuditShelf(Shelf):
    """Queue entries with `record`; the store calls `flush` as the transaction's last act."""

    def __init__(self, connection: sa.Connection, actor: str, key_id: str, key: bytes) -> None:
        super().__init__(connection)
        self.actor, self.key_id, self.key = actor, key_id, key
        self._queued: list[tuple[str, str, dict[str, object]]] = []

    def record(self, action: str, subject: str, **facts: object) -> None:
        """Queue `action` on `subject` (say `receipt:rcpt_…`); facts are JSON values and hold no secret."""
        self._queued.append((action, subject, facts))

    def flush(self) -> Anchor | None:
        """Write what was queued and return the new tail; None when nothing was queued."""
        if not self._queued:
            return None
        head, at = self._lock_head()
        entries = []
        for action, subject, facts in self._queued:
            entries.append(self._entry(head, at, action, subject, facts))
            head = Anchor(entries[-1].id, entries[-1].hash)
        self._append(entries, head)
        self._queued.clear()
        return head

    def _lock_head(self) -> tuple[Anchor, datetime]:
        """The last entry, and the time once nobody else can write the next one."""
        row = self.one("with head as materialized (select id, hash from audit_head for update)"
                       " select id, hash, clock_timestamp() as at from head")
        assert row is not None
        return Anchor(row.id, bytes(row.hash)), row.at

    def _entry(self, head: Anchor, at: datetime, action: str, subject: str, facts: dict[str, object]) -> AuditEntry:
        """The entry that follows `head`."""
        body = canonical(at, self.actor, action, subject, facts)
        return AuditEntry(head.id + 1, at, self.actor, action, subject, body, self.key_id, head.hash, link(self.key, head.hash, body))

    def _append(self, entries: Sequence[AuditEntry], head: Anchor) -> None:
        """Write entries of one moment, actor and key; `head` is the last of them."""
        columns = ", ".join(f"cast(:{name} as {kind}[])" for name, kind in _TYPES.items())
        self.execute(f"with added as (insert into audit_entry (at, actor, key_id, {', '.join(_TYPES)})"  # noqa: S608
                     f" select :at, :actor, :key_id, entry.* from unnest({columns}) entry)"
                     " update audit_head set id = :head_id, hash = :head_hash",
                     head_id=head.id, head_hash=head.hash, at=entries[0].at, actor=self.actor, key_id=self.key_id,
                     **{name: [getattr(entry, name) for entry in entries] for name in _TYPES})

    def head(self) -> Anchor:
        """The last entry as the head row knows it."""
        row = self.one("select id, hash from audit_head")
        assert row is not None
        return Anchor(row.id, bytes(row.hash))

    def chain(self) -> Iterator[AuditEntry]:
        """Every entry in order, streamed."""
        statement = sa.text(f"select {_COLUMNS} from audit_entry order by id")  # noqa: S608  a constant
        for row in self.connection.execute(statement, execution_options={"yield_per": 2000}):
            yield _entry(row)

    def newest(self, most: int) -> list[AuditEntry]:
        """The last `most` entries, newest first."""
        return [_entry(row) for row in self.rows(f"select {_COLUMNS} from audit_entry order by id desc limit :most", most=most)]  # noqa: S608


_TYPES = {"id": "bigint", "action": "text", "subject": "text", "body": "bytea", "prev_hash": "bytea", "hash": "bytea"}
_COLUMNS = "id, at, actor, action, subject, body, key_id, prev_hash, hash"


def _entry(row: sa.Row[Any]) -> AuditEntry:
    return AuditEntry(row.id, row.at, row.actor, row.action, row.subject, bytes(row.body), row.key_id,
                      bytes(row.prev_hash), bytes(row.hash))
