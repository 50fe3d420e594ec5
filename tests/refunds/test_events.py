"""The inbox and words about money that has not come: kept, in sight, and applied when it comes, with no clock in it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from data.postgres.health import figures
from engine.payments import EventKind, ProviderEvent
from engine.refunds import RefundAnswer, RefundStatus
from tests.conftest import Corehours
from tests.refunds.conftest import Desk
from webhooks.inbox import new_event
from webhooks.metrics import Metrics
from webhooks.worker import Worker


@dataclass(frozen=True)
class Reader:
    """A provider whose webhooks are the events themselves."""

    name: str = "dummy"
    signature_is_enough: bool = True

    def parse_event(self, body: bytes) -> ProviderEvent:
        facts = json.loads(body)
        return ProviderEvent(**facts | {"kind": EventKind(facts["kind"])})

    def confirm(self, event: ProviderEvent) -> ProviderEvent:
        return event


def stored(desk: Desk, *events: ProviderEvent) -> None:
    """Put them into the inbox, as the door does."""
    for event in events:
        body = json.dumps({name: getattr(event, name) for name in ProviderEvent.__slots__}).encode()
        desk.store.run(lambda tx, event=event, body=body: tx.inbox.store(new_event(event, body)))  # type: ignore[misc]


@pytest.fixture
def worker(desk: Desk) -> Worker:
    """The inbox's worker, which works when it is told to."""
    return Worker(desk.store, {"dummy": Reader()}, Metrics(["dummy"], lambda: figures(desk.store)))  # type: ignore[dict-item]


def test_refund_and_dispute_told_before_their_charge(desk: Desk, worker: Worker) -> None:
    """They rest as processed, with an alarm; the charge wakes them, and each is booked once."""
    receipt = desk.books.receipt_of("alice")
    payment = desk.books.payment_of(receipt)
    stored(desk, desk.word(EventKind.REFUND_SUCCEEDED, payment, 2000, "re_1"), desk.word(EventKind.DISPUTE_OPENED, payment, 4060, "dp_1"))
    while worker.step():
        pass
    assert [state for state, _ in desk.books.inbox()] == ["processed", "processed"]
    assert all(outcome.startswith("unmatched: a ") and "has not come here" in outcome for _, outcome in desk.books.inbox())
    stored(desk, desk.came(payment))
    while worker.step():
        pass
    assert [outcome.split(":")[0] for _, outcome in desk.books.inbox()] == ["booked", "booked", "succeeded"]
    assert desk.refunds(payment) == [("succeeded", "re_1", 20_000_000)]
    assert desk.store.read(lambda tx: [one.provider_ref for one in tx.disputes.of_payment(payment.id)]) == ["dp_1"]
    assert desk.ledger() == {"clearing:dummy": 40_600_000, "income:cpu": 40_600_000}


def test_other_money_wakes_nobody(desk: Desk, worker: Worker) -> None:
    receipt = desk.books.receipt_of("alice")
    payment = desk.books.payment_of(receipt)
    stored(desk, desk.word(EventKind.REFUND_SUCCEEDED, payment, 2000, "re_1"), desk.came(payment, money="ch_another"))
    while worker.step():
        pass
    assert [outcome.split(":")[0] for _, outcome in desk.books.inbox()] == ["unmatched", "succeeded"]
    assert desk.refunds(payment) == []


def test_a_word_that_waits_for_the_answer_is_asked_again(desk: Desk, worker: Worker) -> None:
    """The refund was asked for and its name is on the way: the word stays in the inbox until it is known."""
    receipt, payment = desk.paid()
    refund = desk.refund(receipt.number)
    desk.store.run(lambda tx: tx.refunds.asked(refund, tx.now))
    stored(desk, desk.word(EventKind.REFUND_SUCCEEDED, payment, 6060, "re_1"))
    worker.step()
    [(state, why)] = desk.books.inbox()
    assert state == "received" and "its name is on its way" in why
    desk.till.made[f"refund:{refund.id}"] = RefundAnswer("re_1", RefundStatus.SUBMITTED)
    desk.submit()
    desk.store.run(lambda tx: tx.inbox.execute("update webhook_inbox set due_at = now()"))
    worker.step()
    assert desk.refunds(payment) == [("succeeded", "re_1", 60_600_000)] and desk.till.asked == []


def test_what_has_waited_long_is_asked_for_more_rarely(desk: Desk, worker: Worker) -> None:
    """A provider that is away for hours is not asked every second for each of its events; what has just come is asked for soon."""
    _, payment = desk.paid()
    desk.refund(payment.reference, "10.00")
    desk.store.run(lambda tx: tx.refunds.execute("update refund set asked_at = now()"))
    stored(desk, *(desk.word(EventKind.REFUND_SUCCEEDED, payment, 1000, name) for name in ("re_1", "re_2")))
    desk.store.run(lambda tx: tx.inbox.execute("update webhook_inbox set received_at = now() - interval '1 day' where id % 2 = 0"))
    while worker.step():
        pass
    pauses = desk.store.read(lambda tx: [(row.due_at - tx.now).total_seconds() for row in reversed(tx.inbox.newest())])
    assert len(pauses) == 2 and pauses[0] < 5.1 and 5 < pauses[1] < 61


def test_kinds_nobody_needs_are_ignored(desk: Desk, worker: Worker) -> None:
    stored(desk, ProviderEvent("dummy", "evt_other", EventKind.OTHER, False, "", "", 0, "THB"))
    worker.step()
    assert desk.books.inbox() == [("processed", "ignored: nothing is done about other")]


def test_the_command_asks_lists_and_shows(desk: Desk, corehours: Corehours) -> None:
    receipt, payment = desk.paid()
    asked = corehours("refunds", "request", receipt.number, "--amount", "20.20", "--reason", "billed twice over", "--json")
    made = json.loads(asked.stdout)
    assert (made["status"], made["payment"], made["amount_micro"]) == ("requested", payment.reference, 20_200_000)
    assert made["id"] in corehours("refunds", "list").stdout
    assert "billed twice over" in corehours("refunds", "show", made["id"]).stdout
    refused = corehours("refunds", "request", payment.reference, "--amount", "40.41", "--reason", "billed twice over")
    assert refused.returncode == 1 and "40.41 THB is more than the 40.40 THB that are left" in refused.stderr
    assert corehours("refunds", "disputes").stdout == "No dispute yet.\n"
