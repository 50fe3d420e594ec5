"""The first bill in a real browser: sign in, look at usage, create a receipt, pay it at the checkout, see it paid.

A dashboard and a sidecar of its own over one database; the jobs have the worst names people give to jobs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Page, Request, expect

from engine.users import Role
from tests.browser.conftest import Site, add_person, fill_sign_in, running, settled
from tests.browser.profiles import Profiles
from tests.engine.usage_frames import run
from tests.flows.examples import broken, keep_runs
from tests.programs import Programs

pytestmark = pytest.mark.browser
ENDED = int(time.time()) - 7200
ODD = ("<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>", "=HYPERLINK(\"http://e.vil\",\"x\")",
       "\u202egnp.exe\u2066", "![x](http://e.vil/x.png) [click](javascript:alert(1))", ":red[colour] $x^2$ **bold**",
       "two\nlines", "x" * 10_000)
ODD_RUNS = [run(number, job_name=name, user_name="researcher", submit_at=ENDED - 7200, start_at=ENDED - 7200,
                end_at=ENDED - number, run_key=f"c/{number}/{ENDED - 7200}") for number, name in enumerate(ODD, 1)]


@pytest.fixture(scope="module")
def bill(programs: Programs, server_url: str, template: str, front_port: int,
         tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A dashboard with a sidecar beside it, and a researcher with oddly named jobs."""
    with running(programs, server_url, template, tmp_path_factory.mktemp("bill"), front_port, "webhooks") as site:
        add_person(site, "researcher", Role.RESEARCHER)
        keep_runs(site.store, *ODD_RUNS)
        yield site


@pytest.fixture(scope="module")
def page(bill: Site, profiles: Profiles) -> Iterator[Page]:
    """A browser in which the researcher has signed in; it notes every address outside that somebody asks it for."""
    def note(request: Request) -> None:
        if not request.url.startswith(("http://localhost:", "data:", "blob:")):
            asked_outside.append(request.url)
    with profiles.lent() as new_page:
        page = new_page()
        page.context.on("request", note)
        page.goto("/")
        fill_sign_in(page, "researcher", Site.password("researcher"))
        page.get_by_role("button", name="Sign out", exact=True).wait_for()
        settled(page)
        yield page
        page.context.remove_listener("request", note)


asked_outside: list[str] = []


def test_sign_in_usage_create_receipt_pay_paid(page: Page, bill: Site) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Usage").click()
    expect(page.get_by_text("7 jobs · 197.40 THB")).to_be_visible()
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Receipts").click()
    expect(page.get_by_text("No receipts yet")).to_be_visible()

    page.get_by_role("button", name="Create receipt").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Total 197.40 THB")).to_be_visible()
    dialog.get_by_role("button", name="Create receipt").click()
    page.wait_for_url("**/receipt?id=CH-*")
    expect(page.get_by_test_id("stMain").get_by_text("Pending", exact=True)).to_be_visible()

    page.get_by_role("button", name="Pay 197.40 THB").click()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open the checkout").click()
    checkout = opened.value
    checkout.get_by_role("button", name="Pay 197.40 THB").click()
    checkout.wait_for_url("**/receipt?**")
    expect(checkout.get_by_role("heading", name="Receipt CH-")).to_be_visible()
    checkout.close()

    expect(page.get_by_text("through dummy")).to_be_visible()           # the page that waited, by itself
    expect(page.get_by_role("button", name="Pay 197.40 THB")).to_have_count(0)
    receipt = bill.store.read(lambda tx: tx.receipts.all())[0]
    assert (receipt.status, receipt.total_micro) == ("paid", 197_400_000) and broken(bill.store) == []


def test_odd_names_are_words_and_nothing_else(page: Page, tmp_path: Path) -> None:
    for number in range(1, len(ODD) + 1):
        page.goto(f"/usage?job=c%2F{number}%2F{ENDED - 7200}")
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_text("Total 28.20 THB")).to_be_visible()
        settled(page)
        assert not dialog.locator("img, script, a, .katex, strong:has-text('bold')").count(), ODD[number - 1]
    assert "hacked" not in page.title() and not [url for url in asked_outside if "e.vil" in url]
    assert page.evaluate("document.body.scrollWidth <= window.innerWidth + 1")


def test_the_csv_holds_every_name_and_no_formula(page: Page, tmp_path: Path) -> None:
    page.goto("/usage")
    settled(page)
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as loading:
        page.get_by_role("button", name="CSV", exact=True).click()
    loading.value.save_as(tmp_path / "usage.csv")
    rows = pl.read_csv(tmp_path / "usage.csv", infer_schema=False)
    assert sorted(name.removeprefix("'") for name in rows["job_name"]) == sorted(ODD)
    assert not any(str(name)[:1] in "=+-@\t\r\n" for name in rows["job_name"])
    assert sum(int(micro) for micro in rows["cost_micro"]) == 197_400_000
