"""A month's minimum on the pages: in the billing queue, in the dialog that makes a receipt, and on the receipt."""

from __future__ import annotations

from datetime import date

from dashboard import reads, receipt_lines
from data.postgres.store import Store
from engine.policy import OPERATOR
from engine.services.receipts import void_receipt
from engine.users import Person, Role
from tests.flows.examples import bill, keep_runs
from tests.flows.test_minimums import BAHT, ENDED, NOVEMBER, job, publish
from tests.pages_operations.conftest import Visit, said

ADMIN = Person(9, "boss", Role.ADMIN, "boss")


def test_the_queue_counts_minimums_in_also_of_who_has_no_job_to_bill(visit: Visit, store: Store) -> None:
    publish(store)
    keep_runs(store, job(1, 60), job(2, 10, user_name="bob"))
    bill(store, "bob", before=NOVEMBER.replace(month=9, day=30))
    page = visit("billing", Role.FINANCE, upto="2026-10-31")
    assert not page.exception
    queue = next(table.value for table in page.dataframe if "due" in table.value.columns)
    assert queue.select_dtypes("number").to_dict("list") | {"payer": list(queue["payer"])} == {
        "payer": ["alice", "bob"], "jobs": [1, 0], "adjustments": [0, 0], "minimum": [40.0, 90.0], "usage": [60.0, 0.0],
        "corrections": [0.0, 0.0], "due": [100.0, 90.0]}
    assert "To bill: 190.00" in said(page)


def test_the_receipt_says_the_month_and_its_rows_add_up(visit: Visit, store: Store) -> None:
    publish(store)
    keep_runs(store, job(1, 60))
    draft_rows = {row["what"]: row["amount"] for row in reads_draft(visit)}
    assert draft_rows == {"CPU core-hours": 60.0, "GPU hours": 0.0, "Memory GiB-hours": 0.0, "Up to months' minimums": 40.0}
    first = bill(store, before=NOVEMBER)
    keep_runs(store, job(2, 25, ENDED + 60))
    second = bill(store, before=NOVEMBER)
    words = said(visit("receipt", Role.ADMIN, id=first.number))
    assert "Minimum of September 2026, mu" in words and "minimum of September 2026" in words
    assert "Adjustment: minimum of September 2026, mu" in said(visit("receipt", Role.ADMIN, id=second.number))
    page = reads.receipt_page(ADMIN, first.number)
    assert first.subtotal_micro == 100 * BAHT and sum(float(str(line["amount"])) for line in receipt_lines.lines(page)) == 100
    [standing], _ = reads.minimums(ADMIN, "alice", date(2026, 9, 1))
    assert standing.due.owed_micro == 0


def test_what_a_month_lacks_is_revenue_of_that_month_once_it_is_billed(visit: Visit, store: Store) -> None:
    """Sixty of a hundred: forty more when the month is billed; a void gives them back."""
    publish(store)
    keep_runs(store, job(1, 60))
    assert _minimums(store) == {}
    receipt = bill(store, before=NOVEMBER)
    assert _minimums(store) == {date(2026, 9, 1): 40 * BAHT}
    assert not visit("finance", Role.FINANCE).exception
    store.run(lambda tx: void_receipt(tx, receipt.number, "a mistake", OPERATOR))
    assert _minimums(store) == {}


def _minimums(store: Store) -> dict[date, int]:
    return store.read(lambda tx: tx.finance_reads.minimums_by_month("THB", date(2026, 1, 1)))


def reads_draft(visit: Visit) -> list[dict[str, object]]:
    """The rows of the dialog that makes a receipt."""
    visit("receipts", Role.ADMIN)                   # pages read through the store of this test from here on
    draft = reads.preview(ADMIN, "alice", NOVEMBER)
    assert draft is not None
    return reads.draft_rows(draft)
