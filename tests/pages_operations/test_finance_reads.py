"""The sums finance reads, on a handful of jobs whose prices can be added in the head."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from data.postgres.store import Store
from tests.pages_operations.given import THB, at, correct, job, receipt

OCT, NOV, DEC = at("2026-10-01"), at("2026-11-01"), at("2026-12-01")


def test_revenue_is_what_ended_in_a_month_by_meter_billed_or_not(store: Store) -> None:
    job(store, "alice", at("2026-10-03"), cpu=10, gpu=20)
    job(store, "bob", at("2026-10-31 23:59:59"), cpu=1, mem=2)
    job(store, "bob", at("2026-11-01"), cpu=5)
    job(store, "bob", at("2026-11-02"), cpu=0, ended=False)
    months = store.read(lambda tx: tx.finance_reads.revenue_by_month("THB", "UTC", OCT))
    assert months.select("month", "jobs", "cpu_micro", "gpu_micro", "mem_micro", "cost_micro").rows() == [
        (date(2026, 10, 1), 2, 11 * THB, 20 * THB, 2 * THB, 33 * THB), (date(2026, 11, 1), 1, 5 * THB, 0, 0, 5 * THB)]


def test_a_month_is_a_month_of_the_site(store: Store) -> None:
    """A job that ended at 18:00 UTC on 31 October ended on 1 November in Bangkok."""
    job(store, "alice", at("2026-10-31 18:00"), cpu=7)
    months = store.read(lambda tx: tx.finance_reads.revenue_by_month("THB", "Asia/Bangkok", OCT))
    assert months["month"].to_list() == [date(2026, 11, 1)]


def test_another_currency_is_never_added(store: Store) -> None:
    job(store, "alice", at("2026-10-03"), cpu=10)
    assert store.read(lambda tx: tx.finance_reads.cost_between("USD", OCT, NOV)).cost_micro == 0
    assert store.read(lambda tx: tx.finance_reads.cost_between("THB", OCT, NOV)).cost_micro == 10 * THB


@pytest.mark.parametrize(("by", "names"), [
    ("account", {"ai-lab": 30, "chem-md": 5}), ("partition", {"cpu": 15, "gpu": 20}), ("tier", {"mu": 10, "gov": 25}),
    ("payer", {"alice": 10, "bob": 25})])
def test_aggregates_by_every_dimension_add_up_to_the_same(store: Store, by: str, names: dict[str, int]) -> None:
    job(store, "alice", at("2026-10-03"), cpu=10)
    job(store, "bob", at("2026-10-04"), cpu=0, gpu=20, partition="gpu", tier="gov")
    job(store, "bob", at("2026-10-05"), cpu=5, account="chem-md", tier="gov")
    rows = store.read(lambda tx: tx.finance_reads.aggregates(by, "THB", "UTC", OCT, NOV))
    assert dict(rows.select("name", "cost_micro").rows()) == {name: cost * THB for name, cost in names.items()}


def test_aggregates_narrow_to_one_account(store: Store) -> None:
    job(store, "alice", at("2026-10-03"), cpu=10)
    job(store, "bob", at("2026-10-05"), cpu=5, account="chem-md")
    rows = store.read(lambda tx: tx.finance_reads.aggregates("payer", "THB", "UTC", OCT, NOV, account="chem-md", tier=None))
    assert rows["name"].to_list() == ["bob"]


def test_aggregates_say_what_is_billed(store: Store) -> None:
    job(store, "alice", at("2026-10-03"), cpu=10)
    receipt(store, "alice", at("2026-10-04"))
    job(store, "alice", at("2026-10-05"), cpu=4)
    rows = store.read(lambda tx: tx.finance_reads.aggregates("payer", "THB", "UTC", OCT, NOV))
    assert rows.select("cost_micro", "billed_micro").rows() == [(14 * THB, 10 * THB)]


@pytest.mark.parametrize(("days", "age"), [(0, "not due"), (1, "1–30"), (30, "1–30"), (31, "31–60"), (60, "31–60"), (61, "61–90"),
                                           (91, "over 90")])
def test_a_receipt_ages_from_its_due_date(store: Store, days: int, age: str) -> None:
    job(store, "alice", at("2026-10-03"), cpu=10)
    due = receipt(store, "alice", NOV).due_at
    ages = store.read(lambda tx: tx.finance_reads.receivable_by_age("THB", due + timedelta(days=days)))
    assert ages["age"].to_list() == ["not due", "1–30", "31–60", "61–90", "over 90"]
    assert ages.filter(ages["total_micro"] > 0).rows() == [(age, 1, 10 * THB)]


def test_receivable_counts_pending_receipts_only(store: Store) -> None:
    job(store, "alice", at("2026-10-03"), cpu=10)
    job(store, "bob", at("2026-10-03"), cpu=7)
    due = receipt(store, "alice", NOV).due_at
    receipt(store, "bob", NOV, paid=True)
    owed = store.read(lambda tx: tx.finance_reads.receivable("THB", due + timedelta(days=1)))
    assert (owed.receipts, owed.total_micro, owed.overdue_receipts, owed.overdue_micro) == (1, 10 * THB, 1, 10 * THB)
    listed = store.read(lambda tx: tx.finance_reads.open_receipts(due - timedelta(days=4)))
    assert listed.select("payer", "age", "days_past_due").rows() == [("alice", "not due", -4)]


def test_a_settled_payment_is_received_and_lies_with_its_provider(store: Store) -> None:
    job(store, "bob", at("2026-10-03"), cpu=7)
    paid = receipt(store, "bob", NOV, paid=True).paid_at
    assert paid is not None
    got = store.read(lambda tx: tx.finance_reads.received("THB", paid, paid + timedelta(seconds=1)))
    assert (got.payments, got.total_micro) == (1, 7 * THB)
    providers = store.read(lambda tx: tx.finance_reads.providers("THB"))
    assert providers.select("provider", "payments", "paid_micro", "clearing_micro", "unapplied_micro").rows() == [
        ("manual", 1, 7 * THB, 7 * THB, 0)]


def test_the_queue_tells_new_jobs_from_corrections(store: Store) -> None:
    """Billed at 10, corrected to 6: the adjustment of −4 waits beside a new job of 5."""
    key = job(store, "alice", at("2026-10-03"), cpu=10)
    receipt(store, "alice", NOV)
    correct(store, key, 6)
    job(store, "alice", at("2026-10-20"), cpu=5)
    job(store, "alice", at("2026-11-20"), cpu=100)
    queue = store.read(lambda tx: tx.finance_reads.billing_queue(NOV))
    assert queue.select("payer", "jobs", "usage_micro", "adjustments", "adjustment_micro", "due_micro").rows() == [
        ("alice", 1, 5 * THB, 1, -4 * THB, 1 * THB)]


def test_payers_show_their_month_what_is_unbilled_and_what_they_owe(store: Store) -> None:
    job(store, "alice", at("2026-10-03"), cpu=10)
    receipt(store, "alice", NOV)
    job(store, "alice", at("2026-11-03"), cpu=3)
    store.run(lambda tx: tx.payers.ensure(["idle"], "gov"))
    rows = store.read(lambda tx: tx.finance_reads.payers(NOV))
    assert rows.rows() == [("alice", "mu", "THB", 1, 3 * THB, 1, 3 * THB, 1, 10 * THB), ("idle", "gov", None, 0, 0, 0, 0, 0, 0)]
    assert store.read(lambda tx: tx.finance_reads.unbilled_of("alice")).cost_micro == 3 * THB
    assert store.read(lambda tx: tx.finance_reads.tier_sizes()) == {"gov": 1, "mu": 1, "private": 0}


def test_rated_usage_of_a_payer_that_is_not_billed(store: Store) -> None:
    job(store, "alice", at("2026-10-03"), cpu=1)
    receipt(store, "alice", at("2026-10-04"))
    key = job(store, "alice", at("2026-10-05"), cpu=1)
    usage = store.read(lambda tx: tx.finance_reads.rated_usage(None, payer="alice", unbilled=True))
    assert usage["run_key"].to_list() == [key]
