"""Each operations and finance page: who gets in, what it says, what it says where there is nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dashboard import tables
from data.postgres.store import Store
from engine.policy import OPERATOR
from engine.services.payers import set_tier
from engine.usage import Rejection
from engine.users import Role
from tests.flows.examples import forget_copy
from tests.pages_operations.conftest import Visit, said
from tests.pages_operations.given import job, receipt, run

READERS = (Role.ADMIN, Role.FINANCE, Role.AUDITOR)
PAGES = ("ingestion", "rates", "accounts", "billing", "audit", "finance", "wallets")
NOW = datetime.now(UTC)
YESTERDAY = NOW - timedelta(days=1)


@pytest.mark.parametrize("file", PAGES)
def test_a_researcher_gets_a_sentence_and_no_figure(visit: Visit, store: Store, file: str) -> None:
    job(store, "alice", YESTERDAY, cpu=4711)
    page = visit(file, Role.RESEARCHER)
    assert not page.exception and not page.metric and not page.dataframe and not page.button
    assert "not for your role" in said(page) and "4,711" not in said(page)


@pytest.mark.parametrize("role", READERS)
@pytest.mark.parametrize("file", PAGES)
def test_readers_get_every_page_also_when_nothing_is_there(visit: Visit, store: Store, file: str, role: Role) -> None:
    forget_copy(store)
    page = visit(file, role)
    assert not page.exception, page.exception
    assert page.title or page.header


@pytest.mark.parametrize("role", READERS)
@pytest.mark.parametrize("file", PAGES)
def test_readers_get_every_page_with_usage_and_receipts(visit: Visit, store: Store, file: str, role: Role) -> None:
    centre(store)
    page = visit(file, role)
    assert not page.exception, page.exception
    assert page.metric or file in ("rates", "audit")


@pytest.mark.parametrize(("file", "label"), [
    ("rates", "Publish…"), ("accounts", "Change tier…"), ("accounts", "Add person"), ("billing", "Bill everybody"),
    ("billing", "Create receipts…"), ("ingestion", "Upload file"), ("wallets", "Change a wallet…"),
    ("wallets", "Open a project's wallet…")])
def test_an_auditor_is_offered_nothing_to_change(visit: Visit, store: Store, file: str, label: str) -> None:
    centre(store)
    for query in ({}, {"show": "people"}, {"new": "mu"}):
        assert label not in [button.label for button in visit(file, Role.AUDITOR, **query).button]


def test_finance_bills_but_sets_no_price_and_manages_nobody(visit: Visit, store: Store) -> None:
    centre(store)
    assert "Bill everybody" in [button.label for button in visit("billing", Role.FINANCE).button]
    assert "Publish…" not in [button.label for button in visit("rates", Role.FINANCE, new="mu").button]
    assert "Change tier…" not in [button.label for button in visit("accounts", Role.FINANCE).button]
    assert "Add person" not in [button.label for button in visit("accounts", Role.FINANCE, show="people").button]


def test_finance_overview_adds_up(visit: Visit, store: Store) -> None:
    """alice: 10 and 20, the 10 paid by hand; bob: 7, open."""
    centre(store)
    words = said(visit("finance", Role.FINANCE))
    assert "Receivable: 7 (nothing overdue)" in words
    assert "Payments this month: 10 (1 payment)" in words
    assert "Ledger against providers: 0.00 (matched)" in words


def test_the_analytics_copy_is_compared_on_demand(visit: Visit, store: Store) -> None:
    """These jobs were written past the keeper, so the copy does not know them: the page must say so."""
    centre(store)
    page = visit("finance", Role.AUDITOR)
    assert "Analytics copy" in said(page)
    page = next(button for button in page.button if button.label == "Compare with Postgres").click().run()
    assert not page.exception and ":red-badge[Differs]" in said(page)


def test_a_dig_stands_in_the_address(visit: Visit, store: Store) -> None:
    job(store, "alice", YESTERDAY, cpu=10)
    job(store, "bob", YESTERDAY, cpu=5, account="chem-md")
    month = f"{YESTERDAY:%Y-%m}"
    words = said(visit("finance", Role.FINANCE, by="payer", month=month, account="chem-md"))
    assert "**1 job** · **5.00 THB**" in words
    page = visit("finance", Role.FINANCE, by="nonsense", month="1999-99", account="nowhere")
    assert not page.exception and "No job ended here" in said(page)


def test_the_first_ingestion_page_says_how_usage_comes_in(visit: Visit) -> None:
    words = said(visit("ingestion", Role.ADMIN))
    assert "ingest slurm --file" in words and "--sacct" in words and "--slurmrestd" in words


def test_a_run_shows_its_rejected_lines_and_why_others_did_not_answer(visit: Visit, store: Store) -> None:
    """Text from the file is shown as data: in a table, never as markup."""
    line = Rejection(17, "AllocTRES 'mem=1X' has no unit", "9|<img src=x>|mem=1X")
    number = run(store, NOW, (line,), ("slurmrestd: no answer",))
    page = visit("ingestion", Role.AUDITOR, run=str(number))
    words = said(page)
    assert "'line': [17]" in words and "has no unit" in words and "slurmrestd: no answer" in words
    assert not any("<img" in element.value for element in page.markdown)
    assert "Lines not read: 1" in words


def test_usage_older_than_promised_is_late(visit: Visit, store: Store) -> None:
    run(store, NOW - timedelta(hours=5))
    words = said(visit("ingestion", Role.ADMIN))
    assert "Clusters on time: 0 of 1 (hpc late)" in words and "['late']" in words


def test_a_change_of_tier_is_in_the_audit_in_words(visit: Visit, store: Store) -> None:
    job(store, "alice", YESTERDAY, cpu=10)
    store.run(lambda tx: set_tier(tx, "alice", "gov", OPERATOR, "funded by the ministry"), actor="operator")
    words = said(visit("audit", Role.AUDITOR, action="payer.tier_set"))
    assert "alice moved to tier gov (was mu): funded by the ministry" in words
    assert "No entry matches" in said(visit("audit", Role.AUDITOR, actor="nobody at all"))


def test_markup_in_a_name_stays_text(visit: Visit, store: Store) -> None:
    """A payer called like a picture is drawn as its letters wherever Markdown is read."""
    evil = "![x](http://evil.example/x.png)<b>"
    job(store, evil, YESTERDAY, cpu=10, account=evil)
    receipt(store, evil, NOW)
    job(store, evil, YESTERDAY, cpu=10, account=evil)
    for file in PAGES:
        page = visit(file, Role.ADMIN, payer=evil, actor=evil, q=evil)
        assert not page.exception
        assert not any("](http://evil" in element.value or "<b>" in element.value for element in page.markdown)


def centre(store: Store) -> None:
    """alice: 10 billed and paid, 20 since; bob: 7 on an open receipt; one batch, complete up to now."""
    run(store, NOW)
    job(store, "alice", YESTERDAY, cpu=10)
    receipt(store, "alice", NOW, paid=True)
    job(store, "alice", YESTERDAY, cpu=0, gpu=20, partition="gpu")
    job(store, "bob", YESTERDAY, cpu=7, account="chem-md")
    receipt(store, "bob", NOW)


def test_a_selection_does_not_slip_to_the_row_that_moved_up() -> None:
    assert tables.key_of("open", ["CH-1", "CH-2"]) == tables.key_of("open", ["CH-1", "CH-2"])
    assert tables.key_of("open", ["CH-1", "CH-2"]) != tables.key_of("open", ["CH-2"])


def test_an_empty_installation_leads_its_admin_to_the_ingestion_page(visit: Visit) -> None:
    page = visit("home", Role.ADMIN)
    assert not page.exception, page.exception
    assert "once they were read from Slurm" in said(page)
