"""In real Chromium: a line of a receipt explains itself, by a card that makes the evening dearer; the dialog closes again."""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenAs, Site, new_page, open_as, settled, site  # noqa: F401  fixtures
from tests.engine.usage_frames import run
from tests.explain.examples import publish
from tests.flows.examples import bill, keep_runs
from tests.pages_operations.test_in_the_browser import select_row

pytestmark = pytest.mark.browser
PEAK = "time_zone: Asia/Bangkok\nmodifiers:\n- {name: peak, hours: 18:00-21:00, factor: 1.2}"


def picture(page: Page, name: str) -> None:
    """A picture for whoever wants to look: COREHOURS_TEST_PICTURES names a folder."""
    if folder := os.environ.get("COREHOURS_TEST_PICTURES"):
        page.wait_for_timeout(1000)
        page.screenshot(path=f"{folder}/{name}.png")


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])     # but for the colours it is the same page
def test_a_line_of_a_receipt_explains_itself(open_as: OpenAs, site: Site, scheme: str) -> None:    # noqa: F811
    if not site.store.read(lambda tx: tx.receipts.all(["researcher"])):        # whichever comes first
        publish(site.store, "cpu: 1, gpu: 5, mem: 0.5", more=PEAK)
        keep_runs(site.store, run(184_462, user_name="researcher", job_name="whisper_th_ft"))
        bill(site.store, "researcher")
    [receipt] = site.store.read(lambda tx: tx.receipts.all(["researcher"]))
    page = open_as("researcher", f"/receipt?id={receipt.number}", scheme=scheme)
    page.get_by_text("1 line, one a job").click()
    settled(page)
    select_row(page, 0)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Job 184462 · whisper_th_ft · physics · researcher · completed")
    expect(dialog).to_contain_text("Time factor 1.177777…, times in Asia/Bangkok: peak × 1.2 for 1 h 46 min 40 s")
    expect(dialog).to_contain_text(f"It is on receipt {receipt.number} (pending).")
    expect(dialog).to_contain_text("Total 33.21 THB")
    picture(page, f"explain-receipt-{scheme}")
    dialog.get_by_text("Where it comes from").click()
    expect(dialog).to_contain_text("brought by ingest run")
    picture(page, f"explain-records-{scheme}")
    dialog.get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.goto("/usage?job=c/184462/1789992800&period=year")
    expect(page.get_by_role("dialog")).to_contain_text("Total 33.21 THB")
    picture(page, f"explain-usage-{scheme}")
