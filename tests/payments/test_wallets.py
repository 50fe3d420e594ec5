"""Paying receipts from wallets, sharing a project's, freezing, and finding out whose money it is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from data.postgres.store import Store
from engine.errors import IllegalMove, NotAllowed, NotFound
from engine.money import Money
from engine.payments import EventKind, ProviderEvent
from engine.policy import OPERATOR
from engine.receipts import Receipt
from engine.services import project_wallets
from engine.services.events import apply_event
from engine.services.wallets import assign_unapplied, owners_for, pay_from_wallet, see_wallet, start_topup
from engine.users import Person
from engine.wallets import InsufficientBalance, statement_word
from tests.payments.conftest import Books, SidecarThread, event, wait_until


def pay(store: Store, receipt: Receipt, owner: str, by: Person) -> str:
    return str(store.run(lambda tx: pay_from_wallet(tx, receipt.id, owner, by), actor=by.name).status)


def test_a_receipt_is_paid_from_the_wallet(books: Books) -> None:
    """alice has 100.00 in her wallet and owes 60.60."""
    alice = books.person("alice")
    books.give("alice", "100")
    receipt = books.receipt_of("alice")
    assert books.ledger() == {"adjustment:": 100_000_000, "wallet:alice": 100_000_000,
                              "receivable:alice": 60_600_000, "income:cpu": 60_600_000}
    assert pay(books.store, receipt, "alice", alice) == "paid"
    assert books.ledger() == {"adjustment:": 100_000_000, "wallet:alice": 39_400_000, "income:cpu": 60_600_000}
    [payment] = books.payments(receipt)
    assert (payment.provider, str(payment.status), payment.wallet, payment.settled_micro, payment.credited_micro) == (
        "wallet", "succeeded", "alice", 60_600_000, 0)
    assert books.actions()[-1] == "receipt.paid"
    with pytest.raises(IllegalMove, match="is paid: there is nothing to pay"):
        pay(books.store, receipt, "alice", alice)


def test_the_statement_runs_up_to_the_balance(books: Books) -> None:
    alice = books.person("alice")
    books.give("alice", "100")
    pay(books.store, books.receipt_of("alice"), "alice", alice)
    lines = books.store.read(lambda tx: tx.wallets.statement("alice", "THB")).to_dicts()
    assert [(statement_word(line["key"]), line["moved_micro"], line["balance_micro"], line["actor"]) for line in lines] == [
        ("receipt paid", -60_600_000, 39_400_000, "alice"), ("adjustment", 100_000_000, 100_000_000, "operator")]


def test_all_or_nothing(books: Books) -> None:
    alice = books.person("alice")
    books.give("alice", "60.59")
    receipt = books.receipt_of("alice")
    with pytest.raises(InsufficientBalance, match=r"60\.60 THB is needed, 60\.59 THB is available"):
        pay(books.store, receipt, "alice", alice)
    assert books.status(receipt) == "pending" and books.payments(receipt) == []


def test_ten_receipts_at_once_never_spend_a_coin_twice(books: Books) -> None:
    """250.00 pays four of ten receipts of 60.60, whatever the order."""
    alice = books.person("alice")
    books.give("alice", "250")
    receipts = [books.receipt_of("alice") for _ in range(10)]

    def tried(receipt: Receipt) -> str:
        try:
            return pay(books.store, receipt, "alice", alice)
        except InsufficientBalance:
            return "refused"
    with ThreadPoolExecutor(10) as pool:
        answers = sorted(pool.map(tried, receipts))
    assert answers == ["paid"] * 4 + ["refused"] * 6
    assert books.ledger()["wallet:alice"] == 7_600_000


def test_frozen_money_cannot_be_spent(books: Books) -> None:
    """A dispute over a top-up of 100.00 freezes as much of the wallet; once it is won, the wallet pays."""
    alice, receipt = books.person("alice"), books.receipt_of("alice")
    topup = books.store.run(lambda tx: start_topup(tx, "alice", Money(100_000_000, "THB"), alice), actor="alice").payment
    came = ProviderEvent("dummy", "evt_1", EventKind.SUCCEEDED, False, topup.reference, "ch_1", 10_000, "THB")
    tell(books.store, came)
    tell(books.store, replace(came, key="evt_2", kind=EventKind.DISPUTE_OPENED, object="dp_1", why="not recognised"))
    [wallet] = books.store.read(lambda tx: see_wallet(tx, "alice", alice))
    assert (wallet.balance_micro, wallet.frozen_micro, wallet.available_micro) == (100_000_000, 100_000_000, 0)
    with pytest.raises(InsufficientBalance, match=r"0\.00 THB is available; 100\.00 THB is frozen"):
        pay(books.store, receipt, "alice", alice)
    tell(books.store, replace(came, key="evt_3", kind=EventKind.DISPUTE_WON, object="dp_1"))
    assert pay(books.store, receipt, "alice", alice) == "paid"


def tell(store: Store, event: ProviderEvent) -> None:
    """A provider's event is applied."""
    store.run(lambda tx: apply_event(tx, event, tx.now), actor="worker")


def test_a_project_wallet_is_shared_by_its_members(books: Books) -> None:
    """pia owns the wallet of ai-lab; alice shares it and pays her receipt from it, bob does not; then alice is out."""
    pia, alice, bob = (books.person(name) for name in ("pia", "alice", "bob"))
    books.store.run(lambda tx: project_wallets.open_project_wallet(tx, "ai-lab", "pia", OPERATOR), actor="operator")
    books.store.run(lambda tx: project_wallets.share_project_wallet(tx, "ai-lab", "alice", pia), actor="pia")
    books.give("project:ai-lab", "100")
    receipt, other = books.receipt_of("alice"), books.receipt_of("bob")
    assert books.store.read(lambda tx: owners_for(tx, receipt, alice)) == ["alice", "project:ai-lab"]
    with pytest.raises(NotAllowed, match="Only pia"):
        books.store.run(lambda tx: project_wallets.share_project_wallet(tx, "ai-lab", "bob", alice), actor="alice")
    with pytest.raises(NotFound):
        books.store.read(lambda tx: see_wallet(tx, "project:ai-lab", bob))
    with pytest.raises(NotAllowed, match="cannot be paid from the wallet of project:ai-lab"):
        pay(books.store, other, "project:ai-lab", bob)
    assert pay(books.store, receipt, "project:ai-lab", alice) == "paid"
    assert books.ledger()["wallet:project:ai-lab"] == 39_400_000

    shared = books.store.run(lambda tx: project_wallets.unshare_project_wallet(tx, "ai-lab", "alice", pia), actor="pia")
    assert shared.members == ("pia",)
    with pytest.raises(NotFound):
        books.store.read(lambda tx: see_wallet(tx, "project:ai-lab", alice))
    with pytest.raises(IllegalMove, match="pia owns the wallet"):
        books.store.run(lambda tx: project_wallets.unshare_project_wallet(tx, "ai-lab", "pia", OPERATOR), actor="operator")


def test_finance_pays_a_receipt_from_its_payers_wallets_only(books: Books) -> None:
    finn, receipt = books.person("finn", "finance"), books.receipt_of("alice")
    books.give("finn", "100")
    with pytest.raises(NotAllowed):
        pay(books.store, receipt, "finn", finn)
    books.give("alice", "100")
    assert pay(books.store, receipt, "alice", finn) == "paid"


def test_money_that_fits_nobody_is_given_to_whose_it_is(sidecar: SidecarThread, books: Books) -> None:
    """60.60 came with a reference nobody knows; finance finds that it was alice's transfer."""
    finn = books.person("finn", "finance")
    books.receipt_of("alice")
    sidecar.post(event("TXN_" + "9" * 16, money="tr_1"))
    wait_until(lambda: books.inbox()[0][1], "waiting")
    books.store.run(lambda tx: tx.inbox.execute("update webhook_inbox set received_at = received_at - interval '2 minutes'"))
    wait_until(books.drained, "drained")
    [kept] = books.store.read(lambda tx: tx.payments.unapplied())
    assert books.ledger()["unapplied:dummy"] == 60_600_000 and kept.wallet == ""

    with pytest.raises(NotFound, match="Nobody named 'alicia'"):
        books.store.run(lambda tx: assign_unapplied(tx, kept.reference, "alicia", "her bank told us", finn), actor="finn")
    books.store.run(lambda tx: assign_unapplied(tx, kept.reference, "alice", "her bank told us", finn), actor="finn")
    assert books.ledger() == {"receivable:alice": 60_600_000, "income:cpu": 60_600_000, "clearing:dummy": 60_600_000,
                              "wallet:alice": 60_600_000}
    with pytest.raises(IllegalMove, match="is credited"):
        books.store.run(lambda tx: assign_unapplied(tx, kept.reference, "bob", "once more, please", finn), actor="finn")
    assert books.actions()[-1] == "payment.assigned"
