"""Money is never dropped and never guessed: what a receipt does not need is in its payer's wallet, what fits nobody is kept as
unapplied, said in plain words, and alarmed."""

from __future__ import annotations

import requests

from data.postgres.store import PostgresTransaction
from engine.policy import OPERATOR
from engine.services.payments import expire_payments
from engine.services.receipts import mark_paid, void_receipt
from tests.payments.conftest import Books, SidecarThread, event, wait_until


def told(sidecar: SidecarThread, books: Books, *bodies: bytes) -> None:
    """Deliver events one after the other and wait until all are applied."""
    for body in bodies:
        assert sidecar.post(body).status_code == 200
        wait_until(books.drained, "drained")


def test_too_little_goes_to_the_wallet(sidecar: SidecarThread, books: Books) -> None:
    """60.59 came for 60.60: the receipt stays pending, the money is in alice's wallet, and a second charge still pays."""
    receipt = books.receipt_of("alice")
    payment = books.payment_of(receipt)
    told(sidecar, books, event(payment.reference, amount_minor=6059, money="ch_1"))
    assert books.status(receipt) == "pending" and books.payment_status(payment) == "credited"
    assert books.inbox() == [("processed", "credited: 60.59 THB came, 60.60 THB was asked for: it is in the wallet of alice")]
    assert books.ledger() == {"receivable:alice": 60_600_000, "income:cpu": 60_600_000,
                              "clearing:dummy": 60_590_000, "wallet:alice": 60_590_000}
    assert books.actions()[-1] == "payment.credited"

    told(sidecar, books, event(payment.reference, amount_minor=6059, money="ch_1"), event(payment.reference, money="ch_2"))
    assert books.inbox()[-1] == ("processed", "succeeded: 60.60 THB came as asked, after 60.59 THB before")
    assert books.status(receipt) == "paid"
    assert books.ledger() == {"income:cpu": 60_600_000, "clearing:dummy": 121_190_000, "wallet:alice": 60_590_000}
    assert [(str(one.status), one.received_micro, one.money_ref) for one in books.payments(receipt)] == [
        ("succeeded", 60_600_000, "ch_2"), ("credited", 60_590_000, "ch_1")], "each money has a payment of its own"


def test_too_much_settles_the_receipt_and_the_rest_goes_to_the_wallet(sidecar: SidecarThread, books: Books) -> None:
    receipt = books.receipt_of("alice")
    told(sidecar, books, event(books.payment_of(receipt).reference, amount_minor=7000))
    assert books.status(receipt) == "paid"
    assert books.inbox()[0][1] == ("succeeded: 70.00 THB came where 60.60 THB was asked for: the rest is in the wallet of alice")
    assert books.ledger() == {"income:cpu": 60_600_000, "clearing:dummy": 70_000_000, "wallet:alice": 9_400_000}


def test_a_wrong_currency_pays_nothing(sidecar: SidecarThread, books: Books) -> None:
    """60.60 USD are not 60.60 THB, and 6060 JPY are 6060.00: alice is not given money in a currency she has no account in."""
    receipt = books.receipt_of("alice")
    payment = books.payment_of(receipt)
    told(sidecar, books, event(payment.reference, currency="USD", money="ch_1"), event(payment.reference, currency="JPY", money="ch_2"))
    assert books.status(receipt) == "pending" and books.payment_status(payment) == "pending"
    asked = f"for {payment.reference}, where 60.60 THB was asked for"
    assert [outcome for _, outcome in books.inbox()] == [f"unapplied: 60.60 USD came {asked}", f"unapplied: 6,060 JPY came {asked}"]
    found = books.store.read(lambda tx: {f"{name.kind}:{name.currency}": micro for name, micro in tx.ledger.balances().items()})
    assert (found["unapplied:USD"], found["unapplied:JPY"]) == (60_600_000, 6_060_000_000)
    assert 'unapplied_total{provider="dummy"} 2.0' in sidecar.metrics()
    assert 'unapplied_balance_micro{currency="USD",provider="dummy"} 6.06e+07' in sidecar.metrics()


def test_known_money_that_is_told_with_another_amount_is_not_posted(sidecar: SidecarThread, books: Books) -> None:
    """One charge has one amount: whoever says otherwise is wrong, and somebody must look."""
    receipt = books.receipt_of("alice")
    payment = books.payment_of(receipt)
    told(sidecar, books, event(payment.reference), event(payment.reference, amount_minor=9999))
    assert books.inbox()[1][1] == "contradicted: 99.99 THB is said of money that was 60.60 THB before"
    assert books.ledger() == {"clearing:dummy": 60_600_000, "income:cpu": 60_600_000}
    assert books.actions()[-1] == "payment.contradicted"


def test_money_on_its_way_keeps_the_payment_open(sidecar: SidecarThread, books: Books) -> None:
    """A bank transfer takes a day: the sweep leaves the payment alone, nobody is led to pay twice, and the money then pays."""
    receipt = books.receipt_of("alice")
    payment = books.payment_of(receipt)
    told(sidecar, books, event(payment.reference, kind="payment.processing"))
    _unguarded(books, "update payment set expires_at = now() - interval '1 day'")
    assert books.store.run(expire_payments, actor="worker") == 0
    assert books.payment_status(payment) == "processing" and books.payment_of(receipt).reference == payment.reference
    back = requests.get(f"{sidecar.url}/pay/{payment.reference}", timeout=10, allow_redirects=False).headers["location"]
    assert back.endswith(f"/receipt?id={receipt.id}")
    told(sidecar, books, event(payment.reference))
    assert (books.payment_status(payment), books.status(receipt)) == ("succeeded", "paid")


def test_a_late_word_that_money_is_on_its_way_does_not_hold_the_receipt(sidecar: SidecarThread, books: Books) -> None:
    """Webhooks come in any order: the bank had said no by then, and the payer pays another way."""
    receipt = books.receipt_of("alice")
    payment = books.payment_of(receipt)
    told(sidecar, books, event(payment.reference, kind="payment.failed"), event(payment.reference, kind="payment.processing"))
    assert books.payment_status(payment) == "failed"
    again = books.payment_of(receipt)
    assert again.reference != payment.reference and again.open(again.created_at)


def test_two_events_of_the_same_money_pay_once(sidecar: SidecarThread, books: Books) -> None:
    receipt = books.receipt_of("alice")
    reference = books.payment_of(receipt).reference
    told(sidecar, books, event(reference, id="evt_one"), event(reference, id="evt_other"))
    assert books.status(receipt) == "paid"
    assert books.inbox()[1] == ("processed", f"duplicate: payment {reference} is succeeded already")
    assert books.ledger() == {"clearing:dummy": 60_600_000, "income:cpu": 60_600_000}


def test_an_event_may_come_before_its_payment(sidecar: SidecarThread, books: Books) -> None:
    """The event waits in the inbox; once the payment exists it is applied by itself."""
    receipt = books.receipt_of("alice")
    books.payment_of(receipt)
    hidden = "TXN_" + "0" * 16
    sidecar.post(event(hidden))
    wait_until(lambda: books.inbox() == [("received", f"no payment {hidden} yet")], "waiting")
    assert books.ledger().get("unapplied:dummy") is None
    _unguarded(books, "update payment set reference = :hidden where status = 'pending'", hidden=hidden)
    wait_until(lambda: books.status(receipt) == "paid", "paid")


def test_money_nobody_asked_for_is_kept_after_two_minutes(sidecar: SidecarThread, books: Books) -> None:
    """And should its payment turn up after all, a replay takes the money from where it was kept."""
    receipt = books.receipt_of("alice")
    hidden = "TXN_" + "1" * 16
    sidecar.post(event(hidden))
    wait_until(lambda: books.inbox()[0][1], "waiting")
    books.store.run(lambda tx: tx.inbox.execute("update webhook_inbox set received_at = received_at - interval '2 minutes'"))
    wait_until(books.drained, "drained")
    assert books.inbox() == [("processed", f"unapplied: 60.60 THB came for {hidden}, which nobody asked for")]
    assert books.ledger()["unapplied:dummy"] == 60_600_000

    books.payment_of(receipt)
    _unguarded(books, "update payment set reference = :hidden where status = 'pending'", hidden=hidden)
    books.store.run(lambda tx: tx.inbox.replay(1))
    wait_until(lambda: books.status(receipt) == "paid", "paid")
    assert books.ledger() == {"clearing:dummy": 60_600_000, "income:cpu": 60_600_000}


def test_money_that_came_too_early_for_a_receipt_that_is_void_goes_to_the_wallet_once(sidecar: SidecarThread, books: Books) -> None:
    receipt = books.receipt_of("alice")
    hidden = "TXN_" + "2" * 16
    sidecar.post(event(hidden))
    wait_until(lambda: books.inbox()[0][1], "waiting")
    books.store.run(lambda tx: tx.inbox.execute("update webhook_inbox set received_at = received_at - interval '2 minutes'"))
    wait_until(books.drained, "drained")
    payment = books.payment_of(receipt)
    _unguarded(books, "update payment set reference = :hidden where status = 'pending'", hidden=hidden)
    books.store.run(lambda tx: void_receipt(tx, receipt.id, "a mistake", OPERATOR), actor="operator")
    books.store.run(lambda tx: tx.inbox.replay(1))
    wait_until(books.drained, "drained")
    assert books.inbox()[0][1] == "credited: 60.60 THB came, the receipt is void already: it is in the wallet of alice"
    assert payment.reference != hidden and books.ledger() == {"clearing:dummy": 60_600_000, "wallet:alice": 60_600_000}


def test_nobody_is_led_to_pay_what_is_not_owed_any_more(sidecar: SidecarThread, books: Books) -> None:
    """The checkout was opened, then the receipt was voided or paid otherwise: the old link leads back to the receipt."""
    for number, settled in enumerate((void_receipt, mark_paid)):
        receipt = books.receipt_of(f"payer{number}")
        link = f"{sidecar.url}/pay/{books.payment_of(receipt).reference}"
        assert "/dummy/checkout" in requests.get(link, timeout=10, allow_redirects=False).headers["location"]
        books.store.run(lambda tx, settled=settled, id=receipt.id: settled(tx, id, "by hand", OPERATOR))  # type: ignore[misc]
        assert "/receipt?id=" in requests.get(link, timeout=10, allow_redirects=False).headers["location"]


def test_a_declined_payment_may_still_succeed(sidecar: SidecarThread, books: Books) -> None:
    """Declined, then paid on the second try, in whichever order the events come."""
    receipt = books.receipt_of("alice")
    payment = books.payment_of(receipt)
    told(sidecar, books, event(payment.reference, kind="payment.failed"))
    assert (books.payment_status(payment), books.status(receipt)) == ("failed", "pending")
    told(sidecar, books, event(payment.reference), event(payment.reference, kind="payment.failed"))
    assert (books.payment_status(payment), books.status(receipt)) == ("succeeded", "paid")


def test_a_late_payment_still_pays_a_pending_receipt(sidecar: SidecarThread, books: Books) -> None:
    """Its twenty minutes were over; the sweep closed it; the money came all the same."""
    receipt = books.receipt_of("alice")
    payment = books.payment_of(receipt)
    _expire(books)
    assert books.payment_status(payment) == "expired"
    told(sidecar, books, event(payment.reference))
    assert books.status(receipt) == "paid"
    assert books.inbox()[0][1] == "succeeded: 60.60 THB came as asked, though the payment was expired"


def test_money_for_a_receipt_that_was_paid_otherwise_goes_to_the_wallet(sidecar: SidecarThread, books: Books) -> None:
    """alice opened the checkout, then handed the cash to the office, then paid online as well."""
    receipt = books.receipt_of("alice")
    payment = books.payment_of(receipt)
    books.store.run(lambda tx: mark_paid(tx, receipt.id, "cash", OPERATOR), actor="operator")
    told(sidecar, books, event(payment.reference), event(payment.reference))
    assert books.payment_status(payment) == "credited"
    assert [outcome for _, outcome in books.inbox()] == [
        "credited: 60.60 THB came, the receipt is paid already: it is in the wallet of alice",
        f"duplicate: payment {payment.reference} is credited already"]
    assert books.ledger() == {"clearing:manual": 60_600_000, "clearing:dummy": 60_600_000, "wallet:alice": 60_600_000,
                              "income:cpu": 60_600_000}


def test_money_for_a_void_receipt_goes_to_the_wallet(sidecar: SidecarThread, books: Books) -> None:
    receipt = books.receipt_of("alice")
    payment = books.payment_of(receipt)
    books.store.run(lambda tx: void_receipt(tx, receipt.id, "a mistake", OPERATOR), actor="operator")
    told(sidecar, books, event(payment.reference))
    assert books.inbox()[0][1] == "credited: 60.60 THB came, the receipt is void already: it is in the wallet of alice"
    assert books.ledger() == {"clearing:dummy": 60_600_000, "wallet:alice": 60_600_000}


def test_an_expired_payment_and_its_successor_both_paid(sidecar: SidecarThread, books: Books) -> None:
    """The second settles the receipt, the first is in the wallet: nobody is billed twice in silence."""
    receipt = books.receipt_of("alice")
    first = books.payment_of(receipt)
    _expire(books)
    second = books.payment_of(receipt)
    assert first.reference != second.reference
    told(sidecar, books, event(second.reference), event(first.reference))
    assert (books.payment_status(first), books.payment_status(second)) == ("credited", "succeeded")
    assert books.ledger()["wallet:alice"] == 60_600_000


def test_a_live_event_does_not_touch_test_books(sidecar: SidecarThread, books: Books) -> None:
    receipt = books.receipt_of("alice")
    payment = books.payment_of(receipt)
    answer = sidecar.post(event(payment.reference).replace(b'"livemode": false', b'"livemode": true'))
    assert (answer.status_code, answer.json()["error"]) == (422, "wrong_mode") and books.inbox() == []
    assert books.status(receipt) == "pending" and "clearing:dummy" not in books.ledger()


def _expire(books: Books) -> None:
    """Twenty minutes pass for every open payment, then the sweep comes."""
    _unguarded(books, "update payment set expires_at = now() - interval '1 second' where status = 'pending'")
    assert books.store.run(expire_payments, actor="worker") == 1


def _unguarded(books: Books, sql: str, **values: object) -> None:
    """What only a test may do to a payment."""
    def write(tx: PostgresTransaction) -> None:
        tx.payments.execute("alter table payment disable trigger guard_payment")
        tx.payments.execute(sql, **values)
        tx.payments.execute("alter table payment enable trigger guard_payment")
    books.store.run(write)
