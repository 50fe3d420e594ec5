"""What each role may do, what a name and a password may be, and how the door counts: all by literals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.errors import DomainError
from engine.services.users import local_target
from engine.users import (
    ALLOWED,
    Action,
    Door,
    Person,
    Role,
    Throttle,
    check_name,
    check_password,
    generated_password,
    may,
)

RULE = Throttle(failures=5, window=timedelta(seconds=60), lock=timedelta(seconds=300))
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
WRITES = {Action.BILL_ALL, Action.SETTLE, Action.VOID, Action.SET_RATES, Action.SET_TIER, Action.MANAGE_USERS, Action.PAY,
          Action.BILL_OWN, Action.RENT, Action.MANAGE_NODES}


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def tried(*seconds: float) -> Door:
    """The door after attempts at these seconds past noon, none of them successful."""
    door = Door()
    for second in seconds:
        door = door.tried(after(second), RULE)
    return door


def test_every_role_has_its_actions() -> None:
    assert set(ALLOWED) == set(Role)
    assert ALLOWED[Role.ADMIN] == set(Action)


def test_a_researcher_sees_and_pays_their_own_only() -> None:
    assert ALLOWED[Role.RESEARCHER] == {Action.SEE_OWN, Action.BILL_OWN, Action.PAY, Action.RENT}


def test_an_auditor_changes_nothing() -> None:
    assert not ALLOWED[Role.AUDITOR] & WRITES
    assert may(Role.AUDITOR, Action.SEE_AUDIT) and may(Role.AUDITOR, Action.SEE_ALL)


def test_finance_settles_but_sets_no_rates() -> None:
    assert may(Role.FINANCE, Action.SETTLE)
    assert not may(Role.FINANCE, Action.SET_RATES) and not may(Role.FINANCE, Action.MANAGE_USERS)


def test_a_disabled_person_may_nothing() -> None:
    assert not any(Person(1, "a", Role.ADMIN, "a", disabled=True).may(action) for action in Action)


@pytest.mark.parametrize("name", ["", " a", "a b", "-a", "a\n", "a/b", "ä", "a" * 129, "<b>", "system", "Operator"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(DomainError):
        check_name(name)


@pytest.mark.parametrize("name", ["somchai.p", "a", "w_1@lab.example", "A-b+c"])
def test_names_that_are_taken(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("password", ["", "nine char", "a" * 73, "ก" * 25, "abcdefghij\0k", "Somebody.Long"])
def test_passwords_that_are_refused(password: str) -> None:
    with pytest.raises(DomainError):
        check_password("somebody.long", password)


def test_a_generated_password_passes_its_own_rules_and_never_repeats() -> None:
    made = {generated_password() for _ in range(50)}
    assert len(made) == 50
    for password in made:
        check_password("somebody", password)


def test_the_fifth_failure_within_a_minute_locks_for_five() -> None:
    assert not tried(0, 10, 20, 30).locked(after(31))
    door = tried(0, 10, 20, 30, 59)
    assert door.locked(after(59 + 299)) and not door.locked(after(59 + 300))


def test_the_minute_slides() -> None:
    """Four at the end of one minute and one at the start of the next are five within a minute."""
    assert tried(50, 55, 58, 59, 61).locked(after(62))
    assert not tried(0, 20, 40, 59, 61).locked(after(62))


def test_after_a_lock_the_count_begins_anew() -> None:
    door = tried(0, 1, 2, 3, 4).tried(after(305), RULE)
    assert not door.locked(after(305)) and len(door.tried_at) == 1


@pytest.mark.parametrize(("asked", "sent"), [
    ("/usage?account=ai-lab", "/usage?account=ai-lab"), ("//evil.example", "/"), ("https://evil.example", "/"),
    ("/\\evil.example", "/"), ("/auth/logout", "/"), ("", "/"), ("/a\r\nSet-Cookie: x", "/"), ("/" + "a" * 3000, "/")])
def test_signing_in_leads_nowhere_else(asked: str, sent: str) -> None:
    assert local_target(asked) == sent
