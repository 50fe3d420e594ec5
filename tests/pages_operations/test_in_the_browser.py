"""In real Chromium: an admin publishes a card after its what-if, and bills a month for everybody in one go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenAs, Site, new_page, open_as, settled, site  # noqa: F401  fixtures
from tests.pages_operations.given import THB, job, receipt, run

SACCT = (Path(__file__).parents[1] / "samples/slurm/slurm-22.05/sacct-D-P.txt").read_text()
pytestmark = pytest.mark.browser
NOW = datetime.now(UTC)
LAST_MONTH = NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)


def press(page: Page, name: str) -> None:
    """Press a button and wait until the page has answered."""
    page.get_by_role("button", name=name, exact=True).click()
    settled(page)


def test_publishing_a_card_shows_what_it_changes_and_then_stands_in_the_book(open_as: OpenAs, site: Site) -> None:    # noqa: F811
    """alice's hour on one core cost 1.00; at 3 THB per core-hour and 0.50 for a GiB-hour it would cost 3.50."""
    job(site.store, "card-alice", NOW - timedelta(days=2), cpu=1)
    site.store.lake.rebuild()                       # written past the keeper, who would have told the copy
    page = open_as("admin", "/rates?new=mu")
    page.get_by_label("CPU, THB per core-hour").fill("three")
    page.get_by_label("CPU, THB per core-hour").press("Enter")
    expect(page.get_by_text("is not an amount such as 1234.50")).to_be_visible()
    page.get_by_label("CPU, THB per core-hour").fill("3")
    page.get_by_label("CPU, THB per core-hour").press("Enter")
    settled(page)
    expect(page.get_by_text("+2.50")).to_be_visible()
    press(page, "Publish…")
    expect(page.get_by_role("dialog")).to_contain_text("mu-v2 prices every job of tier mu")
    page.get_by_role("dialog").get_by_label("Why (stands in the rate book)").fill("the senate decided")
    press(page, "Publish mu-v2")
    expect(page.get_by_text("mu-v2 is published.")).to_be_visible()
    expect(page.get_by_text("mu-v2 from")).to_be_visible()
    book = site.store.read(lambda tx: [card for card in tx.rates.book() if card.tier == "mu"])
    assert [(card.version, card.price_micro("cpu")) for card in book] == [(1, THB), (2, 3 * THB)]


def test_a_month_is_billed_for_everybody_in_one_go(open_as: OpenAs, site: Site) -> None:    # noqa: F811
    run(site.store, NOW)
    for payer, cost in (("month-alice", 10), ("month-bob", 20)):
        job(site.store, payer, LAST_MONTH, cpu=cost)
    page = open_as("finance", "/billing")
    press(page, "Bill everybody")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("An issued receipt never changes")
    press(page, "Create 2 receipts")
    expect(page.get_by_text("Receipts created")).to_be_visible()
    expect(page.get_by_text("Nobody has anything to bill")).to_be_visible()
    made = site.store.read(lambda tx: tx.receipts.all(["month-alice", "month-bob"]))
    assert sorted((one.payer, one.total_micro) for one in made) == [("month-alice", 10 * THB), ("month-bob", 20 * THB)]


def test_a_receipt_is_voided_only_with_a_reason(open_as: OpenAs, site: Site) -> None:    # noqa: F811
    """The first of the open receipts: its jobs are unbilled again afterwards."""
    job(site.store, "void-alice", LAST_MONTH, cpu=5)
    receipt(site.store, "void-alice", NOW)
    first = site.store.read(lambda tx: tx.finance_reads.open_receipts(tx.now)).row(0, named=True)
    page = open_as("finance", "/billing")
    select_row(page, 0)
    press(page, "Void…")
    press(page, "Void receipt")
    expect(page.get_by_role("dialog")).to_contain_text("Write a reason of at least 10 characters. Nothing was changed.")
    page.get_by_label("Reason").fill("wrong cost centre on the order")
    press(page, "Void receipt")
    expect(page.get_by_text(f"{first['number']} is void.")).to_be_visible()
    assert [one.id for one in site.store.read(lambda tx: tx.receipts.all(statuses=["void"]))] == [first["id"]]


def test_an_upload_is_read_or_refused_in_a_sentence(open_as: OpenAs, site: Site, tmp_path: Path) -> None:    # noqa: F811
    page = open_as("admin", "/ingestion")
    for name, text, answer in (("shopping.txt", "milk|bread\n1|2\n", "nothing was loaded"),
                               ("usage.txt", SACCT, "new, 0 changed")):
        file = tmp_path / name
        file.write_text(text)
        press(page, "Upload file")
        with page.expect_response(lambda answer: "upload_file" in answer.url and answer.request.method == "PUT"):
            page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(file)
        page.get_by_label("Cluster, where the file names none").fill("hpc")
        press(page, "Load file")
        expect(page.get_by_text(answer).first).to_be_visible()
        if name == "shopping.txt":
            expect(page.get_by_role("dialog")).to_contain_text("shopping.txt")
            page.get_by_label("Close").click()
            settled(page)
    states = site.store.read(lambda tx: [(run.state, run.origin) for run in tx.operations_reads.runs(limit=2)])
    assert states == [("taken", "upload of usage.txt by admin"), ("refused", "upload of shopping.txt by admin")]


def select_row(page: Page, row: int) -> None:
    """Tick the box of a row in the last table: it is painted, so the mouse goes where it stands."""
    table = page.get_by_test_id("stDataFrame").last
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 16, box["y"] + 32 * row + 48)
    settled(page)
