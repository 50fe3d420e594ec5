"""Sessions end: by sign-out, by idleness, by age, with the person, everywhere at once."""

from __future__ import annotations

import pytest

from data.postgres.store import Store
from engine.errors import NotAllowed
from engine.policy import OPERATOR
from engine.services import users
from engine.users import Role
from tests.identity.given import HERE, holder, session, shift, somebody


def test_a_session_names_its_person_with_role_payer_and_projects(store: Store) -> None:
    somebody(store, "pia", payer="somchai.p")
    store.run(lambda tx: users.lead(tx, "pia", "genomics", OPERATOR))
    store.run(lambda tx: users.set_role(tx, "pia", Role.FINANCE, OPERATOR))
    token = session(store, "pia", "t")
    person = store.read(lambda tx: tx.sessions.holder(token, 30))
    assert person and (person.role, person.payer, person.projects) == (Role.FINANCE, "somchai.p", ("genomics",))


@pytest.mark.parametrize(("column", "passed", "alive"), [
    ("seen_at", "29 minutes", True), ("seen_at", "31 minutes", False), ("expires_at", "11 hours 59 minutes", True),
    ("expires_at", "12 hours 1 second", False)])
def test_idle_and_absolute_limits(store: Store, column: str, passed: str, alive: bool) -> None:
    somebody(store)
    token = session(store, "alice", "t")
    shift(store, column, "app_session", passed)
    assert (holder(store, token) == "alice") is alive


def test_a_click_puts_the_idle_limit_off(store: Store) -> None:
    somebody(store)
    token = session(store, "alice", "t")
    shift(store, "seen_at", "app_session", "29 minutes")
    store.run(lambda tx: tx.sessions.touch(token))
    shift(store, "seen_at", "app_session", "29 minutes")
    assert holder(store, token) == "alice"


def test_a_click_does_not_wake_the_dead(store: Store) -> None:
    somebody(store)
    token = session(store, "alice", "t")
    store.run(lambda tx: users.leave(tx, token, HERE))
    store.run(lambda tx: tx.sessions.touch(token))
    assert holder(store, token) is None


def test_signing_out_everywhere_keeps_this_one(store: Store) -> None:
    alice = somebody(store)
    somebody(store, "bob")
    here, there, bobs = session(store, "alice", "1"), session(store, "alice", "2"), session(store, "bob", "3")
    assert store.run(lambda tx: users.leave_everywhere(tx, "alice", alice, keep=here)) == 1
    assert (holder(store, here), holder(store, there), holder(store, bobs)) == ("alice", None, "bob")


def test_nobody_ends_anothers_sessions_or_changes_another(store: Store) -> None:
    alice = somebody(store)
    somebody(store, "bob")
    for work in (lambda tx: users.leave_everywhere(tx, "bob", alice), lambda tx: users.disable(tx, "bob", alice),
                 lambda tx: users.set_role(tx, "alice", Role.ADMIN, alice), lambda tx: users.set_password(tx, "bob", "x", alice),
                 lambda tx: users.add(tx, "eve", Role.ADMIN, "x", by=alice), lambda tx: users.lead(tx, "alice", "p", alice)):
        with pytest.raises(NotAllowed):
            store.run(work, actor="alice")
    assert [person.role for person in store.read(lambda tx: tx.users.everybody())] == [Role.RESEARCHER] * 2
