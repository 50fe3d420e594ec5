"""The four pages of money in and out: who gets in, what they say, what is offered to whom."""

from __future__ import annotations

import json

import pytest

from engine.payments import EventKind, ProviderEvent
from engine.policy import OPERATOR
from engine.services.outbox import replay_job
from engine.users import Role
from tests.pages_operations.conftest import Visit, said, visit  # noqa: F401  a fixture
from tests.refunds.conftest import Desk
from tests.refunds.test_events import stored
from tests.refunds.test_reconciliation import Books, charge, today
from webhooks.reconciler import reconcile

PAGES = ("refunds", "reconciliation", "inbox", "outbox")


def busy(desk: Desk) -> None:
    """A refund under way, one made at the provider, a dispute, an event that failed, a dead job, a day that differs."""
    receipt, payment = desk.paid()
    stored(desk, ProviderEvent("dummy", "evt_bad", EventKind.OTHER, False, "", "", 0, "THB"))
    desk.store.run(lambda tx: tx.inbox.execute("update webhook_inbox set state = 'failed', outcome = 'NotFound: <b>no</b> [x](http://evil)'"))
    desk.refund(receipt.number, "10.00")
    desk.hear(desk.word(EventKind.REFUND_SUCCEEDED, payment, 500, "re_there"))
    desk.hear(desk.word(EventKind.DISPUTE_OPENED, payment, 2000, "dp_1", why="fraudulent"))
    desk.store.run(lambda tx: tx.outbox.execute(
        "update outbox set state = 'working', leased_until = now() where kind = 'refund.submit';"
        "update outbox set state = 'dead', leased_until = null, outcome = 'no' where kind = 'refund.submit'"))
    reconcile(desk.store, Books(lines=[charge(payment, 6000)]), today(desk), "worker")  # type: ignore[arg-type]


@pytest.mark.parametrize("file", PAGES)
def test_a_researcher_gets_a_sentence_and_no_figure(visit: Visit, desk: Desk, file: str) -> None:    # noqa: F811
    busy(desk)
    page = visit(file, Role.RESEARCHER)
    assert not page.exception and not page.metric and not page.dataframe and "not for your role" in said(page)


@pytest.mark.parametrize("file", PAGES)
@pytest.mark.parametrize("full", [False, True])
def test_finance_and_auditors_read_every_page(visit: Visit, desk: Desk, file: str, full: bool) -> None:    # noqa: F811
    if full:
        busy(desk)
    for role in (Role.FINANCE, Role.AUDITOR):
        page = visit(file, role)
        assert not page.exception, page.exception
        assert page.title and (page.metric or not full)
        offered = [button.label for button in page.button if button.label.endswith("…")]
        assert bool(offered) == (role is Role.FINANCE and file in ("refunds", "reconciliation"))


def test_the_refunds_page_adds_up(visit: Visit, desk: Desk) -> None:    # noqa: F811
    busy(desk)
    words = said(visit("refunds", Role.FINANCE))
    assert "On its way back: 10.00 THB (1 refund)" in words and "In dispute: 20.00 THB (1 open dispute)" in words
    assert "'amount': [5.0, 10.0]" in words and words.index("['succeeded']") < words.index("['requested']")
    words = said(visit("refunds", Role.FINANCE, show="disputes"))
    assert "'reason': ['fraudulent']" in words and "['open']" in words
    assert "None matches" in said(visit("refunds", Role.FINANCE, q="nothing like it"))
    assert "['succeeded']" not in said(visit("refunds", Role.FINANCE, state="requested"))


def test_what_failed_and_what_is_dead_is_in_sight(visit: Visit, desk: Desk) -> None:    # noqa: F811
    """And text from outside is data, not markup."""
    busy(desk)
    page = visit("inbox", Role.AUDITOR)
    assert "Failed: 1 (somebody must look)" in said(page) and "[x](http://evil)" in said(page)
    assert not any("](http" in element.value for element in page.markdown)
    assert "Dead: 1 (somebody must look)" in said(visit("outbox", Role.AUDITOR))


def test_a_day_that_differs_says_by_how_much(visit: Visit, desk: Desk) -> None:    # noqa: F811
    busy(desk)
    words = said(visit("reconciliation", Role.AUDITOR))
    assert "Days that differ: 1 (somebody must look)" in words and "['differs']" in words
    assert "'ours': [55.6], 'theirs': [60.0], 'off': [4.4]" in words


def test_a_receipt_says_what_went_back_and_what_is_disputed(visit: Visit, desk: Desk) -> None:    # noqa: F811
    busy(desk)
    page = visit("receipt", Role.FINANCE, id="CH-2026-000001")
    assert not page.exception, page.exception
    words = said(page)
    assert "5.00 THB given back" in words and "10.00 THB on its way back" in words and "20.00 THB in dispute" in words


def test_the_audit_page_says_it_in_words(visit: Visit, desk: Desk) -> None:    # noqa: F811
    busy(desk)
    words = said(visit("audit", Role.AUDITOR))
    assert "Refund of 5.00 THB of TXN_" in words and "20.00 THB of TXN_" in words and "disputed: fraudulent" in words


def test_a_dead_job_that_was_asked_again_is_not_dead(desk: Desk) -> None:
    busy(desk)
    job = desk.store.run(lambda tx: replay_job(tx, 1, OPERATOR))
    assert (job.state, job.attempts) == ("queued", 0) and json.dumps(dict(job.payload))
