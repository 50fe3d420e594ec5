"""Signing in, without a page: look at the throttle, look at the password, leave a ticket for the browser.

The slow look at the password happens between two transactions, in the caller's thread.
"""

from __future__ import annotations

from data import passwords
from data.postgres.store import Store
from engine.services import users
from engine.services.users import TooManyAttempts, WrongPassword


def sign_in(store: Store, name: str, password: str, door_hash: bytes, address: str, target: str) -> None:
    """Leave a ticket for the browser behind `door_hash` when the password is right; refused otherwise, in the same words
    and the same time whether somebody has that name or not."""
    attempt = store.run(lambda tx: users.begin_attempt(tx, name, address), actor="system")
    if attempt.locked is not None:
        raise TooManyAttempts(attempt.locked)
    right = passwords.matches(password, attempt.password_hash)
    if not store.run(lambda tx: users.finish_attempt(tx, attempt, right, door_hash, target), actor="system"):
        raise WrongPassword


def right_password(store: Store, name: str, password: str) -> bool:
    """True when this is the person's password (asked again before it is changed)."""
    known = store.read(lambda tx: tx.users.password_hash(users.find(tx, name).id))
    return passwords.matches(password, known)
