"""In real Chromium: a receipt comes down as PDF, an address is kept, and a statement that was brought pays a receipt."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from pypdf import PdfReader

from engine.money import Money
from engine.payments import Payment, Purpose
from engine.policy import OPERATOR
from engine.receipts import Receipt
from engine.services.payments import new_payment
from engine.services.receipts import create_receipt
from tests.browser.conftest import OpenAs, Site, new_page, open_as, settled, site  # noqa: F401  fixtures
from tests.payments.conftest import ENDED, _job

pytestmark = pytest.mark.browser
SHOTS = os.environ.get("COREHOURS_TEST_SHOTS", "")


def shot(page: Page, name: str) -> None:
    """A picture for whoever asked for one."""
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def owed(site: Site, payer: str) -> tuple[Receipt, Payment]:    # noqa: F811
    """A receipt of 60.60 THB and a bank transfer that was asked for it."""
    site.store.run(lambda tx: _job(tx, payer, 60_600_000))
    receipt = site.store.run(lambda tx: create_receipt(tx, payer, ENDED.replace(year=ENDED.year + 1), OPERATOR), actor="operator")

    def ask(tx):  # type: ignore[no-untyped-def]
        payment = new_payment(tx, "bank_qr", Money(receipt.total_micro, receipt.currency), Purpose.RECEIPT, payer, OPERATOR, receipt.id)
        tx.payments.add(payment)
        return payment
    return receipt, site.store.run(ask)


def test_a_receipt_comes_down_in_english_and_thai(open_as: OpenAs, site: Site) -> None:    # noqa: F811
    receipt, _ = owed(site, "paper-alice")
    for scheme in ("dark", "light") if SHOTS else ("light",):
        page = open_as("finance", f"/receipt?id={receipt.id}", scheme=scheme)
        expect(page.get_by_role("button", name="PDF", exact=True)).to_be_visible()
        shot(page, f"receipt-{scheme}")
    for label, words in (("PDF", "Receipt"), ("PDF ไทย", "ใบแจ้งค่าบริการ")):
        with page.expect_download() as coming:
            page.get_by_role("button", name=label, exact=True).click()
        text = PdfReader(io.BytesIO(Path(coming.value.path()).read_bytes())).pages[0].extract_text()
        assert words in text and receipt.number in text


@pytest.mark.long
def test_an_address_is_kept_and_a_wrong_one_refused(open_as: OpenAs, site: Site) -> None:    # noqa: F811
    page = open_as("finance", "/profile")
    for address, answer in (("no address", "This is no e-mail address."), ("finance@example.org", "Documents go there from now on.")):
        page.get_by_label("E-mail address").fill(address)
        page.get_by_role("button", name="Save address").click()
        expect(page.get_by_text(answer).first).to_be_visible()
    shot(page, "profile")
    person = site.store.read(lambda tx: tx.users.by_name("finance"))
    assert person is not None and person.email == "finance@example.org"


def test_a_statement_is_brought_and_pays_a_receipt(open_as: OpenAs, site: Site, tmp_path: Path) -> None:    # noqa: F811
    receipt, payment = owed(site, "bank-bob")
    file = tmp_path / "november.csv"
    file.write_text(f"date,amount,text\n2026-11-27,60.60,MR BOB {payment.reference}\n2026-11-27,5.00,interest\n", encoding="utf-8")
    page = open_as("finance", "/bank")
    page.get_by_role("button", name="Bring…").click()
    page.get_by_role("menuitem", name="Bring a CSV…").click()
    dialog = page.get_by_role("dialog")
    dialog.locator("input[type=file]").set_input_files(file)
    expect(dialog.get_by_text("2 lines", exact=True)).to_be_visible()
    shot(page, "bank-bring")
    dialog.get_by_role("button", name="Bring 2 lines").click()
    expect(page.get_by_text("2 lines brought.")).to_be_visible()
    page.goto(page.url.split("?")[0] + f"?q={payment.reference}")
    settled(page)
    expect(page.get_by_text("1 line", exact=True)).to_be_visible()
    shot(page, "bank-light")
    select_first(page)
    page.get_by_role("button", name="Say whose it is…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("textbox", name="Payment")).to_have_value(payment.reference)
    shot(page, "bank-apply")
    dialog.get_by_role("button", name="Apply", exact=True).click()
    expect(page.get_by_text("succeeded: 60.60 THB came as asked.")).to_be_visible()
    assert str(site.store.read(lambda tx: tx.receipts.get(receipt.id)).status) == "paid"  # type: ignore[union-attr]
    if SHOTS:
        shot(open_as("finance", "/bank", scheme="dark"), "bank-dark")


def select_first(page: Page) -> None:
    """Select the table's first row."""
    box = page.get_by_test_id("stDataFrame").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 16, box["y"] + 48)
