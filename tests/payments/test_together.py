"""Events that came together are stored in one commit and applied in one transaction: the books are as if each had come alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from data.postgres.health import figures
from data.postgres.inbox_line import InboxLine
from data.postgres.shelves.inbox import NewEvent
from data.postgres.store import Store
from engine.money import Money
from engine.payments import Payment
from engine.policy import OPERATOR
from engine.services.payments_together import apply_together
from engine.services.wallets import start_topup
from tests.payments.conftest import SECRET, Books, event, wait_until
from webhooks import queue_worker, worker
from webhooks.inbox import new_event
from webhooks.intake import Intake
from webhooks.metrics import Metrics
from webhooks.providers.dummy import DummyProvider
from webhooks.worker import Worker

NEVER = 3600.0


@pytest.fixture
def dummy(store: Store) -> DummyProvider:
    """A provider whose signature is enough."""
    return DummyProvider(store.settings.model_copy(update={"dummy_webhook_secret": SecretStr(SECRET)}))


@pytest.fixture
def hands(store: Store, dummy: DummyProvider) -> Worker:
    """The inbox's worker, which works when it is told to."""
    return Worker(store, {"dummy": dummy}, Metrics(["dummy"], lambda: figures(store)))


def topup(books: Books, payer: str, minor: int) -> Payment:
    """One that waits for its money."""
    books.store.run(lambda tx: tx.payers.ensure([payer], "mu"))
    return books.store.run(lambda tx: start_topup(tx, payer, Money(minor * 10_000, "THB"), OPERATOR), actor="operator").payment


def stored(books: Books, dummy: DummyProvider, *bodies: bytes) -> list[bool]:
    """What the door does with them."""
    return books.store.run(lambda tx: tx.inbox.store(*(new_event(dummy.parse_event(body), body) for body in bodies)))


def test_many_are_applied_in_one_transaction(books: Books, dummy: DummyProvider, hands: Worker) -> None:
    """Ten top-ups and ten receipts: one step, two transactions (the claim and the effect), every payer's books as they should be."""
    topups = [topup(books, f"payer{number}", 2_000 + number) for number in range(10)]
    receipts = [books.receipt_of(f"user{number}") for number in range(10)]
    bodies = [event(payment.reference, 2_000 + number) for number, payment in enumerate(topups)]
    assert stored(books, dummy, *bodies, *(event(books.payment_of(receipt).reference) for receipt in receipts)) == [True] * 20
    hands.step()
    assert {row.outcome for row in books.store.read(lambda tx: tx.inbox.newest())} >= {
        "succeeded: 20.00 THB came as asked", "succeeded: 60.60 THB came as asked"}
    assert len(set(books.store.read(lambda tx: tx.inbox.rows("select distinct processed_at from webhook_inbox")))) == 1
    assert {books.status(receipt) for receipt in receipts} == {"paid"}
    assert {name: micro for name, micro in books.ledger().items() if name.startswith("wallet:")} == {
        f"wallet:payer{number}": (2_000 + number) * 10_000 for number in range(10)}
    assert books.actions().count("payment.succeeded") == 20 and books.actions().count("receipt.paid") == 10
    history = books.store.read(lambda tx: tx.receipts.events(receipts[0].id))
    assert [(one.from_status, one.to_status, one.actor) for one in history] == [
        (None, "pending", "operator"), ("pending", "paid", "worker")]


def test_what_is_not_plain_takes_its_own_way_beside_them(books: Books, dummy: DummyProvider, hands: Worker) -> None:
    """In one batch: as asked; the same money under another event; two charges for one payment; too little; nobody's; unreadable."""
    plain, twice, pieces, little = (topup(books, name, 5_000) for name in ("plain", "twice", "pieces", "little"))
    receipt = books.receipt_of("alice")
    stored(books, dummy, event(plain.reference, 5_000), event(twice.reference, 5_000), event(twice.reference, 5_000),
           event(pieces.reference, 3_000, money="ch_1"), event(pieces.reference, 2_000, money="ch_2"), event(little.reference, 100),
           event(books.payment_of(receipt).reference, 60), event("TXN_0000000000000000", 700))
    books.store.run(lambda tx: tx.inbox.store(NewEvent("dummy", False, "evt_broken", "payment.succeeded", b"{}")))
    while hands.step():
        pass
    assert books.ledger() == {"clearing:dummy": (5_000 * 3 + 100 + 60) * 10_000, "wallet:plain": 50_000_000, "wallet:twice": 50_000_000,
                              "wallet:pieces": 50_000_000, "wallet:little": 1_000_000, "wallet:alice": 600_000,
                              "receivable:alice": 60_600_000, "income:cpu": 60_600_000}
    outcomes = books.inbox()
    assert sum(outcome.startswith("duplicate") for _, outcome in outcomes) == 1
    assert outcomes[-1][0] == "received" and outcomes[-1][1].startswith("BadEvent"), "the broken one is tried again, alone"
    assert outcomes[-2] == ("received", "no payment TXN_0000000000000000 yet")


def test_what_somebody_has_in_hand_is_not_waited_for(books: Books, dummy: DummyProvider) -> None:
    """The money of one and the payment of another are held elsewhere: only the third is applied, at once."""
    held, locked, free = (topup(books, name, 5_000) for name in ("held", "locked", "free"))
    events = [dummy.parse_event(event(payment.reference, 5_000)) for payment in (held, locked, free)]
    with ThreadPoolExecutor(1) as pool, books.store.engine.begin() as connection:
        shelf = books.store.run(lambda tx: tx.payments)
        shelf.connection = connection
        shelf.hold_money("dummy", False, held.reference)
        shelf.lock(locked.reference)
        done = pool.submit(lambda: books.store.run(lambda tx: apply_together(tx, events), actor="worker")).result(20)
    assert [event.reference for event in done] == [free.reference]
    assert [books.payment_status(payment) for payment in (held, locked, free)] == ["pending", "pending", "succeeded"]


def test_a_worker_hears_of_what_another_sidecar_stored(books: Books, dummy: DummyProvider, monkeypatch: pytest.MonkeyPatch,
                                                       hands: Worker) -> None:
    """It looks by itself once an hour only, and gives way all the time: what it does it was told of, and does in the end."""
    monkeypatch.setattr(queue_worker, "GIVE_WAY_SECONDS", 0.05)
    patient = Worker(books.store, {"dummy": dummy}, Metrics(["dummy"], lambda: figures(books.store)), crowded=lambda: True)
    patient.poll_seconds = NEVER
    patient.start()
    try:
        for payer in ("one", "two"):
            payment = topup(books, payer, 5_000)
            stored(books, dummy, event(payment.reference, 5_000))
            wait_until(lambda payment=payment: books.payment_status(payment) == "succeeded", "applied")
    finally:
        patient.stop()
    assert worker.POLL_SECONDS < NEVER


def test_it_is_behind_while_more_comes_than_one_transaction_takes(books: Books, dummy: DummyProvider, hands: Worker,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """Then documents and mail let it pass."""
    monkeypatch.setattr(worker, "MOST", 2)
    for number in range(4):             # three are claimed at once: as many together, and one that might have to be alone
        payment = topup(books, f"payer{number}", 5_000)
        stored(books, dummy, event(payment.reference, 5_000))
    assert not hands.behind()
    assert hands.step() and hands.behind()
    assert hands.step() and not hands.behind()


def kept(store: Store, *events: NewEvent, before: Callable[[], object] = lambda: None) -> list[bool | str]:
    """What requests that wait at the same time are answered; the first one has been before."""
    async def go() -> list[bool | str]:
        intake = Intake([InboxLine(store.engine)])
        await intake.keep(NewEvent("dummy", False, "evt_first", "other", b"{}"))
        before()
        answers = await asyncio.gather(*(intake.keep(one) for one in events), return_exceptions=True)
        await intake.close()
        return [answer if isinstance(answer, bool) else type(answer).__name__ for answer in answers]
    with ThreadPoolExecutor(1) as pool:         # an event loop of its own
        return pool.submit(lambda: asyncio.run(go())).result(60)


def named(*keys: str) -> list[NewEvent]:
    """Events of these names."""
    return [NewEvent("dummy", False, key, "other", b"{}") for key in keys]


def test_requests_that_wait_together_share_a_commit(store: Store) -> None:
    assert kept(store, *named("evt_b", "evt_a", "evt_first", "evt_b")) == [True, True, False, False]
    rows = store.read(lambda tx: tx.inbox.rows("select event_key, received_at from webhook_inbox order by id"))
    assert [row.event_key for row in rows] == ["evt_first", "evt_a", "evt_b"] and rows[1].received_at == rows[2].received_at


def test_one_event_that_the_database_refuses_does_not_hurt_the_others(store: Store) -> None:
    assert kept(store, *named("evt_a", "evt_\x00", "evt_b")) == [True, "DBAPIError", True]


def test_a_line_that_was_cut_is_opened_again(store: Store) -> None:
    def cut() -> None:
        with store.engine.begin() as connection:
            connection.execute(sa.text("select pg_terminate_backend(pid) from pg_stat_activity"
                                       " where query like '%insert into webhook_inbox%' and datname = current_database()"
                                       " and pid <> pg_backend_pid()"))
    assert kept(store, *named("evt_a", "evt_b"), before=cut) == [True, True]


def test_who_waits_too_long_is_told_so(store: Store) -> None:
    """Somebody holds the table. What was under way is stored all the same: told again, it is found to be."""
    async def go() -> bool:
        intake = Intake([InboxLine(store.engine)])
        with store.engine.begin() as connection:
            connection.execute(sa.text("lock table webhook_inbox"))
            with pytest.raises(TimeoutError):
                await intake.keep(named("evt_a")[0], seconds=0.2)
        again = await intake.keep(named("evt_a")[0])
        await intake.close()
        return again
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: asyncio.run(go())).result(60) is False


def test_one_that_kills_its_workers_does_not_use_up_the_attempts_of_the_others(books: Books, dummy: DummyProvider, hands: Worker) -> None:
    """Three times a worker dies over both of them; from then on each is claimed alone. One that failed is alone at once."""
    one, other = (topup(books, name, 5_000) for name in ("one", "other"))
    stored(books, dummy, event(one.reference, 5_000), event(other.reference, 5_000))

    def claimed() -> list[tuple[int, bool]]:
        rows = books.store.run(lambda tx: tx.inbox.claim_new(["dummy"], 100))
        books.store.run(lambda tx: tx.inbox.execute("update webhook_inbox set leased_until = now() where state = 'processing'"))
        return [(row.attempts, row.suits_others) for row in rows]
    assert [claimed() for _ in range(4)] == [[(1, True)] * 2, [(2, True)] * 2, [(3, True)] * 2, []]
    while hands.step():
        pass
    assert [books.payment_status(payment) for payment in (one, other)] == ["succeeded", "succeeded"]
