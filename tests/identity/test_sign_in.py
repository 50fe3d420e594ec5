"""Signing in against real Postgres: the throttle, the neutral words, the ticket, and what the audit chain keeps of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from dashboard.signing_in import change_password, sign_in
from data import passwords
from data.postgres.store import Store
from engine.errors import DomainError
from engine.policy import OPERATOR
from engine.services import users
from engine.services.users import TooManyAttempts, WrongPassword, fingerprint
from engine.users import BadPassword
from tests.identity.given import BROWSER, HERE, PASSWORD, audited, holder, session, shift, somebody


def attempt(store: Store, name: str, password: str, address: str = HERE) -> str:
    """`in`, or the sentence of the refusal."""
    try:
        sign_in(store, name, password, BROWSER, address, "/usage?account=ai-lab")
    except DomainError as refusal:
        return refusal.sentence
    return "in"


def enter(store: Store, token: str, previous: bytes | None = None, door: bytes = BROWSER) -> users.Entered | None:
    return store.run(lambda tx: users.enter(tx, door, fingerprint(token), previous, HERE, "a browser"))


def test_a_right_password_leaves_a_ticket_for_this_browser_once(store: Store) -> None:
    somebody(store)
    assert attempt(store, "alice", PASSWORD) == "in"
    assert enter(store, "t0", door=fingerprint("another browser")) is None
    assert enter(store, "t1") == users.Entered("alice", "/usage?account=ai-lab")
    assert enter(store, "t2") is None
    assert holder(store, fingerprint("t1")) == "alice" and holder(store, fingerprint("t2")) is None
    assert audited(store)[-1] == ("sign_in", "user:alice")


def test_a_ticket_is_worth_nothing_after_half_a_minute(store: Store) -> None:
    somebody(store)
    assert attempt(store, "alice", PASSWORD) == "in"
    shift(store, "expires_at", "sign_in_ticket", "31 seconds")
    assert enter(store, "t1") is None


def test_signing_in_again_ends_the_session_before(store: Store) -> None:
    somebody(store)
    before = session(store, "alice", "old")
    attempt(store, "alice", PASSWORD)
    enter(store, "new", previous=before)
    assert holder(store, before) is None and holder(store, fingerprint("new")) == "alice"


def test_twelve_wrong_passwords_lock_after_five_and_the_right_one_waits_too(store: Store) -> None:
    somebody(store)
    answers = [attempt(store, "alice", f"wrong password {n}") for n in range(12)]
    assert answers[:5] == ["The name or the password is not right."] * 5
    assert answers[5:] == ["Too many attempts. Try again in 5 minutes."] * 7
    assert attempt(store, "alice", PASSWORD).startswith("Too many attempts.")
    shift(store, "locked_until", "sign_in_throttle", "4 minutes 30 seconds")
    assert attempt(store, "alice", PASSWORD) == "Too many attempts. Try again in 1 minute."
    shift(store, "locked_until", "sign_in_throttle", "31 seconds")
    assert attempt(store, "alice", PASSWORD) == "in"


def test_the_lock_holds_for_one_name_at_one_address(store: Store) -> None:
    somebody(store)
    somebody(store, "bob")
    for _ in range(5):
        attempt(store, "alice", "wrong password")
    assert attempt(store, "alice", PASSWORD, address="203.0.113.9") == "in"
    assert attempt(store, "bob", PASSWORD) == "in"


def test_a_name_nobody_has_is_answered_and_locked_alike(store: Store) -> None:
    answers = [attempt(store, "nobody-here", "wrong password") for _ in range(6)]
    assert answers[0] == "The name or the password is not right." and answers[5].startswith("Too many attempts.")


def test_a_name_nobody_has_takes_the_same_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bcrypt check each, of one cost."""
    somebody(store)
    checked: list[str] = []
    hasher = passwords._hasher()
    check = hasher.check_pw
    monkeypatch.setattr(hasher, "check_pw", lambda password, known: checked.append(known[:7]) or check(password, known))
    attempt(store, "alice", "wrong password")
    attempt(store, "nobody-here", "wrong password")
    assert len(checked) == 2 and checked[0] == checked[1]


def test_attempts_side_by_side_are_all_counted(store: Store) -> None:
    """Twelve at once: five passwords are looked at, seven are turned away before."""
    somebody(store)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda n: attempt(store, "alice", f"wrong password {n}"), range(12)))
    assert sum(answer.startswith("The name") for answer in answers) == 5


def test_four_failures_and_a_success_leave_nothing_behind(store: Store) -> None:
    somebody(store)
    for _ in range(2):
        for n in range(4):
            assert attempt(store, "alice", f"wrong password {n}").startswith("The name")
        assert attempt(store, "alice", PASSWORD) == "in"


@pytest.mark.parametrize(("name", "password"), [("alice", ""), ("", PASSWORD), ("alice\0", PASSWORD), ("alice", "x" * 5000),
                                                ("alice", PASSWORD + "\0"), ("' or 1=1 --", "x"), ("alice ", PASSWORD)])
def test_odd_input_is_only_wrong(store: Store, name: str, password: str) -> None:
    somebody(store)
    assert attempt(store, name, password) == "The name or the password is not right."


def test_a_disabled_person_is_not_told_so_and_loses_every_session(store: Store) -> None:
    somebody(store)
    open_one = session(store, "alice", "t")
    assert store.run(lambda tx: users.disable(tx, "alice", OPERATOR)) == 1
    assert holder(store, open_one) is None
    assert attempt(store, "alice", PASSWORD) == "The name or the password is not right."


def test_the_chain_tells_of_failures_locks_and_entries_without_the_password(store: Store) -> None:
    somebody(store)
    for n in range(6):
        attempt(store, "alice", f"secret wrong password {n}")
    attempt(store, "hunter2 typed as a name", "x")
    shift(store, "locked_until", "sign_in_throttle", "6 minutes")
    attempt(store, "alice", PASSWORD)
    enter(store, "t1")
    store.run(lambda tx: users.leave(tx, fingerprint("t1"), HERE))
    told = [action for action, subject in audited(store) if subject == "user:alice"]
    assert told == ["user.add", *["sign_in.failed"] * 5, "sign_in.locked", "sign_in.unlocked", "sign_in", "sign_out"]
    bodies = b"".join(store.read(lambda tx: [entry.body for entry in tx.audit.chain()]))
    assert b"wrong password" not in bodies and PASSWORD.encode() not in bodies and b"hunter2" not in bodies


def test_changing_the_password_asks_for_the_old_one_and_ends_the_others(store: Store) -> None:
    alice = somebody(store)
    here, there = session(store, "alice", "here"), session(store, "alice", "there")
    with pytest.raises(BadPassword, match="current"):
        change_password(store, alice, "not the old one", "a new long password", "a new long password", here)
    with pytest.raises(BadPassword, match="differ"):
        change_password(store, alice, PASSWORD, "a new long password", "another long password", here)
    change_password(store, alice, PASSWORD, "a new long password", "a new long password", here)
    assert holder(store, here) == "alice" and holder(store, there) is None
    assert attempt(store, "alice", PASSWORD).startswith("The name")
    assert attempt(store, "alice", "a new long password") == "in"


def test_refusals_have_their_http_status() -> None:
    assert (WrongPassword.status, TooManyAttempts.status) == (401, 429)
