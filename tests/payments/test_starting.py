"""Who may start a payment, for what, and what happens when they press the button twice."""

from __future__ import annotations

import pytest
import requests

from data.postgres.store import Store
from engine.errors import IllegalMove, NotAllowed, NotFound
from engine.payments import Checkout, NoProvider, Outcome, ProviderTrouble
from engine.policy import OPERATOR
from engine.services.payments import StartedPayment, start_payment
from engine.services.receipts import mark_paid
from engine.users import Person, Role
from tests.payments.conftest import Books, SidecarThread
from webhooks.providers.dummy import DummyProvider

ALICE = Person(1, "alice", Role.RESEARCHER, "alice")
BOB = Person(2, "bob", Role.RESEARCHER, "bob")
FINN = Person(3, "finn", Role.FINANCE, "finn")
AUDITOR = Person(4, "audra", Role.AUDITOR, "audra")


def start(store: Store, name: str, by: Person) -> StartedPayment:
    return store.run(lambda tx: start_payment(tx, name, by), actor=by.name)


def test_the_payer_and_finance_may_pay_nobody_else(store: Store, books: Books) -> None:
    receipt = books.receipt_of("alice")
    with pytest.raises(NotFound, match=receipt.number):
        start(store, receipt.number, BOB)
    with pytest.raises(NotAllowed, match="audra"):
        start(store, receipt.number, AUDITOR)
    started = start(store, receipt.number, ALICE)
    assert (str(started.payment.money), started.payment.provider, started.payment.livemode) == ("60.60 THB", "dummy", False)
    assert started.url == f"http://localhost:8601/pay/{started.payment.reference}"
    assert (started.payment.expires_at - started.payment.created_at).total_seconds() == 20 * 60
    assert start(store, receipt.id, FINN).payment == started.payment, "one open payment, whoever presses"
    assert books.actions() == ["receipt.created", "payment.started"]


def test_what_is_paid_is_not_paid_again(store: Store, books: Books) -> None:
    receipt = books.receipt_of("alice")
    store.run(lambda tx: mark_paid(tx, receipt.id, "cash", OPERATOR), actor="operator")
    with pytest.raises(IllegalMove, match=f"Receipt {receipt.number} is paid: there is nothing to pay"):
        start(store, receipt.id, ALICE)
    with pytest.raises(NotFound):
        start(store, "CH-2026-999999", OPERATOR)


def test_without_a_provider_there_is_no_payment(store: Store, books: Books) -> None:
    receipt = books.receipt_of("alice")
    without = Store(store.engine, store.settings.model_copy(update={"payment_provider": ""}))
    with pytest.raises(NoProvider, match="bank transfer"):
        start(without, receipt.id, ALICE)


@pytest.mark.parametrize(("outcome", "what_now"), [(Outcome.UNKNOWN, "try again in a minute"), (Outcome.REFUSED, "or begin anew")])
def test_a_payer_whom_the_provider_does_not_take_hears_what_to_do(
        sidecar: SidecarThread, books: Books, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, what_now: str) -> None:
    def away(*_: object) -> Checkout:
        raise ProviderTrouble("dummy did not answer in time.", outcome)
    monkeypatch.setattr(DummyProvider, "checkout", away)
    answer = requests.get(f"{sidecar.url}/pay/{books.payment_of(books.receipt_of('alice')).reference}", timeout=10)
    assert answer.status_code == 502 and "Nothing was charged" in answer.text and what_now in answer.text


def test_the_database_itself_guards_payments(store: Store, books: Books) -> None:
    payment = books.payment_of(books.receipt_of("alice"))
    for sql in ("update payment set amount_micro = 1", "delete from payment", "update payment set status = 'reverted'",
                "truncate payment cascade"):
        with pytest.raises(Exception, match=r"never changes|does not go|refused|written once"):
            store.run(lambda tx, sql=sql: tx.payments.execute(sql))  # type: ignore[misc]
    assert books.payment_status(payment) == "pending"
