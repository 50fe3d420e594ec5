"""A person, a browser, and a sign-in in one line each."""

from __future__ import annotations

from functools import lru_cache

from data import passwords
from data.postgres.store import Store
from engine.policy import OPERATOR
from engine.services import users
from engine.services.users import fingerprint
from engine.users import Person, Role

PASSWORD = "a long enough password"
BROWSER = fingerprint("the door cookie of a browser")
HERE = "198.51.100.7"


def somebody(store: Store, name: str = "alice", role: Role = Role.RESEARCHER, payer: str = "") -> Person:
    """A person who can sign in with PASSWORD."""
    password_hash = _hash()
    return store.run(lambda tx: users.add(tx, name, role, password_hash, payer, by=OPERATOR), actor=OPERATOR.name)


@lru_cache
def _hash() -> str:
    return passwords.hashed(PASSWORD)


def session(store: Store, name: str, token: str) -> bytes:
    """An open session of `name` under `token`; its hash."""
    person, token_hash = store.read(lambda tx: users.find(tx, name)), fingerprint(token)
    store.run(lambda tx: tx.sessions.open(token_hash, person.id, 12, HERE, "a browser"))
    return token_hash


def holder(store: Store, token_hash: bytes) -> str | None:
    """Whose live session this is."""
    person = store.read(lambda tx: tx.sessions.holder(token_hash, 30))
    return person.name if person else None


def audited(store: Store) -> list[tuple[str, str]]:
    """(action, subject) of every audit entry about people and doors."""
    entries = store.read(lambda tx: [(entry.action, entry.subject) for entry in tx.audit.chain()])
    return [(action, subject) for action, subject in entries if action.startswith(("user.", "sign_"))]


def shift(store: Store, column: str, table: str, interval: str) -> None:
    """Let time pass: move a timestamp column of every row into the past."""
    store.run(lambda tx: tx.sessions.execute(f"update {table} set {column} = {column} - interval '{interval}'"))
