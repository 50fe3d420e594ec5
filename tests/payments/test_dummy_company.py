"""The dummy's desk, over HTTP on a real sidecar: what its staff and its banks do comes to our books by webhooks, once."""

from __future__ import annotations

import re

import pytest
import requests

from data.postgres.store import Store
from engine.money import Money
from engine.payments import Payment
from engine.policy import OPERATOR
from engine.refunds import Refund
from engine.services.refunds import request_refund
from tests.payments.conftest import Books, SidecarThread, wait_until
from webhooks.providers import dummy
from webhooks.providers.dummy_company import Fault

PAID = {"clearing:dummy": 60_600_000, "income:cpu": 60_600_000}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refunds arrive almost at once."""
    monkeypatch.setattr(dummy, "REFUND_SECONDS", 0.05)


def press(sidecar: SidecarThread, action: str) -> requests.Response:
    """A button of the desk."""
    desk = requests.get(f"{sidecar.url}/dummy/desk", timeout=10).text
    assert f'value="{action}"' in desk, action
    token = re.search(r'name="token" value="([^"]+)"', desk)
    assert token
    return requests.post(f"{sidecar.url}/dummy/desk", data={"token": token[1], "action": action}, timeout=10)


def paid(sidecar: SidecarThread, books: Books, action: str = "pay") -> Payment:
    """A receipt that was paid at the dummy's checkout."""
    receipt = books.receipt_of("alice")
    payment = books.payment_of(receipt)
    page = requests.get(f"{sidecar.url}/pay/{payment.reference}", timeout=10)
    token = re.search(r'name="token" value="([^"]+)"', page.text)
    assert token
    requests.post(f"{sidecar.url}/dummy/checkout", data={"token": token[1], "action": action}, timeout=10, allow_redirects=False)
    if action == "pay":
        wait_until(lambda: books.status(receipt) == "paid", "paid")
    return payment


def refunds(store: Store, payment: Payment) -> list[Refund]:
    return store.read(lambda tx: tx.refunds.of_payment(payment.id))


def asked(store: Store, payment: Payment, micro: int) -> Refund:
    return store.run(lambda tx: request_refund(tx, payment.reference, Money(micro, "THB"), "the job was lost", OPERATOR), actor="operator")


@pytest.mark.parametrize("fault", [None, Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER, Fault.ERROR_AFTER])
def test_a_refund_that_we_ask_for_arrives_once(sidecar: SidecarThread, books: Books, store: Store, fault: Fault | None,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever becomes of the first call."""
    monkeypatch.setattr("webhooks.refunds.SETTLE_SECONDS", 0.2)
    payment = paid(sidecar, books)
    if fault:
        press(sidecar, f"break {fault}")
    asked(store, payment, 10_000_000)
    wait_until(lambda: [str(one.status) for one in refunds(store, payment)] == ["succeeded"], "refunded")
    assert books.ledger() == {"clearing:dummy": 50_600_000, "income:cpu": 50_600_000}


def test_a_refund_that_is_said_no_to_fails(sidecar: SidecarThread, books: Books, store: Store) -> None:
    payment = paid(sidecar, books)
    press(sidecar, "break 400")
    asked(store, payment, 10_000_000)
    wait_until(lambda: [str(one.status) for one in refunds(store, payment)] == ["failed"], "refused")
    assert books.ledger() == PAID


def test_a_refund_made_at_the_desk_comes_to_our_books(sidecar: SidecarThread, books: Books, store: Store) -> None:
    payment = paid(sidecar, books)
    press(sidecar, f"refund_half {payment.reference}")
    wait_until(lambda: [(str(one.status), str(one.money)) for one in refunds(store, payment)] == [("succeeded", "30.30 THB")], "told")
    assert books.ledger() == {"clearing:dummy": 30_300_000, "income:cpu": 30_300_000}


def test_a_dispute_that_is_lost(sidecar: SidecarThread, books: Books) -> None:
    payment = paid(sidecar, books)
    press(sidecar, f"dispute {payment.reference}")
    wait_until(lambda: "dispute:dummy" in books.ledger(), "withdrawn")
    name = re.search(r'value="lose (dp_[0-9]+)"', requests.get(f"{sidecar.url}/dummy/desk", timeout=10).text)
    assert name
    press(sidecar, f"lose {name[1]}")
    wait_until(lambda: books.ledger() == {"write_off:disputes": 60_600_000, "income:cpu": 60_600_000}, "written off")


def test_money_that_comes_later(sidecar: SidecarThread, books: Books) -> None:
    payment = paid(sidecar, books, action="later")
    wait_until(lambda: books.payment_status(payment) == "processing", "on its way")
    press(sidecar, f"arrive {payment.reference}")
    wait_until(lambda: books.ledger() == PAID, "arrived")


def test_the_desk_takes_no_forms_of_others(sidecar: SidecarThread, books: Books) -> None:
    for form in ({}, {"action": "break 429"}, {"token": "x", "action": "break 429"}):
        assert requests.post(f"{sidecar.url}/dummy/desk", data=form, timeout=10).status_code == 404
