"""Money that came, and a provider that gives it back, in the words of the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count

import pytest

from data.postgres.health import figures
from data.postgres.store import PostgresTransaction, Store
from engine.ledger import Kind, LedgerName, Posting
from engine.money import Money
from engine.payments import Decision, EventKind, Outcome, Payment, ProviderEvent, ProviderTrouble
from engine.policy import OPERATOR
from engine.receipts import Receipt
from engine.refunds import Refund, RefundAnswer, RefundOrder, RefundStatus
from engine.services.events import apply_event
from engine.services.refunds import request_refund
from tests.payments.conftest import Books, books  # noqa: F401  a fixture
from webhooks import refunds as asking
from webhooks.metrics import Metrics
from webhooks.outbox import HANDLERS, OutboxWorker

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
THB = 1_000_000
_numbers = count(1)


@dataclass
class Till:
    """A provider that remembers what it gave back, under whose key. `lose` and `refuse` say what goes wrong next: an answer
    that is lost before or after the effect, or a plain no."""

    name: str = "dummy"
    made: dict[str, RefundAnswer] = field(default_factory=dict)      # by idempotency key
    asked: list[str] = field(default_factory=list)
    looked: int = 0
    lose: str = ""
    refuse: str = ""
    status: RefundStatus = RefundStatus.SUBMITTED
    meanwhile: Callable[[RefundOrder, RefundAnswer], None] = lambda order, answer: None

    def refund(self, order: RefundOrder) -> RefundAnswer:
        """Give back, once a key."""
        self.asked.append(order.key)
        if self.lose == "before":
            raise ProviderTrouble("no answer", Outcome.UNKNOWN)
        if self.refuse:
            raise ProviderTrouble(self.refuse, Outcome.REFUSED)
        answer = self.made.setdefault(order.key, RefundAnswer(f"re_{next(_numbers)}", self.status))
        self.meanwhile(order, answer)
        if self.lose == "after":
            raise ProviderTrouble("no answer", Outcome.UNKNOWN)
        return answer

    def find_refund(self, order: RefundOrder) -> RefundAnswer | None:
        """Where it stands."""
        self.looked += 1
        return self.made.get(order.key)


@dataclass
class Desk:
    """What a test does with money that came: paying, asking, hearing."""

    books: Books
    till: Till
    worker: OutboxWorker

    @property
    def store(self) -> Store:
        """The books' store."""
        return self.books.store

    def paid(self, payer: str = "alice", cost_micro: int = 60_600_000) -> tuple[Receipt, Payment]:
        """A receipt that was paid through the provider, and its payment."""
        receipt = self.books.receipt_of(payer, cost_micro)
        payment = self.books.payment_of(receipt)
        self.hear(self.came(payment))
        return receipt, self.now(payment)

    def came(self, payment: Payment, amount_minor: int = 0, money: str = "") -> ProviderEvent:
        """The word that its money is there."""
        minor = amount_minor or payment.amount_micro // 10_000
        return ProviderEvent("dummy", f"evt_{next(_numbers)}", EventKind.SUCCEEDED, False, payment.reference,
                             money or f"ch_{payment.reference}", minor, payment.currency)

    def word(self, kind: EventKind, payment: Payment, amount_minor: int, name: str, refund: str = "", why: str = "") -> ProviderEvent:
        """A word about a refund or a dispute of its money."""
        money = payment.money_ref or f"ch_{payment.reference}"
        return ProviderEvent("dummy", f"evt_{next(_numbers)}", kind, False, "", money, amount_minor, payment.currency, name, refund, why)

    def hear(self, event: ProviderEvent) -> Decision:
        """Apply it, as the worker does."""
        return self.store.run(lambda tx: apply_event(tx, event, LONG_AGO), actor="worker")

    def refund(self, name: str, amount: str | None = None, key: str | None = None) -> Refund:
        """Ask for a refund, as finance does."""
        money = Money(round(float(amount) * 100) * 10_000, "THB") if amount else None
        return self.store.run(lambda tx: request_refund(tx, name, money, "asked at the desk", OPERATOR, key), actor="operator")

    def submit(self, times: int = 1) -> None:
        """Have the outbox's due jobs done; after trouble, the pause is over."""
        for _ in range(times):
            self.store.run(lambda tx: tx.outbox.execute("update outbox set due_at = now() where state = 'queued'"))
            self.worker.step()

    def now(self, payment: Payment) -> Payment:
        """The payment as it stands."""
        found = self.store.read(lambda tx: tx.payments.by_id(payment.id))
        assert found is not None
        return found

    def refunds(self, payment: Payment) -> list[tuple[str, str | None, int]]:
        """(status, the provider's name, micro) of each refund of a payment."""
        found = self.store.read(lambda tx: tx.refunds.of_payment(payment.id))
        return [(str(one.status), one.provider_ref, one.amount_micro) for one in found]

    def ledger(self) -> dict[str, int]:
        """Balances that are not zero, in whole THB where they are whole."""
        return {name: micro // THB if micro % THB == 0 else micro for name, micro in self.books.ledger().items()}


@pytest.fixture
def till() -> Till:
    """A provider that gives money back."""
    return Till()


@pytest.fixture
def desk(books: Books, till: Till, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:    # noqa: F811
    """The books, the provider, and an outbox worker that works when it is told to."""
    monkeypatch.setattr(asking, "SETTLE_SECONDS", 0.0)
    worker = OutboxWorker(books.store, {"dummy": till}, Metrics(["dummy"], lambda: figures(books.store)),
                          {"refund.submit": HANDLERS["refund.submit"]})
    yield Desk(books, till, worker)


def changed(event: ProviderEvent, **what: object) -> ProviderEvent:
    """The same word under another key, with something else in it."""
    return replace(event, key=f"evt_{next(_numbers)}", **what)  # type: ignore[arg-type]


def spend(desk: Desk, owner: str, micro: int) -> None:
    """Take money out of a wallet as an adjustment by hand does, with the row that says so."""
    def write(tx: PostgresTransaction) -> None:
        tx.refunds.execute("insert into adjustment_request (id, wallet, currency, amount_micro, reason, needs_second, status, requested_by,"
                           " decided_by, decided_at) values ('adj_1', :owner, 'THB', :micro, 'spent in the test', false, 'confirmed',"
                           " 'finn', 'finn', now())", owner=owner, micro=-micro)
        tx.ledger.post("adjust:adj_1", "spent", [Posting(LedgerName(Kind.WALLET, owner, "THB"), micro),
                                                 Posting(LedgerName(Kind.ADJUSTMENT, "", "THB"), -micro)])
    desk.store.run(write)
