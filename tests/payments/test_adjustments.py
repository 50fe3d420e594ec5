"""Changing wallets by hand: alone up to the limit of 1,000.00, above it only when a second person says yes."""

from __future__ import annotations

import json
import signal

import pytest
import sqlalchemy as sa

from data.postgres.store import Store
from engine.errors import IllegalMove, NotAllowed
from engine.money import Money, parse_micro
from engine.services.adjustments import confirm_adjustment, reject_adjustment, request_adjustment, withdraw_adjustment
from engine.users import Person
from engine.wallets import Adjustment, BadAmount, BadReason, InsufficientBalance
from tests.conftest import Corehours
from tests.payments.conftest import Books

WHY = "the GPU nodes were down on 3 October"


def ask(store: Store, amount: str, by: Person, reason: str = WHY, key: str = "", currency: str = "THB") -> Adjustment:
    money = Money(parse_micro(amount), currency)
    return store.run(lambda tx: request_adjustment(tx, "alice", money, reason, by, key), actor=by.name)


@pytest.fixture
def ann(books: Books) -> Person:
    """An admin; alice is somebody who signs in."""
    books.person("alice")
    return books.person("ann", "admin")


def test_a_small_one_moves_at_once(books: Books, ann: Person) -> None:
    assert str(ask(books.store, "1000", ann).status) == "confirmed"
    assert books.ledger() == {"wallet:alice": 1_000_000_000, "adjustment:": 1_000_000_000}
    ask(books.store, "-250.50", books.person("bert", "finance"))
    assert books.ledger() == {"wallet:alice": 749_500_000, "adjustment:": 749_500_000}
    assert books.actions() == ["adjustment.requested", "adjustment.confirmed"] * 2


def test_a_large_one_waits_for_a_second_person(books: Books, ann: Person) -> None:
    ben, finn = books.person("ben", "admin"), books.person("finn", "finance")
    asked = ask(books.store, "1000.01", ann)
    assert str(asked.status) == "requested" and books.ledger() == {}
    with pytest.raises(IllegalMove, match="somebody else has to decide"):
        books.store.run(lambda tx: confirm_adjustment(tx, asked.id, ann), actor="ann")
    with pytest.raises(NotAllowed, match="finn"):
        books.store.run(lambda tx: confirm_adjustment(tx, asked.id, finn), actor="finn")
    assert books.store.run(lambda tx: confirm_adjustment(tx, asked.id, ben), actor="ben").decided_by == "ben"
    assert books.ledger() == {"wallet:alice": 1_000_010_000, "adjustment:": 1_000_010_000}
    for again in (confirm_adjustment, withdraw_adjustment):
        with pytest.raises(IllegalMove, match="is confirmed and cannot become"):
            books.store.run(lambda tx, again=again: again(tx, asked.id, ben), actor="ben")   # type: ignore[misc]


def test_a_form_that_was_sent_does_not_stand_for_another_change(books: Books, ann: Person) -> None:
    assert ask(books.store, "10", ann, key="form1") == ask(books.store, "10", ann, key="form1")
    with pytest.raises(IllegalMove, match="changed the wallet of alice by"):
        ask(books.store, "20", ann, key="form1")
    assert books.ledger() == {"wallet:alice": 10_000_000, "adjustment:": 10_000_000}


def test_slices_of_a_large_one_count_together(books: Books, ann: Person) -> None:
    """600 and then 500 by the same person on the same day are 1,100; another person's 500 is their own."""
    assert str(ask(books.store, "600", ann).status) == "confirmed"
    assert str(ask(books.store, "-500", ann).status) == "requested"
    assert str(ask(books.store, "500", books.person("ben", "admin")).status) == "confirmed"


def test_it_can_be_rejected_or_taken_back(books: Books, ann: Person) -> None:
    ben = books.person("ben", "admin")
    first, second = ask(books.store, "5000", ann), ask(books.store, "6000", ann)
    with pytest.raises(IllegalMove, match="ann asked for it: only they can take it back"):
        books.store.run(lambda tx: withdraw_adjustment(tx, first.id, ben), actor="ben")
    assert str(books.store.run(lambda tx: reject_adjustment(tx, first.id, "the nodes were up", ben), actor="ben").status) == "rejected"
    assert str(books.store.run(lambda tx: withdraw_adjustment(tx, second.id, ann), actor="ann").status) == "withdrawn"
    assert books.ledger() == {}


def test_a_form_sent_twice_is_one_adjustment(books: Books, ann: Person) -> None:
    assert ask(books.store, "10", ann, key="k1").id == ask(books.store, "10", ann, key="k1").id
    assert books.ledger()["wallet:alice"] == 10_000_000


def test_what_cannot_be_adjusted(books: Books, ann: Person) -> None:
    for amount, currency, sentence in (("0", "THB", "must not be zero"), ("0.001", "THB", "smallest coin"), ("5", "USD", "holds THB")):
        with pytest.raises(BadAmount, match=sentence):
            ask(books.store, amount, ann, currency=currency)
    with pytest.raises(BadReason):
        ask(books.store, "5", ann, reason="because")
    with pytest.raises(InsufficientBalance, match=r"5\.00 THB cannot be taken out of 0\.00 THB"):
        ask(books.store, "-5", ann)
    with pytest.raises(NotAllowed, match="alice"):
        ask(books.store, "5", Person(9, "alice", books.person("carl").role, "alice"))


def test_the_database_says_no_as_well(books: Books, ann: Person) -> None:
    """Nobody confirms their own, in whatever way; what was decided stays."""
    asked = ask(books.store, "5000", ann)
    alone = "update adjustment_request set status = 'confirmed', decided_by = 'ann', decided_at = now()"
    for sql in (alone, "update adjustment_request set amount_micro = 1", "delete from adjustment_request", "truncate adjustment_request"):
        with pytest.raises(sa.exc.DBAPIError):
            books.store.run(lambda tx, sql=sql: tx.wallets.execute(sql))   # type: ignore[misc]
    assert books.store.read(lambda tx: [one.status for one in tx.wallets.adjustments()]) == [asked.status]


def test_on_the_command_line(books: Books, ann: Person, corehours: Corehours) -> None:
    """The operator asks for 5,000 and an admin confirms; what a killed command did not commit it did not do."""
    killed = corehours("wallets", "adjust", "alice", "50", "--reason", WHY, COREHOURS_FAILPOINT="wallets.adjust.committing")
    assert killed.returncode == -signal.SIGKILL and books.ledger() == {}
    killed = corehours("wallets", "adjust", "alice", "50", "--reason", WHY, COREHOURS_FAILPOINT="wallets.adjust.committed")
    assert killed.returncode == -signal.SIGKILL and books.ledger()["wallet:alice"] == 50_000_000

    asked = json.loads(corehours("wallets", "adjust", "alice", "5,000", "--reason", WHY, "--json").stdout)
    assert (asked["status"], asked["amount_micro"], asked["needs_second"]) == ("requested", 5_000_000_000, True)
    assert corehours("wallets", "confirm", asked["id"]).stderr == (
        "This step is not possible in the present state. You asked for it: somebody else has to decide.\n")
    books.store.run(lambda tx: confirm_adjustment(tx, asked["id"], ann), actor="ann")
    [wallet] = json.loads(corehours("wallets", "show", "alice", "--json").stdout)
    assert wallet == {"owner": "alice", "currency": "THB", "balance_micro": 5_050_000_000, "frozen_micro": 0,
                      "available_micro": 5_050_000_000}
    statement = json.loads(corehours("wallets", "statement", "alice", "--json").stdout)
    assert [(line["what"], line["moved_micro"], line["balance_micro"]) for line in statement] == [
        ("adjustment", 5_000_000_000, 5_050_000_000), ("adjustment", 50_000_000, 50_000_000)]
    receipt = books.receipt_of("alice")
    paid = json.loads(corehours("wallets", "pay", receipt.number, "--from", "alice", "--json").stdout)
    assert paid["status"] == "paid"
    topup = json.loads(corehours("wallets", "topup", "alice", "500", "--json").stdout)
    assert topup["url"].endswith(f"/pay/{topup['reference']}") and topup["amount_micro"] == 500_000_000
