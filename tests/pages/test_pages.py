"""Each page of a researcher, for every role: it opens, it says the right figures, and it shows nothing of anybody else's."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dashboard import reads, words
from data.postgres.shelves.usage_reads import Filters, Scope
from tests.pages.conftest import TODAY, Centre, Visit, said

NAMES = ("researcher", "pi", "admin", "finance", "auditor")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("file", ["home", "usage", "receipts", "receipt", "wallet", "top_up", "nodes", "allocation", "notifications"])
def test_every_page_opens_for_every_role(visit: Visit, file: str, name: str) -> None:
    page = visit(file, name)
    assert not page.exception, page.exception
    assert page.title


def test_home_says_what_is_unbilled_and_owed(visit: Visit, centre: Centre) -> None:
    page = said(visit("home", "researcher"))
    _, micro = centre.store.read(lambda tx: tx.usage_reads.unbilled_micro(Scope(payer="researcher")))
    owed = sum(one.total_micro for one in centre.store.read(lambda tx: tx.receipts.all(["researcher"], ["pending"])))
    assert f"Unbilled: {words.money(micro)}" in page and f"Open receipts: {words.money(owed)}" in page
    assert "tier mu · rate card mu" in page and "Running now" in page


def test_home_of_somebody_new_says_so_instead_of_empty_charts(visit: Visit) -> None:
    page = visit("home", "admin", whose="own")
    assert "No jobs yet" in said(page) and not page.metric and not page.dataframe


def test_who_leads_projects_switches_and_others_have_no_switch(visit: Visit) -> None:
    assert "m.jones" in said(visit("usage", "pi", whose="projects"))
    assert "m.jones" not in said(visit("usage", "pi"))
    for whose in ("projects", "all"):
        page = visit("usage", "researcher", whose=whose)
        assert "m.jones" not in said(page) and not [one for one in page.segmented_control if one.key == "whose"]


def test_the_sum_above_the_table_is_the_sum_of_the_runs(visit: Visit, centre: Centre) -> None:
    page = said(visit("usage", "researcher", period="year"))
    today = TODAY.date()
    since = today.replace(day=1)
    for _ in range(11):
        since = (since - timedelta(days=1)).replace(day=1)
    filters = Filters(TODAY.replace(year=since.year, month=since.month, day=1, hour=0, minute=0, second=0, microsecond=0),
                      TODAY + timedelta(days=1), unended=True)
    totals, rows = reads.runs(Scope(payer="researcher"), filters)
    assert f"**{words.count(totals.jobs, 'job')}** · **{words.money(int(rows['cost_micro'].sum()), 'THB')}**" in page


def test_filters_in_the_address_narrow_the_table(visit: Visit) -> None:
    page = visit("usage", "researcher", period="year", partition="gpu", state="COMPLETED", q="whisper")
    jobs = page.dataframe[0].value
    assert set(jobs["partition"]) == {"gpu"} and set(jobs["name"]) == {"whisper_th_ft"}
    assert {state for states in jobs["state"] for state in states} == {"completed"}


def test_filters_that_leave_nothing_offer_to_be_cleared(visit: Visit) -> None:
    page = visit("usage", "researcher", q="no job is called so")
    assert "No job fits" in said(page) and not page.dataframe
    page = page.button(key="clear_filters").click().run()
    assert page.dataframe and not page.exception


def test_a_link_to_a_job_opens_its_explanation(visit: Visit, centre: Centre) -> None:
    rows = reads.runs(Scope(payer="researcher"), Filters(TODAY - timedelta(days=200), TODAY))[1].filter(billing="billed")
    page = said(visit("usage", "researcher", job=rows["run_key"][0]))
    assert "Total" in page and "It is on receipt CH" in page and "× ElapsedRaw" in page


def test_a_link_to_somebody_elses_job_or_receipt_says_there_is_none(visit: Visit, centre: Centre) -> None:
    other = reads.runs(Scope(payer="m.jones"), Filters(TODAY - timedelta(days=200), TODAY), 1)[1]["run_key"][0]
    page = said(visit("usage", "researcher", job=other))
    assert "There is no such thing here" in page and "AllocTRES" not in page
    receipt = centre.store.read(lambda tx: tx.receipts.all(["m.jones"]))[0]
    for name in (receipt.number, receipt.id, "CH-1999-000001", "' or 1=1 --"):
        page = visit("receipt", "researcher", id=name)
        assert "No such receipt" in said(page) and words.money(receipt.total_micro) not in said(page)
    assert words.money(receipt.total_micro) in said(visit("receipt", "finance", id=receipt.number))


def test_the_rows_of_a_receipt_add_up_to_its_total(visit: Visit, centre: Centre) -> None:
    for receipt in centre.store.read(lambda tx: tx.receipts.all(["researcher"])):
        page = visit("receipt", "researcher", id=receipt.number)
        shown = sum(round(amount * 100) for amount in page.dataframe[0].value["amount"])
        assert shown * 10_000 == receipt.subtotal_micro == receipt.total_micro
        assert not page.exception


def test_corrections_stand_on_their_own_rows(visit: Visit, centre: Centre) -> None:
    newest = next(one for one in centre.store.read(lambda tx: tx.receipts.all(["researcher"])))
    rows = visit("receipt", "researcher", id=newest.number).dataframe[0].value
    corrected = rows[rows["what"].str.startswith("Adjustment: job ")]
    assert len(corrected) == 2 and set(corrected["amount"]) == {-1.0} and set(corrected["quantity"]) == {-1.0}


@pytest.mark.parametrize(("name", "pays", "voids"), [
    ("researcher", True, False), ("finance", True, True), ("auditor", False, False)])
def test_what_a_role_may_do_with_a_pending_receipt(visit: Visit, centre: Centre, name: str, pays: bool, voids: bool) -> None:
    pending = centre.store.read(lambda tx: tx.receipts.all(["researcher"], ["pending"]))[0]
    page = visit("receipt", name, id=pending.number)
    assert any(button.label.startswith("Pay ") for button in page.button) is pays
    assert ("Void…" in str(page.main)) is voids


def test_creating_shows_what_the_receipt_would_say_before_the_act(visit: Visit, centre: Centre) -> None:
    page = visit("receipts", "researcher", create="1")
    _, micro = centre.store.read(lambda tx: tx.usage_reads.unbilled_micro(Scope(payer="researcher")))
    assert f"Total {words.money(micro, 'THB')}" in said(page)
    assert "Create receipt" in [button.label for button in page.button if button.key == "create_now"]
    assert not [button for button in visit("receipts", "auditor", create="1").button if "receipt" in button.label.lower()]


def test_receipts_are_filtered_by_state(visit: Visit) -> None:
    for state in ("pending", "overdue", "paid", "void"):
        rows = visit("receipts", "finance", state=state).dataframe[0].value
        assert {one for states in rows["state"] for one in states} == {state}
