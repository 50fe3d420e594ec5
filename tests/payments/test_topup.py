"""A top-up, as the diagram goes: the user enters an amount, the backend makes a payment and a checkout, the provider tells by a
signed webhook, the wallet is credited once, and the browser comes back to a page that shows what the books say.

    U->>FE: Enter amount, click Add Funds
    FE->>BE: start a top-up              BE->>ST: create checkout session      ST-->>BE: checkout URL
    FE->>ST: redirect to checkout
    ST->>BE: webhook                     BE->>BE: verify signature + dedupe event id, credit internal balance
    ST->>FE: redirect back
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import requests

from data.postgres.store import Store
from engine.errors import DomainError, NotAllowed, NotFound
from engine.money import Money
from engine.payments import NoProvider, Payment
from engine.services.payments import StartedPayment
from engine.services.wallets import get_topup, start_topup
from engine.users import Person, Role
from engine.wallets import BadAmount
from tests.payments.conftest import Books, SidecarProcess, SidecarThread, event, wait_until

ALICE = Person(1, "alice", Role.RESEARCHER, "alice")
BOB = Person(2, "bob", Role.RESEARCHER, "bob")
FINN = Person(3, "finn", Role.FINANCE, "finn")
AUDRA = Person(4, "audra", Role.AUDITOR, "audra")
BAHT_500 = Money(500_000_000, "THB")


def start(store: Store, owner: str, money: Money, by: Person, provider: str = "") -> StartedPayment:
    return store.run(lambda tx: start_topup(tx, owner, money, by, provider), actor=by.name)


def stands(books: Books, payment: Payment) -> tuple[str, int]:
    found = books.store.read(lambda tx: tx.payments.find(payment.reference))
    assert found is not None
    return str(found.status), found.received_micro


def test_the_whole_flow_from_amount_to_balance(new_sidecar: Callable[[], SidecarProcess], books: Books) -> None:
    sidecar = new_sidecar()
    object.__setattr__(books.store, "settings", books.store.settings.model_copy(update={"sidecar_url": sidecar.url}))
    sidecar.start()
    assert books.ledger() == {}

    # U->>FE: enter amount, click Add funds; FE->>BE
    started = start(books.store, "alice", BAHT_500, ALICE)
    assert stands(books, started.payment) == ("pending", 0) and books.ledger() == {}

    # FE->>ST: redirect to checkout (BE->>ST: create checkout session)
    page = requests.get(started.url, timeout=10)
    assert "500.00 THB" in page.text and started.payment.reference in page.text

    # ST->>BE: webhook; ST->>FE: redirect back
    token = re.search(r'name="token" value="([^"]+)"', page.text)
    assert token
    back = requests.post(f"{sidecar.url}/dummy/checkout", data={"token": token[1], "action": "twice"}, timeout=10, allow_redirects=False)
    assert back.headers["location"] == f"http://localhost:8501/top-up?payment={started.payment.reference}"

    # BE->>BE: verify signature, dedupe event id, credit internal balance
    wait_until(lambda: stands(books, started.payment)[0] == "succeeded" and len(books.inbox()) == 2 and books.drained(), "credited")
    assert stands(books, started.payment) == ("succeeded", 500_000_000)
    assert books.ledger() == {"clearing:dummy": 500_000_000, "wallet:alice": 500_000_000}
    assert books.actions() == ["payment.started", "payment.succeeded"]
    assert requests.get(started.url, timeout=10, allow_redirects=False).headers["location"].endswith(started.payment.reference)


def test_what_came_counts_not_what_was_asked(sidecar: SidecarThread, books: Books) -> None:
    """Too little, then more under the same reference: the wallet has all of it, each charge with a payment of its own."""
    payment = start(books.store, "alice", BAHT_500, ALICE).payment
    for minor, money in ((49_900, "ch_1"), (49_900, "ch_1"), (10_000, "ch_2")):
        assert sidecar.post(event(payment.reference, amount_minor=minor, money=money)).status_code == 200
        wait_until(books.drained, "drained")
    assert stands(books, payment) == ("succeeded", 499_000_000)
    assert books.ledger() == {"clearing:dummy": 599_000_000, "wallet:alice": 599_000_000}
    assert books.inbox()[2][1] == ("succeeded: 100.00 THB came where 500.00 THB was asked for: it is in the wallet of alice, after "
                                   "499.00 THB before")


def test_a_second_press_finds_the_open_one(store: Store, books: Books) -> None:
    books.receipt_of("alice")
    first = start(store, "alice", BAHT_500, ALICE)
    assert start(store, "alice", BAHT_500, ALICE) == first
    assert start(store, "alice", Money(100_000_000, "THB"), ALICE).payment != first.payment
    assert start(store, "alice", BAHT_500, FINN).payment.reference != first.payment.reference


@pytest.mark.parametrize(("money", "sentence"), [
    (Money(0, "THB"), "more than 0.00 THB"), (Money(-500_000_000, "THB"), "more than 0.00 THB"),
    (Money(19_990_000, "THB"), "20.00 THB at least and 50,000.00 THB at most"),
    (Money(50_000_010_000, "THB"), "20.00 THB at least and 50,000.00 THB at most"),
    (Money(100_005_000, "THB"), "The smallest coin is 0.01 THB"), (Money(500_000_000, "USD"), "This wallet holds THB, not USD"),
])
def test_amounts_that_cannot_be_topped_up(store: Store, books: Books, money: Money, sentence: str) -> None:
    with pytest.raises(BadAmount, match=sentence):
        start(store, "alice", money, ALICE)


def test_who_may_fill_and_see_whose_wallet(store: Store, books: Books) -> None:
    books.receipt_of("alice")
    payment = start(store, "alice", BAHT_500, FINN).payment
    for person, refusal in ((BOB, NotFound), (AUDRA, NotAllowed)):
        with pytest.raises(refusal):
            start(store, "alice", BAHT_500, person)
    with pytest.raises(NotFound, match="No wallet 'nobody'"):
        start(store, "nobody", BAHT_500, FINN)
    assert store.read(lambda tx: get_topup(tx, payment.reference, AUDRA)) == payment
    for name, person in ((payment.reference, BOB), ("TXN_0000000000000000", ALICE)):
        with pytest.raises(NotFound):
            store.read(lambda tx, name=name, person=person: get_topup(tx, name, person))    # type: ignore[misc]


def test_the_payer_chooses_among_those_that_are_offered(store: Store, books: Books) -> None:
    with pytest.raises(NoProvider, match="'paypal' is not offered; dummy is"):
        start(store, "alice", BAHT_500, ALICE, "paypal")
    without = Store(store.engine, store.settings.model_copy(update={"payment_provider": ""}))
    with pytest.raises(DomainError, match="bank transfer"):
        start(without, "alice", BAHT_500, ALICE)
