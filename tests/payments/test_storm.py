"""A storm of webhooks, shuffled and told many times over, on three sidecars that are killed and started again all the while:
every economic effect is there once, and the wallets hold what plain Python says they must.

COREHOURS_TEST_STORM_SEED chooses another storm.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from random import Random

import pytest

from data.postgres.store import PostgresTransaction
from engine.money import Money
from engine.policy import OPERATOR
from engine.services.wallets import start_topup
from tests.payments.conftest import SECRET, Books, SidecarProcess, signed, wait_until
from tests.payments.storm import MINOR, Asked, Model, Storm, brew, how_often

SEED = int(os.environ.get("COREHOURS_TEST_STORM_SEED", "1"))
CLIENTS = 8
REFUSED = 20                        # one delivery in so many is not the provider's


@dataclass(frozen=True, slots=True)
class Delivery:
    """A body, what it is signed with, and whether it deserves a 200."""

    body: bytes
    secret: str
    welcome: bool


@dataclass
class Siege:
    """Deliveries on their way to sidecars that die: a delivery is tried until it is answered, a refusal is an answer."""

    sidecars: list[SidecarProcess]
    deliveries: list[Delivery]
    kills: int
    random: Random
    begun: int = 0
    killed: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Deliver all of them; the kills are spread evenly over the deliveries."""
        with ThreadPoolExecutor(CLIENTS + 1) as pool:
            killing = pool.submit(self._kill)
            clients = [pool.submit(self._client, number) for number in range(CLIENTS)]
            for work in (*clients, killing):
                work.result()

    def _kill(self) -> None:
        """In the middle of each stretch of deliveries one sidecar is killed, and started again."""
        for number in range(self.kills):
            wait_until(lambda number=number: self.begun >= self._stretch * (number + 0.5), f"{number} kills' worth of deliveries", 120)
            time.sleep(self.random.uniform(0, 0.05))
            victim = self.random.choice(self.sidecars)
            assert victim.program is not None
            victim.program.kill()
            self.killed += 1
            victim.start()

    @property
    def _stretch(self) -> float:
        return len(self.deliveries) / self.kills

    def _client(self, number: int) -> None:
        lines: dict[int, HTTPConnection] = {}
        random = Random(number)
        while (delivery := self._next()) is not None:
            self._deliver(delivery, lines, random)

    def _next(self) -> Delivery | None:
        """The next delivery; none is begun while the killer is a stretch behind."""
        with self.lock:
            number, self.begun = self.begun, self.begun + 1
        if number >= len(self.deliveries):
            return None
        wait_until(lambda: self.killed >= int(number / self._stretch), "the next kill", 120)
        return self.deliveries[number]

    def _deliver(self, delivery: Delivery, lines: dict[int, HTTPConnection], random: Random) -> None:
        while True:
            port = random.choice(self.sidecars).port
            line = lines.setdefault(port, HTTPConnection("127.0.0.1", port, timeout=20))
            try:
                line.request("POST", "/webhooks/dummy", delivery.body, {"Dummy-Signature": signed(delivery.body, delivery.secret)})
                answer = line.getresponse()
                answer.read()
            except (OSError, HTTPException):
                lines.pop(port).close()
                self._count("nobody answered")
                time.sleep(0.02)
                continue
            self._count(str(answer.status))
            if answer.status < 500:
                assert (answer.status == 200) == delivery.welcome, (answer.status, delivery)
                return

    def _count(self, what: str) -> None:
        with self.lock:
            self.answers[what] += 1


@pytest.mark.parametrize(("deliveries", "events", "kills"), [
    (300, 75, 6), pytest.param(10_000, 2_500, 100, marks=pytest.mark.long)])
def test_every_effect_once_whoever_dies(new_sidecar: Callable[[], SidecarProcess], books: Books, deliveries: int, events: int,
                                        kills: int) -> None:
    storm = brew(SEED, events, lambda payer, minor, receipt: started(books, payer, minor, receipt))
    siege = Siege([new_sidecar().start() for _ in range(3)], shuffled(storm, deliveries), kills, storm.random)
    begun = time.monotonic()
    siege.run()
    delivered = time.monotonic()
    books.store.run(a_minute_passes)
    wait_until(lambda: not waiting(books), "everything is applied", 300)
    print(f"\nseed {SEED}: {len(siege.deliveries):,} deliveries of {events:,} events, {siege.killed} kills, {dict(siege.answers)},"
          f" delivered in {delivered - begun:.1f} s, applied {time.monotonic() - delivered:.1f} s later")
    assert_told_once(books, events)
    assert_books(books, storm.model)


def started(books: Books, payer: str, minor: int, receipt: bool) -> Asked:
    """A payment of a new receipt, or of a top-up."""
    if receipt:
        return Asked(books.payment_of(books.receipt_of(payer, minor * MINOR)).reference, payer, minor, True)
    money = Money(minor * MINOR, "THB")
    books.store.run(lambda tx: tx.payers.ensure([payer], "mu"))
    payment = books.store.run(lambda tx: start_topup(tx, payer, money, OPERATOR), actor="operator").payment
    return Asked(payment.reference, payer, minor, False)


def shuffled(storm: Storm, deliveries: int) -> list[Delivery]:
    """Every event at least once, in any order; among them what is forged, unreadable or of the other mode: it says the same with
    a hundred times the money."""
    times = how_often(storm.random, len(storm.words), deliveries)
    made = [Delivery(word.body(), SECRET, True) for word, often in zip(storm.words, times, strict=True) for _ in range(often)]
    for number, word in enumerate(storm.random.choices(storm.words, k=deliveries // REFUSED)):
        data = {"reference": word.reference, "money": word.money, "amount_minor": word.minor * 100, "currency": "THB"}
        made.append((Delivery(word.body(data=data), "not the secret", False), Delivery(word.body()[:-1], SECRET, False),
                     Delivery(word.body(livemode=True), SECRET, False))[number % 3])
    storm.random.shuffle(made)
    return made


def a_minute_passes(tx: PostgresTransaction) -> None:
    """What dead workers had in hand is free."""
    tx.inbox.execute("update webhook_inbox set leased_until = now() where state = 'processing'")
    tx.outbox.execute("update outbox set leased_until = now() where state = 'working'")


def waiting(books: Books) -> bool:
    """True while an event waits to be applied or a job to be done."""
    return bool(books.store.read(lambda tx: tx.inbox.rows(
        "select 1 from webhook_inbox where state in ('received', 'processing') union all"
        " select 1 from outbox where state in ('queued', 'working') limit 1")))


def assert_told_once(books: Books, events: int) -> None:
    """Every event was kept once and applied; nothing that was refused left a trace, no job is dead."""
    states = books.store.read(lambda tx: tx.inbox.rows("select state, count(*) as n from webhook_inbox group by state"))
    assert {row.state: row.n for row in states} == {"processed": events}
    jobs = books.store.read(lambda tx: tx.outbox.rows("select distinct state, outcome from outbox where state <> 'done'"))
    assert [tuple(row) for row in jobs] == []


def assert_books(books: Books, model: Model) -> None:
    """Balances, payments, receipts, refunds and disputes as the model has them; every effect was posted once."""
    read = books.store.read
    balances = read(lambda tx: tx.ledger.balances())
    assert {(str(name.kind), name.owner, name.currency): micro for name, micro in balances.items() if micro} == {
        account: minor * MINOR for account, minor in model.ledger.items() if minor}

    came = read(lambda tx: tx.payments.rows("select money_ref, received_micro, reference from payment where received_micro > 0"))
    assert sorted((row.money_ref, row.received_micro) for row in came) == sorted(
        (money, minor * MINOR) for money, minor in model.money.items())
    receipts = read(lambda tx: tx.payments.rows(
        "select distinct p.reference, r.status from payment p join receipt r on r.id = p.receipt_id"))
    assert {row.reference: row.status for row in receipts if row.reference in model.receipts} == model.receipts
    refunds = read(lambda tx: tx.refunds.rows("select id, provider_ref, status from refund"))
    assert {row.provider_ref: row.status for row in refunds} == model.refunds and len(refunds) == len(model.refunds)
    disputes = read(lambda tx: tx.refunds.rows("select provider_ref, status from dispute"))
    assert {row.provider_ref: row.status for row in disputes} == model.disputes and len(disputes) == len(model.disputes)

    keys = Counter(row.key for row in read(lambda tx: tx.ledger.rows("select key from ledger_transaction")))
    assert max(keys.values()) == 1
    posted = {kind: {key.removeprefix(kind) for key in keys if key.startswith(kind)} for kind in ("pay:dummy:", "refund:", "refund-done:")}
    assert posted["pay:dummy:"] == {row.reference for row in came}
    assert posted["refund:"] >= {row.id for row in refunds if row.status != "failed"}
    assert posted["refund-done:"] >= {row.id for row in refunds if row.status == "succeeded"}
