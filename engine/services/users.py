"""People and their sessions: add, change, shut out, sign in, sign out.

Passwords come hashed; looking at one is slow and happens between two transactions (`begin_attempt`, then
`finish_attempt`). Knows neither cookies nor pages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.documents import Language
from engine.errors import DomainError, NotFound
from engine.policy import allow
from engine.ports import Transaction
from engine.users import NAME, Action, Door, Person, Role, Throttle, UserExists, check_address, check_name

TICKET_SECONDS = 30


class WrongPassword(DomainError):
    """The name or the password is not right."""

    code, status = "wrong_password", 401


class TooManyAttempts(DomainError):
    """Too many attempts."""

    code, status = "too_many_attempts", 429

    def __init__(self, left: timedelta) -> None:
        minutes = max(1, -(-int(left.total_seconds()) // 60))
        super().__init__(f"Try again in {minutes} minute{'' if minutes == 1 else 's'}.")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in between its two transactions; `person` and `password_hash` are None for a name nobody has."""

    name: str
    address: str
    locked: timedelta | None = None
    tries: int = 0
    person: Person | None = None
    password_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Entered:
    """A browser that was let in: who it is and where they wanted to go."""

    name: str
    target: str


def add(tx: Transaction, name: str, role: Role, password_hash: str, payer: str = "",
        projects: Sequence[str] = (), *, by: Person) -> Person:
    """A new person; their own usage is that of `payer` (default: the same name)."""
    allow(by, Action.MANAGE_USERS)
    check_name(name)
    if not tx.users.add(name, role, payer or name, password_hash):
        raise UserExists(f"Choose another than {name!r}, or change that one.")
    person = find(tx, name)
    for project in projects:
        tx.users.lead(person.id, project)
    tx.audit.record("user.add", f"user:{name}", role=role.value, payer=payer or name, projects=list(projects))
    return replace(person, projects=tuple(sorted(projects)))


def find(tx: Transaction, name: str) -> Person:
    """The person called `name`."""
    person = tx.users.by_name(name)
    if person is None:
        raise NotFound(f"Nobody is called {name!r}.")
    return person


def set_role(tx: Transaction, name: str, role: Role, by: Person) -> Person:
    """Give a person another role; it counts from their next click."""
    allow(by, Action.MANAGE_USERS)
    person = find(tx, name)
    tx.users.set_role(person.id, role)
    tx.audit.record("user.set_role", f"user:{name}", before=person.role.value, role=role.value)
    return replace(person, role=role)


def lead(tx: Transaction, name: str, project: str, by: Person) -> None:
    """Let a person see what the Slurm account `project` used."""
    allow(by, Action.MANAGE_USERS)
    person = find(tx, name)
    tx.users.lead(person.id, project)
    tx.audit.record("user.lead", f"user:{name}", project=project)


def disable(tx: Transaction, name: str, by: Person) -> int:
    """Shut a person out and end their sessions; how many ended."""
    allow(by, Action.MANAGE_USERS)
    person = find(tx, name)
    tx.users.disable(person.id)
    ended = tx.sessions.revoke_all(person.id)
    tx.audit.record("user.disable", f"user:{name}", sessions_ended=ended)
    return ended


def set_mail(tx: Transaction, email: str, language: Language, by: Person) -> Person:
    """Where `by`'s documents are sent (empty: nowhere), and what they are written in."""
    address = check_address(email)
    tx.users.set_mail(by.id, address, language)
    tx.audit.record("user.mail_set", f"user:{by.name}", mailed=bool(address), language=str(language))
    return replace(by, email=address, language=str(language))


def set_mail_of(tx: Transaction, name: str, email: str, language: Language | None, by: Person) -> Person:
    """The same for somebody else; without a `language` theirs stays."""
    allow(by, Action.MANAGE_USERS)
    person = find(tx, name)
    return set_mail(tx, email, language or Language(person.language), person)


def set_password(tx: Transaction, name: str, password_hash: str, by: Person, keep: bytes = b"") -> int:
    """Replace a person's password and end their sessions except `keep` (a token's hash); how many ended.
    A person may do this for themselves, whoever manages users for anybody."""
    if by.name != name:
        allow(by, Action.MANAGE_USERS)
    person = find(tx, name)
    tx.users.set_password_hash(person.id, password_hash)
    ended = tx.sessions.revoke_all(person.id, keep)
    tx.audit.record("user.set_password", f"user:{name}", sessions_ended=ended)
    return ended


def begin_attempt(tx: Transaction, name: str, address: str) -> Attempt:
    """Count one attempt at the door before its password is looked at; says when the door is locked."""
    known = NAME.fullmatch(name) is not None
    name = name if known else "?"
    door = Door(*_door(tx, name, address))
    if door.locked(tx.now):
        assert door.locked_until is not None
        return Attempt(name, address, locked=door.locked_until - tx.now)
    if door.locked_until:
        tx.audit.record("sign_in.unlocked", _subject(tx, name), address=address)
    door = door.tried(tx.now, _rule(tx))
    tx.sessions.note_tries(name, address, door.tried_at, door.locked_until)
    person = tx.users.by_name(name) if known else None
    person = None if person is None or person.disabled else person
    return Attempt(name, address, None, len(door.tried_at), person, tx.users.password_hash(person.id) if person else None)


def finish_attempt(tx: Transaction, attempt: Attempt, right: bool, door_hash: bytes, target: str) -> bool:
    """Let the browser behind `door_hash` in, or write the failure down; True when it may enter."""
    subject = _subject(tx, attempt.name)
    if not right or attempt.person is None:
        tx.audit.record("sign_in.failed", subject, address=attempt.address, failures=attempt.tries)
        if attempt.tries >= tx.settings.throttle_failures:
            tx.audit.record("sign_in.locked", subject, address=attempt.address, failures=attempt.tries,
                            seconds=tx.settings.throttle_lock_seconds)
        return False
    tx.sessions.note_tries(attempt.name, attempt.address, (), None)
    tx.sessions.leave_ticket(door_hash, attempt.person.id, local_target(target), TICKET_SECONDS)
    tx.sessions.sweep()
    return True


def enter(tx: Transaction, door_hash: bytes, token_hash: bytes, previous: bytes | None, address: str,
          agent: str) -> Entered | None:
    """Turn the ticket left for this browser into a session under a new token; the `previous` one ends. None without
    a ticket."""
    ticket = tx.sessions.take_ticket(door_hash)
    if ticket is None:
        return None
    user_id, name, target = ticket
    if previous:
        tx.sessions.revoke(previous)
    tx.sessions.open(token_hash, user_id, tx.settings.session_hours, address, agent)
    tx.audit.record("sign_in", f"user:{name}", address=address)
    return Entered(name, target)


def leave(tx: Transaction, token_hash: bytes, address: str) -> None:
    """Sign out: this session ends now, on every machine."""
    name = tx.sessions.revoke(token_hash)
    if name:
        tx.audit.record("sign_out", f"user:{name}", address=address)


def leave_everywhere(tx: Transaction, name: str, by: Person, keep: bytes = b"") -> int:
    """End a person's own sessions except `keep`; how many."""
    if by.name != name:
        allow(by, Action.MANAGE_USERS)
    ended = tx.sessions.revoke_all(find(tx, name).id, keep)
    tx.audit.record("sign_out.everywhere", f"user:{name}", sessions_ended=ended)
    return ended


def local_target(target: str) -> str:
    """`target` when it is a path of this site, else `/`: nobody is sent elsewhere after signing in."""
    plain = target.startswith("/") and not target.startswith("//") and "\\" not in target and target.isprintable()
    return target if plain and not target.startswith("/auth/") and len(target) <= 2000 else "/"


def fingerprint(token: str) -> bytes:
    """What is kept of a cookie's random value: its SHA-256."""
    return hashlib.sha256(token.encode()).digest()


def _door(tx: Transaction, name: str, address: str) -> tuple[tuple[datetime, ...], datetime | None]:
    tried_at, locked_until = tx.sessions.tries(name, address)
    return tuple(tried_at), locked_until


def _rule(tx: Transaction) -> Throttle:
    knobs = tx.settings
    return Throttle(knobs.throttle_failures, timedelta(seconds=knobs.throttle_window_seconds),
                    timedelta(seconds=knobs.throttle_lock_seconds))


def _subject(tx: Transaction, name: str) -> str:
    """Names nobody has are not written down: somebody may have typed a password there."""
    return f"user:{name}" if tx.users.by_name(name) else "user:(unknown)"
