"""Money in and back out, told as the sequence diagrams tell it: who speaks to whom, and the ledger before and after.

The client is a person with a browser, the backend these services, the DB Postgres, the queue the outbox, the provider a company on
loopback that behaves as Paystack or Stripe do, and a real sidecar stands between. An order is a receipt: what is sold is time that was
used, so "reserve stock" is that its jobs stand on this receipt and on no other. There is no Redis: what must end in time has its end
in its own row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
import requests
from pydantic import SecretStr

from data.postgres.store import PostgresTransaction, Store
from engine.documents import Language
from engine.errors import NotAllowed, NothingToBill
from engine.money import Money, amount_text
from engine.payments import Payment
from engine.policy import OPERATOR
from engine.receipts import Receipt
from engine.refunds import BadRefund, Refund
from engine.services import users
from engine.services.payments import start_payment
from engine.services.rates import publish_text
from engine.services.receipts import get_receipt
from engine.services.refunds import request_refund
from engine.services.wallets import start_topup
from engine.users import Role
from tests.engine.usage_frames import run
from tests.fakes.company import Fault
from tests.fakes.paystack import KEY as PAYSTACK_KEY
from tests.fakes.paystack import FakePaystack
from tests.fakes.stripe import KEY, SECRET, FakeStripe
from tests.flows.examples import ALICE, FINANCE, bill, keep_runs
from tests.payments.conftest import Books, SidecarThread, books, heir, wait_until  # noqa: F401  fixtures

NAIRA = """
- project: physics
  currency: NGN
  valid_from: 2026-09-01
  policy: used
  rounding: per_job_minor
  prices: {cpu: 3, gpu: 10, mem: 1}
"""


def table(text: str) -> list[str]:
    """The lines of a table, whatever blanks stand between its words."""
    return [" ".join(line.split()) for line in text.strip().splitlines()]


def ledger(store: Store) -> list[str]:
    """Every account that is not at zero: what it stands for, whose it is, what it holds."""
    balances = store.read(lambda tx: tx.ledger.balances())
    return [f"{name.kind} {name.owner} {amount_text(micro, name.currency)} {name.currency}" for name, micro in sorted(balances.items())
            if micro]


@dataclass
class Shop:
    """A backend that is paid through one provider."""

    store: Store
    sidecar: SidecarThread
    company: FakePaystack | FakeStripe
    name: str

    def tells(self) -> list[str]:
        """The provider delivers everything it has to tell, as often as it was told before; what it was answered."""
        answers = []
        for hook in self.company.sent:
            answer = requests.post(f"{self.sidecar.url}/webhooks/{self.name}", data=hook.body, headers=hook.headers, timeout=10)
            answers.append(f"{answer.status_code} {answer.json()['status']}")
        return answers

    def order(self) -> Receipt:
        """Alice's job of 60.60 on a receipt."""
        keep_runs(self.store, run())
        return bill(self.store)

    def paid(self) -> tuple[Receipt, Payment]:
        """The first diagram in one go."""
        receipt = self.order()
        payment = self.store.run(lambda tx: start_payment(tx, receipt.id, ALICE), actor="alice").payment
        requests.get(f"{self.sidecar.url}/pay/{payment.reference}", timeout=10, allow_redirects=False)
        self.company.pay(self.company.transaction(payment.reference.replace("_", "-")))
        self.tells()
        self.waits_for(receipt, "paid")
        return receipt, self.payment(payment.reference)

    def waits_for(self, receipt: Receipt, status: str) -> None:
        wait_until(lambda: self.status(receipt) == status, status)

    def status(self, receipt: Receipt) -> str:
        return str(self.store.read(lambda tx: get_receipt(tx, receipt.id, ALICE)).status)

    def payment(self, reference: str) -> Payment:
        found = self.store.read(lambda tx: tx.payments.find(reference))
        assert found is not None
        return found

    def refund(self, payment: Payment) -> Refund:
        return self.store.read(lambda tx: tx.refunds.of_payment(payment.id))[0]

    def audited(self) -> list[str]:
        """What the audit chain says was done about money, in order."""
        return [entry.action for entry in self.store.read(lambda tx: list(tx.audit.chain()))
                if entry.action.startswith(("receipt.", "payment.", "refund."))]

    def handed_out(self) -> list[str]:
        """The documents that the queue has issued, and who got mail with them."""
        return self.store.read(lambda tx: [f"{row.kind} to {row.recipient}" for row in tx.documents.rows(
            "select d.kind, coalesce(m.recipient, 'nobody') as recipient from document d left join mail m on m.document = d.number"
            " order by d.id")])


@pytest.fixture
def paystack(store: Store, heir: SidecarThread) -> Iterator[Shop]:    # noqa: F811
    """Physics is billed in naira, Paystack collects; alice has an e-mail address."""
    with FakePaystack() as company:
        assert isinstance(company, FakePaystack)
        knobs = {"paystack_secret_key": SecretStr(PAYSTACK_KEY), "paystack_email": "billing@example.org", "paystack_url": company.url,
                 "payment_provider": "paystack", "site_name": "The centre"}
        heir.store = Store(store.engine, store.settings.model_copy(update=knobs))
        yield Shop(_with_alice(heir.store), heir.start(), company, "paystack")
        heir.stop()


@pytest.fixture
def stripe(store: Store, heir: SidecarThread) -> Iterator[Shop]:    # noqa: F811
    """Stripe collects."""
    with FakeStripe() as company:
        assert isinstance(company, FakeStripe)
        knobs = {"stripe_secret_key": SecretStr(KEY), "stripe_webhook_secret": SecretStr(SECRET), "stripe_url": company.url,
                 "payment_provider": "stripe"}
        heir.store = Store(store.engine, store.settings.model_copy(update=knobs))
        yield Shop(_with_alice(heir.store), heir.start(), company, "stripe")
        heir.stop()


def _with_alice(store: Store) -> Store:
    store.run(lambda tx: publish_text(tx, NAIRA, OPERATOR), actor="operator")
    alice = store.run(lambda tx: users.add(tx, "alice", Role.RESEARCHER, "no password", by=OPERATOR), actor="operator")
    store.run(lambda tx: users.set_mail(tx, "alice@example.org", Language.ENGLISH, alice), actor="alice")
    return store


def _no_pause(tx: PostgresTransaction) -> None:
    """What the queue put off is due."""
    tx.outbox.execute("update outbox set due_at = now() where state = 'queued'")


def test_payment_flow_complete_end_to_end(paystack: Shop, books: Books) -> None:    # noqa: F811
    """Client · Backend · DB · Paystack · Queue."""
    store, company = paystack.store, paystack.company
    keep_runs(store, run())
    assert ledger(store) == []

    # 1 Client → Backend: create order. 2–4 Backend → DB: validate, reserve, create.
    receipt = bill(store)
    with pytest.raises(NothingToBill):
        bill(store)                                                     # the job is on this receipt
    assert (receipt.status, Money(receipt.total_micro, receipt.currency)) == ("pending", Money(60_600_000, "NGN"))
    owed = table("""
        income      cpu     12.60 NGN
        income      gpu     20.00 NGN
        income      mem     28.00 NGN
        receivable  alice   60.60 NGN""")
    assert sorted(ledger(store)) == owed

    # 5 Client → Backend: initialise payment. 6 Generate Ref TXN_xxxxx. 7 Backend → DB: store payment (intent, 20 min).
    started = store.run(lambda tx: start_payment(tx, receipt.number, ALICE), actor="alice")
    payment = started.payment
    assert payment.reference.startswith("TXN_") and payment.expires_at - payment.created_at == timedelta(minutes=20)
    assert company.transactions == []

    # 8 Backend → Paystack: init transaction. 9 Auth URL. 10 Client: redirect to Paystack.
    sent = requests.get(f"{paystack.sidecar.url}/pay/{payment.reference}", timeout=10, allow_redirects=False)
    assert sent.status_code == 303 and sent.headers["location"].startswith("https://checkout.paystack.com/")
    [transaction] = company.transactions
    assert (transaction["amount"], transaction["currency"], transaction["status"]) == (6060, "NGN", "abandoned")
    assert paystack.payment(payment.reference).status == "pending" and sorted(ledger(store)) == owed

    # 11 User completes payment. 12 Paystack → Backend: webhook (charge.success). 13 Verify signature … 200 OK.
    company.pay(transaction)
    assert paystack.tells() == ["200 stored"]

    # 14 Backend → DB: check idempotency. 15 BEGIN. 16 payment=paid. 17 order=paid. 18 commit inventory. 19 audit. 20 COMMIT.
    paystack.waits_for(receipt, "paid")
    settled = paystack.payment(payment.reference)
    assert (settled.status, settled.money_ref, settled.received) == ("succeeded", str(transaction["id"]), Money(60_600_000, "NGN"))
    assert sorted(ledger(store)) == table("""
        clearing    paystack    60.60 NGN
        income      cpu         12.60 NGN
        income      gpu         20.00 NGN
        income      mem         28.00 NGN""")
    assert paystack.audited() == ["receipt.created", "payment.started", "payment.succeeded", "receipt.paid"]

    # 21 Clear cache: there is none. 22 Backend → Queue: invoice, order confirmation e-mail, payment receipt.
    wait_until(lambda: len(paystack.handed_out()) == 2 and "nobody" not in " ".join(paystack.handed_out()), "handed out")
    assert paystack.handed_out() == ["receipt to alice@example.org", "payment_receipt to alice@example.org"]


def test_refund_flow(paystack: Shop, books: Books) -> None:    # noqa: F811
    """Admin · Backend · DB · Paystack · Queue."""
    store, company = paystack.store, paystack.company
    receipt, payment = paystack.paid()
    held = table("""
        clearing    paystack    60.60 NGN
        income      cpu         12.60 NGN
        income      gpu         20.00 NGN
        income      mem         28.00 NGN""")
    assert sorted(ledger(store)) == held

    # 1 Admin → Backend: request refund {payment_id, amount, reason}. 2 Validate admin auth. 5 Validate payment status (must be 'paid').
    with pytest.raises(NotAllowed):
        store.run(lambda tx: request_refund(tx, payment.reference, None, "the node was broken", ALICE))
    keep_runs(store, run(2))
    unpaid = bill(store)
    with pytest.raises(BadRefund, match="is pending: no payment of it can be given back"):
        store.run(lambda tx: request_refund(tx, unpaid.number, None, "the node was broken", FINANCE))

    # 3 BEGIN. 4 Backend → DB: get payment details. 6 Create refund record (status='requested').
    company.breaks(Fault.ERROR_BEFORE)
    asked = store.run(lambda tx: request_refund(tx, payment.reference, None, "the node was broken", FINANCE), actor="fin")
    assert (asked.status, asked.money, asked.provider_ref) == ("requested", Money(60_600_000, "NGN"), None)
    assert sorted(ledger(store)) == table("""
        clearing        paystack    60.60 NGN
        income          cpu         12.60 NGN
        income          gpu         20.00 NGN
        income          mem         28.00 NGN
        receivable      alice       60.60 NGN
        refund_pending  paystack    60.60 NGN""")                        # the income is that of the receipt that is still owed
    company.mend()

    # 7 Backend → Paystack: call refund API. 8 Refund response {refund_id}. 9 Backend → DB: gateway_ref=refund_id.
    # Committed before the call and after it: no transaction waits for a provider.
    wait_until(lambda: store.run(_no_pause) is None and paystack.refund(payment).status == "submitted", "asked")
    [made] = company.refunds
    assert (made["amount"], paystack.refund(payment).provider_ref) == (6060, str(made["id"]))

    # Paystack → Backend: webhook (refund.processed). 10 Backend → DB: order='refunded'. 11 Audit. 12 COMMIT.
    company.settle()
    paystack.tells()
    paystack.waits_for(receipt, "refunded")
    assert paystack.refund(payment).status == "succeeded"
    assert sorted(ledger(store)) == table("""
        income      cpu     12.60 NGN
        income      gpu     20.00 NGN
        income      mem     28.00 NGN
        receivable  alice   60.60 NGN""")
    assert paystack.audited()[-4:] == ["refund.requested", "refund.submitted", "refund.succeeded", "receipt.refunded"]

    # 13 Backend → Queue: notification (refund confirmation e-mail).
    wait_until(lambda: "credit_note to alice@example.org" in paystack.handed_out(), "told")


def test_webhook_idempotency_handling(paystack: Shop, books: Books) -> None:    # noqa: F811
    """Paystack · Backend · DB."""
    store, company = paystack.store, paystack.company
    receipt = paystack.order()
    payment = store.run(lambda tx: start_payment(tx, receipt.id, ALICE), actor="alice").payment
    requests.get(f"{paystack.sidecar.url}/pay/{payment.reference}", timeout=10, allow_redirects=False)
    company.pay(company.transactions[0])
    before = sorted(ledger(store))
    assert before[-1] == "receivable alice 60.60 NGN"

    # 1 Paystack → Backend: POST /webhook. 2 Verify signature (HMAC-SHA512): what is forged is not stored.
    [hook] = company.sent
    forged = requests.post(f"{paystack.sidecar.url}/webhooks/paystack", data=hook.body + b" ", headers=hook.headers, timeout=10)
    assert (forged.status_code, forged.json()["error"]) == (401, "bad_signature")
    assert books.inbox() == [] and sorted(ledger(store)) == before

    # 3 Backend → DB: check duplicate event. IF NEW: 4 store event, 5 process event, 6 mark processed (processed_at=NOW()). 200 OK.
    assert paystack.tells() == ["200 stored"]
    wait_until(books.drained, "processed")
    [event] = store.read(lambda tx: tx.inbox.newest())
    assert (event.event_key, event.state, event.outcome) == (f"charge.success:{company.transactions[0]['id']}", "processed",
                                                             "succeeded: 60.60 NGN came as asked")
    assert event.processed_at is not None
    after = sorted(ledger(store))
    assert after[0] == "clearing paystack 60.60 NGN" and not any(line.startswith("receivable") for line in after)

    # IF DUPLICATE: 200 OK {status: 'duplicate'} (idempotent).
    assert paystack.tells() == ["200 duplicate"]
    assert len(books.inbox()) == 1 and sorted(ledger(store)) == after
    assert paystack.audited().count("payment.succeeded") == 1


def test_stripe_top_up_and_webhook(stripe: Shop, books: Books) -> None:    # noqa: F811
    """User · Frontend · Backend · Stripe."""
    store, company = stripe.store, stripe.company
    assert ledger(store) == []

    # U → FE: enter amount, click Add funds. FE → BE: create charge session.
    started = store.run(lambda tx: start_topup(tx, "alice", Money(500_000_000, "THB"), ALICE), actor="alice")
    assert ledger(store) == []

    # BE → ST: create checkout session. ST → BE: checkout URL. BE → FE: URL. FE → ST: redirect to checkout.
    sent = requests.get(f"{stripe.sidecar.url}/pay/{started.payment.reference}", timeout=10, allow_redirects=False)
    [session] = company.of("checkout.session")
    assert (sent.status_code, sent.headers["location"]) == (303, session["url"])
    assert (session["amount_total"], session["currency"]) == (50_000, "thb")

    # ST → BE: webhook. BE: verify signature + dedupe event id. BE: credit internal balance.
    company.pay(session["id"])
    assert set(stripe.tells()) == {"200 stored"} and set(stripe.tells()) == {"200 duplicate"}
    wait_until(books.drained, "applied")
    assert ledger(store) == table("""
        clearing    stripe  500.00 THB
        wallet      alice   500.00 THB""")

    # ST → FE: redirect back with payment status query: the page asks the books, not the address.
    assert session["success_url"].endswith(f"/top-up?payment={started.payment.reference}")
    assert stripe.audited() == ["payment.started", "payment.succeeded"]
