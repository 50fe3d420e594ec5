"""A wallet in a real browser: add funds at the checkout, see the balance, pay a receipt from it, and an admin's change by hand
that a second admin confirms.

A dashboard and a sidecar of its own over one database.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from pypdf import PdfReader

from data.postgres.invariants import INVARIANTS, violations
from data.postgres.store import Store
from engine.policy import OPERATOR
from engine.receipts import Receipt
from engine.services.receipts import create_receipt
from engine.users import Role
from tests.browser.conftest import Site, add_person, entered, running, settled
from tests.browser.profiles import Profiles
from tests.pages_operations.given import at, job
from tests.payments.conftest import wait_until
from tests.programs import Programs

pytestmark = pytest.mark.browser
SHOTS = os.environ.get("COREHOURS_TEST_SHOTS", "")
PEOPLE = {"alice": Role.RESEARCHER, "ann": Role.ADMIN, "ben": Role.ADMIN}
Enter = Callable[..., Page]


@pytest.fixture(scope="module")
def centre(programs: Programs, server_url: str, template: str, front_port: int,
           tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A dashboard with a sidecar beside it. alice owes 60.00."""
    with running(programs, server_url, template, tmp_path_factory.mktemp("wallet"), front_port, "webhooks") as site:
        for name, role in PEOPLE.items():
            add_person(site, name, role)
        job(site.store, "alice", at("2026-10-03"), cpu=60)
        site.store.run(lambda tx: create_receipt(tx, "alice", datetime(2026, 11, 1, tzinfo=UTC), OPERATOR), actor="operator")
        yield site


@pytest.fixture
def enter(centre: Site, profiles: Profiles) -> Iterator[Enter]:
    """`enter("ann", "/wallets")`: a page of a fresh profile in which ann has signed in."""
    with profiles.lent() as new_page:
        yield lambda name, path, **view: entered(centre, new_page(**view), name, path)


def test_add_funds_then_pay_a_receipt_from_the_wallet(enter: Enter, centre: Site) -> None:
    """An amount of one's own, the checkout, back on a page that follows by itself; the balance; the receipt."""
    store = centre.store
    page = enter("alice", "/wallet")
    expect(page.get_by_text("Nothing moved yet")).to_be_visible()
    page.get_by_role("button", name="Add funds").click()
    page.get_by_text("Another amount", exact=True).click()
    amount = page.get_by_role("textbox", name="Another amount, THB")
    amount.fill("19.99")
    amount.press("Enter")
    page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Add funds").click()
    expect(page.get_by_text("A top-up is 20.00 THB at least")).to_be_visible()
    amount.fill("150.50")
    amount.press("Enter")
    settled(page)
    page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Add funds").click()
    card = page.locator(".st-key-topup_card")
    expect(card.get_by_text("Waiting for the provider")).to_be_visible()
    page.goto(str(card.get_by_role("link", name="Open the checkout").get_attribute("href")))
    page.get_by_role("button", name="Pay 150.50 THB").click()

    expect(page).to_have_url(re.compile(r"/top-up\?payment=TXN_"))
    expect(card.get_by_text("In the wallet")).to_be_visible()
    expect(card.get_by_text("Balance now")).to_be_visible()
    assert store.read(lambda tx: tx.wallets.get("alice", "THB").balance_micro) == 150_500_000

    [receipt] = store.read(lambda tx: tx.receipts.all(["alice"]))
    page.goto(f"/receipt?id={receipt.id}")
    page.get_by_role("button", name="Pay from the wallet of alice").click()
    expect(page.locator(".st-key-pay_card").get_by_text("from the wallet of alice", exact=True)).to_be_visible()
    page.goto("/wallet")
    expect(page.get_by_test_id("stMetric").filter(has_text="Balance").get_by_text("90.50")).to_be_visible()
    expect(page.get_by_text("2 movements").first).to_be_visible()
    assert store.read(lambda tx: [where for promise in INVARIANTS if (where := violations(tx, promise)[1])]) == []
    its_documents(page, store, receipt)


def its_documents(page: Page, store: Store, receipt: Receipt) -> None:
    """The sidecar has issued a payment receipt for the top-up, and one for the receipt: the wallet's page hands out both, the
    receipt's page its own, in English and in Thai."""
    wait_until(lambda: len(_handed_out(store)) == 2, "issued")
    topped_up, paid = _handed_out(store)
    page.goto("/wallet")
    expect(page.locator(".st-key-documents").get_by_role("button", name=paid, exact=True)).to_be_visible()
    with page.expect_download() as coming:
        page.locator(".st-key-documents").get_by_role("button", name=topped_up, exact=True).click()
    text = PdfReader(io.BytesIO(Path(coming.value.path()).read_bytes())).pages[0].extract_text()
    assert "Payment receipt" in text and "Paid into wallet alice" in text and topped_up in text
    page.goto(f"/receipt?id={receipt.id}")
    card = page.locator(".st-key-pay_card")
    expect(card.get_by_role("button", name=paid, exact=True)).to_be_visible()
    with page.expect_download() as coming:
        card.get_by_role("button", name="ไทย", exact=True).click()
    assert "ใบเสร็จรับเงิน" in PdfReader(io.BytesIO(Path(coming.value.path()).read_bytes())).pages[0].extract_text()
    for scheme in ("light", "dark") if SHOTS else ():
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for name, path in (("wallet", "/wallet"), ("receipt", f"/receipt?id={receipt.id}")):
            page.goto(path)
            settled(page)
            page.screenshot(path=f"{SHOTS}/documents-{name}-{scheme}.png", full_page=True)


def _handed_out(store: Store) -> list[str]:
    """Numbers of alice's payment receipts, the oldest first."""
    return [one.number for one in reversed(store.read(lambda tx: tx.documents.all(["alice"]))) if one.kind == "payment_receipt"]


@pytest.mark.long
def test_a_second_admin_confirms_a_large_change(enter: Enter, centre: Site) -> None:
    """ann takes 5,000 into alice's wallet, cannot confirm it herself; ben does."""
    store = centre.store
    before = store.read(lambda tx: tx.wallets.get("alice", "THB").balance_micro)
    page = enter("ann", "/wallets")
    page.get_by_role("button", name="Change a wallet…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Wallet of").fill("alice")
    dialog.get_by_role("textbox", name="Amount, THB").fill("5000")
    dialog.get_by_role("textbox", name="Reason").fill("a grant of the faculty")
    dialog.get_by_role("button", name="Change wallet").click()
    expect(page.get_by_text("A second admin has to confirm it.")).to_be_visible()
    assert store.read(lambda tx: tx.wallets.get("alice", "THB").balance_micro) == before

    page.goto("/wallets?show=changes")
    choose_first(page)
    expect(page.get_by_text("You asked for it: another admin decides.")).to_be_visible()
    expect(page.get_by_role("button", name="Confirm…")).to_be_disabled()

    page = enter("ben", "/wallets?show=changes")
    choose_first(page)
    confirm = page.get_by_role("button", name="Confirm…")
    expect(confirm).to_be_enabled()
    confirm.click()
    page.get_by_role("dialog").get_by_role("button", name="Confirm change").click()
    expect(page.get_by_text("The wallet of alice was changed.")).to_be_visible()
    assert store.read(lambda tx: tx.wallets.get("alice", "THB").balance_micro) == before + 5_000_000_000


def choose_first(page: Page) -> None:
    """Select the only change."""
    expect(page.get_by_text("1 waits")).to_be_visible()
    settled(page)
    page.get_by_test_id("stDataFrame").click(position={"x": 18, "y": 50})
