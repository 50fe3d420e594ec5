"""The audit chain, as pure functions: what is signed, how entries hang together, and how to find a break.

Each entry carries HMAC-SHA256(key, previous hash ‖ body). The key lies outside the database, so that somebody who
can write every table still cannot write a second history. Knows no table and no clock.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

GENESIS = bytes(32)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row of the chain as it is stored; `id` counts 1, 2, 3 … without gaps.

    `at`, `actor`, `action` and `subject` stand in columns for reading and in `body` for proof: they must agree.
    """

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    body: bytes
    key_id: str
    prev_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place of the chain noted outside the database: entry `id` had this hash."""

    id: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Verification:
    """What a walk over the chain found; `first_bad` is the lowest entry id that does not hold, None when all do."""

    checked: int
    first_bad: int | None
    reason: str = ""

    @property
    def ok(self) -> bool:
        """True when the whole chain, its head and its anchors agree."""
        return self.first_bad is None


def canonical(at: datetime, actor: str, action: str, subject: str, facts: Mapping[str, object]) -> bytes:
    """The bytes that are signed: JSON with sorted keys, UTF-8, no spaces; `at` in UTC with microseconds."""
    body = {"at": at.isoformat(timespec="microseconds"), "actor": actor, "action": action, "subject": subject,
            "facts": dict(facts)}
    return json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def link(key: bytes, prev_hash: bytes, body: bytes) -> bytes:
    """The hash of an entry: HMAC-SHA256 over the previous hash and its own bytes."""
    return hmac.new(key, prev_hash + body, hashlib.sha256).digest()


def verify(entries: Iterable[AuditEntry], head: Anchor, anchors: Iterable[Anchor], keys: Mapping[str, bytes]) -> Verification:
    """Walk the chain in id order: every link, then the head, then every anchor. Streams; holds no entry."""
    noted: dict[int, set[bytes]] = {}
    for anchor in anchors:
        noted.setdefault(anchor.id, set()).add(anchor.hash)
    last, checked = Anchor(0, GENESIS), 0
    for entry in entries:
        if (reason := _broken(entry, last, keys, noted.get(entry.id, set()))):
            return Verification(checked, last.id + 1, reason)
        last, checked = Anchor(entry.id, entry.hash), checked + 1
    if head != last:
        return Verification(checked, min(head.id, last.id) + 1, "the head names another last entry: rows were cut off or added")
    if beyond := sorted(id for id in noted if id > last.id):
        return Verification(checked, last.id + 1, f"an anchor knows entry {beyond[-1]}, which is gone")
    return Verification(checked, None)


def _broken(entry: AuditEntry, last: Anchor, keys: Mapping[str, bytes], noted: set[bytes]) -> str:
    if entry.id != last.id + 1:
        return f"entry {last.id + 1} is missing"
    if entry.prev_hash != last.hash:
        return "it does not follow the entry before it"
    if entry.key_id not in keys:
        return f"no key {entry.key_id!r} is known here"
    if not hmac.compare_digest(link(keys[entry.key_id], entry.prev_hash, entry.body), entry.hash):
        return "its content was changed"
    if _columns(entry) != _signed_columns(entry.body):
        return "its columns do not say what was signed"
    return "an anchor noted another hash" if noted - {entry.hash} else ""


def _columns(entry: AuditEntry) -> tuple[str, str, str, str]:
    return entry.at.isoformat(timespec="microseconds"), entry.actor, entry.action, entry.subject


def _signed_columns(body: bytes) -> tuple[str, str, str, str]:
    signed = json.loads(body)
    return signed["at"], signed["actor"], signed["action"], signed["subject"]
