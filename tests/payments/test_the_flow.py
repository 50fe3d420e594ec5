"""From a pending receipt to a paid one: checkout page, signed webhook, ledger."""

from __future__ import annotations

import re
from collections.abc import Callable

import requests

from engine.policy import OPERATOR
from engine.services.payments import start_payment
from tests.payments.conftest import Books, SidecarProcess, SidecarThread, event, wait_until


def test_a_receipt_is_paid_through_the_hosted_checkout(
        new_sidecar: Callable[[], SidecarProcess], books: Books) -> None:
    """alice owes 60.60; she opens the link, presses Pay, and the provider's webhook settles the receipt."""
    sidecar = new_sidecar()
    object.__setattr__(books.store, "settings", books.store.settings.model_copy(update={"sidecar_url": sidecar.url}))
    sidecar.start()
    receipt = books.receipt_of("alice")
    assert books.ledger() == {"receivable:alice": 60_600_000, "income:cpu": 60_600_000}

    started = books.store.run(lambda tx: start_payment(tx, receipt.number, OPERATOR), actor="operator")
    page = requests.get(started.url, timeout=10)
    assert "60.60 THB" in page.text and started.payment.reference in page.text
    token = re.search(r'name="token" value="([^"]+)"', page.text)
    assert token
    answer = requests.post(f"{sidecar.url}/dummy/checkout", data={"token": token[1], "action": "pay"}, timeout=10,
                           allow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"http://localhost:8501/receipt?id={receipt.id}")

    wait_until(lambda: books.status(receipt) == "paid", "paid")
    assert books.ledger() == {"clearing:dummy": 60_600_000, "income:cpu": 60_600_000}
    assert books.actions() == ["receipt.created", "payment.started", "payment.succeeded", "receipt.paid"]
    assert requests.get(started.url, timeout=10, allow_redirects=False).headers["location"].endswith(receipt.id)


def test_the_same_event_twice_pays_once(sidecar: SidecarThread, books: Books) -> None:
    receipt = books.receipt_of("alice")
    body = event(books.payment_of(receipt).reference)
    assert sidecar.post(body).json() == {"status": "stored"}
    assert sidecar.post(body).json() == {"status": "duplicate"}
    wait_until(books.drained, "drained")
    assert books.status(receipt) == "paid"
    assert books.ledger()["clearing:dummy"] == 60_600_000
