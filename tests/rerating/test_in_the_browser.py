"""In real Chromium: an admin tries a cheaper GPU on a month that is billed, and prices it again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenAs, Site, new_page, open_as, settled, site  # noqa: F401  fixtures
from tests.engine.usage_frames import run
from tests.flows.examples import bill, broken, keep_runs

pytestmark = pytest.mark.browser
NOW = datetime.now(UTC)
YESTERDAY = int((NOW - timedelta(days=1)).timestamp())


def from_day(page: Page, day: datetime) -> None:
    """Type the day the draft shall hold from."""
    for part, form in (("year", "%Y"), ("month", "%m"), ("day", "%d")):
        page.get_by_role("spinbutton", name=f"{part}, Valid from").focus()
        page.keyboard.type(day.strftime(form))
    page.get_by_text("Make it so").click()
    settled(page)


def test_a_price_is_cut_back_for_jobs_that_are_on_a_receipt(open_as: OpenAs, site: Site) -> None:    # noqa: F811
    """The golden run costs 28.20 at mu; with the GPU at 3.00 instead of 5.00 it is 4.00 less."""
    keep_runs(site.store, run(7001, user_name="cut-alice", end_at=YESTERDAY, start_at=YESTERDAY - 7200, submit_at=YESTERDAY - 7300))
    receipt = bill(site.store, "cut-alice", NOW)
    page = open_as("admin", "/what-if?card=mu-v1")
    page.get_by_label("GPU, THB per GPU-hour").fill("3")
    page.get_by_label("GPU, THB per GPU-hour").press("Enter")
    settled(page)
    expect(page.get_by_test_id("stMetricValue").get_by_text("24.20", exact=True)).to_be_visible()     # it was tried
    settled(page)
    from_day(page, NOW - timedelta(days=3))
    page.get_by_role("button", name="Re-rate…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("on issued receipts")
    dialog.get_by_label("Why (stands in the rate book and in the audit chain)").fill("council decision 14")
    dialog.get_by_role("button", name="Re-rate", exact=True).click()
    expect(page.get_by_text("priced again")).to_be_visible()
    card = next(card for card in site.store.read(lambda tx: tx.rates.book()) if card.note == "council decision 14")
    assert (card.line, card.price_micro("gpu")) == ("mu", 3_000_000)
    assert site.store.read(lambda tx: tx.receipts.get(receipt.id)) == receipt
    rows = site.store.read(lambda tx: [row for lot in tx.rerating.ended(["mu"], [], None, None) for row in lot.to_dicts()])
    assert [(row["rate_card"], row["cost_micro"], row["billed_micro"]) for row in rows if row["payer"] == "cut-alice"] == [
        (card.name, 24_200_000, 28_200_000)]
    assert broken(site.store) == []
