"""A day of the centre in one process that may be killed anywhere: usage, receipts, payments, refunds, a dispute, reconciliation.

`python -m tests.failpoints.day` reads lines `DATABASE FOLDER SEED PLACE` from stdin; for each it forks a child that lives the
day with `COREHOURS_FAILPOINT=PLACE` and answers with the child's exit code. Everything in the day may be done again: whoever is
started after a kill finds what is done and goes on. The provider's own memory is a file in FOLDER, as a provider's is elsewhere.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from pydantic import SecretStr

from data.postgres.health import figures
from data.postgres.inbox_line import InboxLine
from data.postgres.store import PostgresTransaction, Store, connect
from data.settings import Settings
from engine.bank import NewLine, keyed
from engine.money import Money
from engine.payments import Checkout, EventKind, Movement, Outcome, Payment, ProviderEvent, ProviderTrouble
from engine.policy import OPERATOR
from engine.receipts import Receipt
from engine.refunds import RefundAnswer, RefundOrder, RefundStatus
from engine.services.adjustments import confirm_adjustment, request_adjustment
from engine.services.bank import apply_line, bring
from engine.services.payments import start_payment
from engine.services.receipts import create_receipt, void_receipt
from engine.services.refunds import request_refund
from engine.services.wallets import assign_unapplied, pay_from_wallet, start_topup
from engine.users import Person, Role
from ingest.keep import keep
from ingest.sources.file import FileSource
from tests.conftest import AUDIT_KEY
from tests.failpoints.forked import places_noted, serve
from webhooks import refunds as asking
from webhooks.checkout import _way
from webhooks.inbox import new_event
from webhooks.intake import Intake
from webhooks.metrics import Metrics
from webhooks.outbox import HANDLERS, OutboxWorker
from webhooks.reconciler import reconcile
from webhooks.sidecar import Sidecar
from webhooks.worker import Worker, sweep

SACCT = Path(__file__).parents[1] / "samples/slurm/slurm-22.05/sacct-D-P.txt"
BEFORE = datetime(2026, 11, 1, tzinfo=UTC)
PAYERS = ("alice", "bob", "carol", "dave")
LARGE = 100_000_000_000                 # above the limit up to which one person may do it alone
SECOND = Person(0, "second", Role.ADMIN, "")


@dataclass
class Company:
    """The provider: what it gave back stands in a file, whoever dies. Its first answer is lost after it was done."""

    file: Path
    name: str = "dummy"
    signature_is_enough: bool = True

    def checkout(self, payment: Payment, return_url: str) -> Checkout:
        return Checkout(f"http://localhost/checkout/{payment.reference}", f"cs_{payment.reference}")

    def parse_event(self, body: bytes) -> ProviderEvent:
        facts = json.loads(body)
        return ProviderEvent(**facts | {"kind": EventKind(facts["kind"])})

    def confirm(self, event: ProviderEvent) -> ProviderEvent:
        return event

    def memory(self) -> dict[str, list[object]]:
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def refund(self, order: RefundOrder) -> RefundAnswer:
        known = self.memory()
        first = not known
        if order.key in known:
            return self._answer(order.key)
        known[order.key] = [f"re_{len(known) + 1}", order.money, order.amount_minor, order.reference]
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(known))
        fresh.rename(self.file)
        if first:
            raise ProviderTrouble("the answer was lost", Outcome.UNKNOWN)
        return self._answer(order.key)

    def find_refund(self, order: RefundOrder) -> RefundAnswer | None:
        return self._answer(order.key) if order.key in self.memory() else None

    def _answer(self, key: str) -> RefundAnswer:
        return RefundAnswer(str(self.memory()[key][0]), RefundStatus.SUBMITTED)

    def movements(self, since: datetime, until: datetime) -> Sequence[Movement]:
        return json.loads(self.file.with_name("movements").read_text(), object_hook=_movement)


def _movement(facts: dict[str, object]) -> Movement:
    return Movement(**facts | {"at": datetime.fromisoformat(str(facts["at"]))})  # type: ignore[arg-type]


@dataclass
class Day:
    """One life of the centre; `seed` decides amounts and orders."""

    store: Store
    company: Company
    seed: int

    def __post_init__(self) -> None:
        asking.SETTLE_SECONDS = 0.0
        providers = {"dummy": self.company}
        metrics = Metrics(providers, lambda: figures(self.store))
        self.inbox = Worker(self.store, providers, metrics)  # type: ignore[arg-type]
        self.outbox = OutboxWorker(self.store, providers, metrics, HANDLERS)  # type: ignore[arg-type]
        intake = Intake([InboxLine(self.store.engine)])
        self.sidecar = Sidecar(self.store.settings, self.store, providers, metrics, self.inbox, self.outbox, intake, "http://localhost")  # type: ignore[arg-type]
        self.random, self.cents = random.Random(self.seed), self.cents_of(self.seed)

    @staticmethod
    def cents_of(seed: int) -> dict[str, int]:
        """What each payer's job cost, in minor units."""
        chance = random.Random(seed)
        return {payer: chance.randint(1_000, 9_000) for payer in PAYERS}

    def live(self, usage: bool) -> None:
        """From morning to evening; `usage` whether an accounting file comes in as well (it takes longest)."""
        if usage:
            keep(self.store, FileSource(SACCT, "hpc").read(None, lambda _: None), actor="ingest")
        payments = {payer: self.paid_for(payer) for payer in PAYERS[:3]}
        self.voided("dave")
        words = [self.came(payment) for payment in payments.values()]
        words.append(self.word(EventKind.DISPUTE_OPENED, payments["carol"], self.cents["carol"], "dp_1"))
        words.append(self.word(EventKind.DISPUTE_WITHDRAWN, payments["carol"], self.cents["carol"], "dp_1"))
        self.random.shuffle(words)
        self.hear(*words, *words[:2])
        for payer, part in (("alice", 700), ("bob", self.cents["bob"])):
            self.given_back(payments[payer], part)
        self.work()
        self.hear(*(self.word(EventKind.REFUND_SUCCEEDED, payments[payer], int(str(minor)), str(name))
                    for name, money, minor, _ in self.company.memory().values()
                    for payer in ("alice", "bob") if money == f"ch_{payments[payer].reference}"))
        self.expired("erin")
        self.wallets()
        self.reconciled(payments)
        self.banked()
        self.assigned("alice")

    def paid_for(self, payer: str) -> Payment:
        """The receipt of `payer`, a payment of it, and its checkout."""
        receipt = self.receipt(payer)
        payment = next(iter(self.store.read(lambda tx: tx.payments.of_receipt(receipt.id))), None)
        if payment is None:
            payment = self.store.run(lambda tx: start_payment(tx, receipt.id, OPERATOR), actor="operator", place="payment.start").payment
        _way(self.sidecar, payment.reference)
        return payment

    def receipt(self, payer: str) -> Receipt:
        made = self.store.read(lambda tx: tx.receipts.all([payer]))
        return made[0] if made else self.store.run(lambda tx: create_receipt(tx, payer, BEFORE, OPERATOR), actor="operator",
                                                   place="receipt.create")

    def voided(self, payer: str) -> None:
        receipt = self.receipt(payer)
        if receipt.status == "pending":
            self.store.run(lambda tx: void_receipt(tx, receipt.id, "a mistake", OPERATOR), actor="operator", place="receipt.void")

    def came(self, payment: Payment) -> ProviderEvent:
        return ProviderEvent("dummy", f"paid_{payment.reference}", EventKind.SUCCEEDED, False, payment.reference, f"ch_{payment.reference}",
                             payment.amount_micro // 10_000, payment.currency)

    def word(self, kind: EventKind, payment: Payment, minor: int, name: str) -> ProviderEvent:
        return ProviderEvent("dummy", f"{kind}_{name}", kind, False, "", f"ch_{payment.reference}", minor, payment.currency, name)

    def hear(self, *events: ProviderEvent) -> None:
        """Into the inbox, and applied; a body that cannot be read is put off once."""
        for event in events:
            facts = {name: getattr(event, name) for name in ProviderEvent.__slots__}
            row = new_event(event, json.dumps(facts).encode())
            self.store.run(lambda tx, row=row: tx.inbox.store(row))  # type: ignore[misc]
        broken = ProviderEvent("dummy", "broken", EventKind.OTHER, False, "", "", 0, "THB")
        self.store.run(lambda tx: tx.inbox.store(new_event(broken, b"{")))
        self.work()

    def work(self) -> None:
        """Let both workers do what is due, pauses over."""
        for _ in range(3):
            self.store.run(_no_pause)
            while self.inbox.step() or self.outbox.step():
                pass

    def given_back(self, payment: Payment, minor: int) -> None:
        money = Money(minor * 10_000, payment.currency)
        self.store.run(lambda tx: request_refund(tx, payment.reference, money, "given back in the test", OPERATOR, payment.reference),
                       actor="operator", place="refund.request")

    def expired(self, payer: str) -> None:
        """A payment nobody made is swept."""
        receipt = self.receipt(payer)
        if not self.store.read(lambda tx: tx.payments.of_receipt(receipt.id)):
            self.store.run(lambda tx: start_payment(tx, receipt.id, OPERATOR), actor="operator", place="dashboard.action")
        self.store.run(_time_is_over)
        sweep(self.store)

    def wallets(self) -> None:
        """A top-up comes; a second person confirms what goes into gina's wallet; it pays her receipt."""
        topup = next((one for one in self.store.read(lambda tx: tx.payments.all()) if one.purpose == "topup" and one.wallet == "bob"), None)
        if topup is None:
            topup = self.store.run(lambda tx: start_topup(tx, "bob", Money(75_000_000, "THB"), OPERATOR), actor="operator",
                                   place="wallets.topup").payment
        self.hear(self.came(topup))
        asked = next(iter(self.store.read(lambda tx: tx.wallets.adjustments())), None)
        if asked is None:
            asked = self.store.run(lambda tx: request_adjustment(tx, "gina", Money(LARGE, "THB"), "a grant of the senate", OPERATOR),
                                   actor="operator", place="wallets.adjust")
        if asked.status == "requested":
            self.store.run(lambda tx: confirm_adjustment(tx, asked.id, SECOND), actor=SECOND.name, place="wallets.confirm")
        if (receipt := self.receipt("gina")).status == "pending":
            self.store.run(lambda tx: pay_from_wallet(tx, receipt.id, "gina", OPERATOR), actor="operator", place="wallets.pay")

    def assigned(self, owner: str) -> None:
        """What came without a word was hers."""
        for kept in self.store.read(lambda tx: tx.payments.unapplied()):
            self.store.run(lambda tx, kept=kept: assign_unapplied(tx, kept.reference, owner, "she showed the slip", OPERATOR),  # type: ignore[misc]
                           actor="operator", place="wallets.assign")

    def banked(self) -> None:
        """A statement with one transfer for nobody we know."""
        lines = keyed([NewLine(date(2026, 11, 27), 5_000_000, "THB", "for nobody")])
        self.store.run(lambda tx: bring(tx, lines, "november.csv", OPERATOR), actor="operator", place="bank.bring")
        for line in self.store.read(lambda tx: tx.bank.listed("waiting")):
            self.store.run(lambda tx, line=line: apply_line(tx, line.id, "", OPERATOR), actor="operator", place="bank.apply")  # type: ignore[misc]

    def reconciled(self, payments: dict[str, Payment]) -> None:
        """The provider knows one charge more than it ever told."""
        now = self.store.read(lambda tx: tx.now)
        came = [one for one in self.store.read(lambda tx: tx.payments.all()) if one.provider == "dummy" and one.money_ref != "ch_never_told"
                and one.received_micro]
        told = [(str(one.money_ref), str(one.money_ref), one.reference, one.received_micro // 10_000) for one in came]
        told += [(str(money), str(name), str(reference), -int(str(minor)))
                 for name, money, minor, reference in self.company.memory().values()]
        carol = payments["carol"]
        told += [(f"ch_{carol.reference}", "dp_1", "", -self.cents["carol"]), ("ch_never_told", "ch_never_told", "", 1234)]
        self.company.file.with_name("movements").write_text(json.dumps([
            {"money": money, "object": name, "reference": reference, "amount_minor": minor, "currency": "THB", "at": now.isoformat()}
            for money, name, reference, minor in told]))
        reconcile(self.store, self.company, now.date(), "worker")  # type: ignore[arg-type]


def _no_pause(tx: PostgresTransaction) -> None:
    """What waits is due, and what a dead worker had in hand is free."""
    tx.inbox.execute("update webhook_inbox set due_at = now() where state = 'received'")
    tx.inbox.execute("update webhook_inbox set leased_until = now() where state = 'processing'")
    tx.outbox.execute("update outbox set due_at = now() where state = 'queued'")
    tx.outbox.execute("update outbox set leased_until = now() where state = 'working'")


def _time_is_over(tx: PostgresTransaction) -> None:
    tx.payments.execute("alter table payment disable trigger guard_payment")
    tx.payments.execute("update payment set expires_at = now() - interval '1 second' where status = 'pending'")
    tx.payments.execute("alter table payment enable trigger guard_payment")


def child(database: str, folder: str, seed: str, place: str) -> None:
    """Live the day."""
    home = Path(folder)
    with places_noted(home, place):
        settings = Settings(env="development", home=home, database_url=SecretStr(database), audit_key=SecretStr(AUDIT_KEY))
        day = Day(Store(connect(database), settings), Company(home / "company.json"), int(seed))
        day.live(usage=place.startswith("usage.") or place == "-")


if __name__ == "__main__":
    serve(sys.stdin, child)
