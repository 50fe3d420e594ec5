"""In real Chromium: finance gives money back from a receipt's number, and has a dead job tried again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from data.postgres.health import figures
from tests.browser.conftest import OpenAs, Site, new_page, open_as, settled, site  # noqa: F401  fixtures
from tests.payments.conftest import Books as Ledger
from tests.refunds.conftest import Desk, Till
from webhooks.metrics import Metrics
from webhooks.outbox import HANDLERS, OutboxWorker

pytestmark = pytest.mark.browser


@pytest.fixture
def front(site: Site) -> Iterator[Desk]:    # noqa: F811
    """The desk of the site that the browser sees."""
    till = Till()
    worker = OutboxWorker(site.store, {"dummy": till}, Metrics(["dummy"], lambda: figures(site.store)), HANDLERS)  # type: ignore[dict-item]
    yield Desk(Ledger(site.store), till, worker)


def test_finance_gives_a_part_of_a_receipt_back(open_as: OpenAs, front: Desk) -> None:    # noqa: F811
    """More than is left is refused in the dialog; 20.20 of 60.60 are requested, submitted, and seen as such."""
    receipt, payment = front.paid("refund-alice")
    page = open_as("finance", "/refunds")
    page.get_by_role("button", name="Give money back…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Payment or receipt").fill(receipt.number)
    dialog.get_by_label("Payment or receipt").press("Enter")
    expect(dialog).to_contain_text("60.60 THB of it can go back, through dummy")
    for amount, answer in (("60.61", "60.61 THB is more than the 60.60 THB that are left of this payment. Nothing was changed."),
                           ("20.20", "")):
        dialog.get_by_label("Amount, THB").fill(amount)
        dialog.get_by_label("Reason").fill("billed for the wrong project")
        dialog.get_by_role("button", name="Give back", exact=True).click()
        if answer:
            expect(dialog).to_contain_text(answer)
    expect(page.get_by_text("The refund is requested.")).to_be_visible()
    assert front.refunds(payment) == [("requested", None, 20_200_000)]
    front.submit()
    page.goto("/refunds?state=submitted")
    settled(page)
    expect(page.get_by_text("1 refund", exact=True).first).to_be_visible()


@pytest.mark.long
def test_a_dead_job_is_tried_again(open_as: OpenAs, front: Desk) -> None:    # noqa: F811
    front.paid("outbox-bob")
    front.store.run(lambda tx: tx.outbox.add("test.nothing", "one", {"word": "one"}))
    front.store.run(lambda tx: tx.outbox.execute("update outbox set state = 'working', leased_until = now() where kind = 'test.nothing'"))
    front.store.run(lambda tx: tx.outbox.execute(
        "update outbox set state = 'dead', leased_until = null, outcome = 'no such mailbox' where kind = 'test.nothing'"))
    page = open_as("finance", "/outbox?state=dead")
    table = page.get_by_test_id("stDataFrame")
    box = table.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 16, box["y"] + 48)
    page.get_by_role("button", name="Try again…").click()
    page.get_by_role("dialog").get_by_role("button", name="Try again", exact=True).click()
    expect(page.get_by_text("is due: a running sidecar tries it now.")).to_be_visible()
    states = front.store.read(lambda tx: {job.kind: job.state for job in tx.outbox.newest()})
    assert states["test.nothing"] == "queued"
