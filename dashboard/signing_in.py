"""Signing in, without a page: look at the throttle, look at the password, leave a ticket for the browser.

The slow look at the password happens between two transactions, in the caller's thread.
"""

from __future__ import annotations

from data import passwords
from data.postgres.store import Store
from engine.services import users
from engine.services.users import TooManyAttempts, WrongPassword
from engine.users import BadPassword, Person, check_password


def sign_in(store: Store, name: str, password: str, door_hash: bytes, address: str, target: str) -> None:
    """Leave a ticket for the browser behind `door_hash` when the password is right; refused otherwise, in the same words
    and the same time whether somebody has that name or not."""
    attempt = store.run(lambda tx: users.begin_attempt(tx, name, address), actor="system")
    if attempt.locked is not None:
        raise TooManyAttempts(attempt.locked)
    right = passwords.matches(password, attempt.password_hash)
    if not store.run(lambda tx: users.finish_attempt(tx, attempt, right, door_hash, target), actor="system"):
        raise WrongPassword


def change_password(store: Store, person: Person, current: str, new: str, repeat: str, keep: bytes) -> None:
    """Replace one's own password, asked for the current one; every session but `keep` ends. Refused with BadPassword."""
    check_password(person.name, new)
    if new != repeat:
        raise BadPassword("The two new ones differ.")
    known = store.read(lambda tx: tx.users.password_hash(person.id))
    if not passwords.matches(current, known):
        raise BadPassword("The current one is not right.")
    new_hash = passwords.hashed(new)
    store.run(lambda tx: users.set_password(tx, person.name, new_hash, person, keep), actor=person.name)
