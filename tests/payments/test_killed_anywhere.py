"""Two sidecars, two hundred deliveries, a kill at every boundary: the receipt is paid once."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import requests

from data.postgres.shelves.inbox import NewEvent
from tests.conftest import Corehours
from tests.payments.conftest import Books, SidecarProcess, SidecarThread, event, wait_until

PAID = {"clearing:dummy": 60_600_000, "income:cpu": 60_600_000}


@pytest.mark.parametrize("place", ["inbox.storing", "inbox.stored", "inbox.claimed", "inbox.applying", "inbox.applied",
                                   "inbox.processed"])
def test_killed_between_any_two_steps_it_pays_once(
        new_sidecar: Callable[[], SidecarProcess], heir: SidecarThread, books: Books, place: str) -> None:
    """The provider comes again until it hears 200; another sidecar takes over where the dead one stopped."""
    receipt = books.receipt_of("alice")
    body = event(books.payment_of(receipt).reference)
    doomed = new_sidecar().start(COREHOURS_FAILPOINT=place)
    with suppress(requests.RequestException):       # it may die before it answers, or in the middle of its answer
        doomed.post(body)
    wait_until(doomed.died, f"killed at {place}")
    assert books.status(receipt) == ("paid" if place == "inbox.processed" else "pending")
    _lease_is_over(books)

    heir.start()
    assert heir.post(body).json()["status"] == ("stored" if place == "inbox.storing" else "duplicate")
    wait_until(lambda: books.status(receipt) == "paid" and books.drained(), "paid")
    assert books.ledger() == PAID


def test_a_link_that_names_no_payment_leads_nowhere(sidecar: SidecarThread) -> None:
    for reference in ("TXN_0123456789ABCDEF", "TXN_%00", "..", "%F0%9F%92%A9"):
        answer = requests.get(f"{sidecar.url}/pay/{reference}", timeout=10)
        assert answer.status_code == 404, reference


@pytest.mark.parametrize("place", ["checkout.made", "checkout.kept"])
def test_killed_while_the_checkout_is_made_the_link_still_works(
        new_sidecar: Callable[[], SidecarProcess], heir: SidecarThread, books: Books, place: str) -> None:
    payment = books.payment_of(books.receipt_of("alice"))
    doomed = new_sidecar().start(COREHOURS_FAILPOINT=place)
    with pytest.raises(requests.RequestException):
        requests.get(f"{doomed.url}/pay/{payment.reference}", timeout=10)
    wait_until(doomed.died, f"killed at {place}")
    answer = requests.get(f"{heir.start().url}/pay/{payment.reference}", timeout=10, allow_redirects=False)
    assert answer.status_code == 303 and "/dummy/checkout?token=" in answer.headers["location"]


def test_two_hundred_deliveries_of_one_event_post_once(sidecar: SidecarThread, books: Books) -> None:
    receipt = books.receipt_of("alice")
    body = event(books.payment_of(receipt).reference)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: sidecar.post(body).json()["status"], range(200)))
    assert sorted(answers) == ["duplicate"] * 199 + ["stored"]
    wait_until(lambda: books.status(receipt) == "paid", "paid")
    assert books.ledger() == PAID


def test_two_sidecars_share_one_inbox(new_sidecar: Callable[[], SidecarProcess], sidecar: SidecarThread, books: Books) -> None:
    """Twenty receipts, each event sent to both: every receipt is paid once, whoever applies it."""
    other = new_sidecar().start()
    receipts = [books.receipt_of(f"user{number:02}") for number in range(20)]
    bodies = [event(books.payment_of(receipt).reference) for receipt in receipts]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: {sidecar.post(body).json()["status"], other.post(body).json()["status"]}, bodies))
    assert answers == [{"stored", "duplicate"}] * 20
    wait_until(lambda: all(books.status(receipt) == "paid" for receipt in receipts) and books.drained(), "all paid")
    assert books.ledger() == {"clearing:dummy": 20 * 60_600_000, "income:cpu": 20 * 60_600_000}
    assert books.actions().count("receipt.paid") == 20


def test_a_poison_event_ends_in_sight_and_can_be_replayed(
        new_sidecar: Callable[[], SidecarProcess], books: Books, corehours: Corehours) -> None:
    """A bug that raises while applying: after eight attempts the event rests as failed; mended, it is replayed."""
    receipt = books.receipt_of("alice")
    sick = new_sidecar().start(COREHOURS_FAILPOINT="inbox.applied:raise")
    sick.post(event(books.payment_of(receipt).reference))
    wait_until(lambda: books.inbox()[0][1] == "Failpoint: inbox.applied", "failed once")
    books.store.run(lambda tx: tx.inbox.execute("update webhook_inbox set attempts = 7, due_at = now() where state = 'received'"))
    wait_until(lambda: books.inbox()[0][0] == "failed", "given up")
    assert 'payments_total{provider="dummy",result="error"}' in sick.metrics() and "inbox_failed 1.0" in sick.metrics()
    sick.stop()

    [listed] = json.loads(corehours("payments", "inbox", "--state", "failed", "--json").stdout)
    assert (listed["attempts"], listed["outcome"]) == (8, "Failpoint: inbox.applied")
    assert corehours("payments", "replay", str(listed["id"])).returncode == 0
    new_sidecar().start()
    wait_until(lambda: books.status(receipt) == "paid", "paid")
    assert corehours("payments", "replay", "999").stderr == (
        "There is no such thing here. No event 999 can be replayed: it is not in the inbox, or a sidecar has it in hand.\n")


def test_an_event_that_kills_every_worker_is_put_aside(sidecar: SidecarThread, books: Books) -> None:
    """Eight leases ran out without a word: the ninth worker does not touch it, and the others go on."""
    receipt = books.receipt_of("alice")
    books.store.run(lambda tx: tx.inbox.store(NewEvent("dummy", False, "evt_deadly", "payment.succeeded", b"{}")))
    books.store.run(lambda tx: tx.inbox.execute("update webhook_inbox set attempts = 8, state = 'received', due_at = now()"))
    sidecar.post(event(books.payment_of(receipt).reference))
    wait_until(lambda: books.status(receipt) == "paid" and books.drained(), "paid")
    assert books.inbox()[0][0] == "failed" and "nobody came back" in books.inbox()[0][1]


def test_told_to_stop_it_first_applies_what_it_took(new_sidecar: Callable[[], SidecarProcess], books: Books) -> None:
    receipts = [books.receipt_of(f"user{number:02}") for number in range(10)]
    bodies = [event(books.payment_of(receipt).reference) for receipt in receipts]
    sidecar = new_sidecar().start()
    for body in bodies:
        assert sidecar.post(body).status_code == 200
    sidecar.stop()
    assert sidecar.program is not None and sidecar.program.ended() == 0
    assert all(books.status(receipt) == "paid" for receipt in receipts)


def _lease_is_over(books: Books) -> None:
    """A minute passes for whatever the dead worker had in hand."""
    books.store.run(lambda tx: tx.inbox.execute("update webhook_inbox set leased_until = now() where state = 'processing'"))
