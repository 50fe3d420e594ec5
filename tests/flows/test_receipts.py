"""From unbilled jobs to a receipt: rates and tier locked, a job billed once, corrections on the next one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import polars as pl
import pytest
import sqlalchemy as sa

from data.postgres.store import Store
from data.settings import Settings
from engine.errors import IllegalMove, NotAllowed, NotFound, NothingToBill, RateError
from engine.policy import OPERATOR
from engine.rate_text import cards_from_text
from engine.receipts import ReceiptStatus
from engine.services.payers import set_tier
from engine.services.rates import publish_cards
from engine.services.receipts import create_receipt, get_receipt, mark_paid, preview_receipt, revert_paid, void_receipt
from tests.engine.usage_frames import ENDED, run
from tests.flows.examples import ALICE, AUDITOR, BOB, FINANCE, LATER, bill, books, broken, keep_runs


def gov(store: Store, payer: str = "alice") -> None:
    store.run(lambda tx: set_tier(tx, payer, "gov", OPERATOR))


def test_the_golden_job_becomes_a_receipt(store: Store) -> None:
    """60.60 THB: the payer owes it, each meter earned its part."""
    gov(store)
    keep_runs(store, run())
    assert books(store) == {}

    receipt = bill(store)

    assert (receipt.total_micro, receipt.lines, receipt.tier, receipt.currency) == (60_600_000, 1, "gov", "THB")
    assert receipt.number == f"CH-{receipt.issued_at.year}-000001"
    assert books(store) == {"receivable:alice": 60_600_000, "income:cpu": 12_600_000, "income:gpu": 20_000_000, "income:mem": 28_000_000}
    assert broken(store) == []


def test_preview_says_what_the_receipt_will(store: Store) -> None:
    keep_runs(store, run(1), run(2))
    preview = store.read(lambda tx: preview_receipt(tx, "alice", LATER, ALICE))
    assert (preview.total_micro, len(preview.lines)) == (2 * 28_200_000, 2)
    assert books(store) == {}
    assert bill(store).total_micro == preview.total_micro


def test_only_what_ended_before_the_date_and_only_ended(store: Store) -> None:
    """Half-open: a job that ended at the very instant waits for the next receipt; a running one waits too."""
    keep_runs(store, run(1, end_at=ENDED - 1), run(2), run(3, state="RUNNING", end_at=None, ended=False))
    at = datetime.fromtimestamp(ENDED, UTC)
    assert bill(store, before=at).lines == 1
    assert bill(store).lines == 1
    with pytest.raises(NothingToBill):
        bill(store)


def test_eight_receipts_at_once_bill_each_job_once(store: Store) -> None:
    keep_runs(store, *(run(number) for number in range(200)))

    def one(_: int) -> int:
        try:
            return bill(store).lines
        except NothingToBill:
            return 0
    with ThreadPoolExecutor(8) as pool:
        lines = list(pool.map(one, range(8)))
    assert sorted(lines) == [0] * 7 + [200]
    assert broken(store) == []


def test_the_database_refuses_a_second_live_line(store: Store) -> None:
    keep_runs(store, run())
    bill(store)
    with pytest.raises(sa.exc.IntegrityError, match="one_live_receipt_a_job"), store.engine.begin() as connection:
        connection.execute(sa.text(
            "insert into receipt_line (receipt_id, usage_id, revision, kind, run_key, rate_card, policy, cpu_core_seconds, gpu_seconds,"
            " mem_mib_seconds, cpu_micro, gpu_micro, mem_micro, rounding_micro, cost_micro) select receipt_id, usage_id, revision, kind,"
            " run_key, rate_card, policy, 0, 0, 0, 0, 0, 0, 0, 0 from receipt_line"))


def test_issued_receipts_and_posted_money_never_change(store: Store) -> None:
    keep_runs(store, run())
    bill(store)
    for statement in (
            "update receipt set total_micro = 1", "delete from receipt", "truncate receipt cascade",
            "update receipt_line set cost_micro = 0", "delete from receipt_line", "update ledger_entry set amount_micro = 1",
            "delete from ledger_entry", "delete from ledger_transaction", "update ledger_account set balance_micro = 0",
            "update rate_card set note = ''", "delete from receipt_event"):
        assert refused(store, statement), f"{statement} must be refused"
    assert broken(store) == []


def refused(store: Store, statement: str) -> bool:
    """Whether the database says no to it."""
    try:
        with store.engine.begin() as connection:
            connection.execute(sa.text(statement))
    except sa.exc.DBAPIError:
        return True
    return False


def test_a_void_keeps_its_lines_and_frees_its_jobs(store: Store) -> None:
    keep_runs(store, run())
    first = bill(store)
    void = store.run(lambda tx: void_receipt(tx, first.id, "wrong month", OPERATOR), actor="operator")

    assert void.status is ReceiptStatus.VOID
    assert books(store) == {}
    assert len(store.read(lambda tx: tx.receipts.lines(first.id))) == 1

    second = bill(store)
    assert (second.total_micro, second.number[-6:]) == (first.total_micro, "000002")
    with pytest.raises(IllegalMove, match="is void and cannot become void"):
        store.run(lambda tx: void_receipt(tx, first.id, "again", OPERATOR))
    assert broken(store) == []


def test_jobs_a_void_frees_are_priced_anew(store: Store) -> None:
    """Billed at mu, moved to gov, voided: the next receipt asks gov's price."""
    keep_runs(store, run())
    first = bill(store)
    gov(store)
    store.run(lambda tx: void_receipt(tx, first.id, "moved", OPERATOR), actor="operator")
    assert broken(store) == []
    assert bill(store).total_micro == 60_600_000
    assert broken(store) == []


def test_a_new_tier_prices_what_is_unbilled_and_leaves_receipts_alone(store: Store) -> None:
    keep_runs(store, run(1))
    old = bill(store)
    keep_runs(store, run(2))
    gov(store)
    new = bill(store)
    assert (old.tier, old.total_micro) == ("mu", 28_200_000)
    assert (new.tier, new.total_micro) == ("gov", 60_600_000)
    assert broken(store) == []


def test_a_correction_after_billing_is_a_line_on_the_next_receipt(store: Store) -> None:
    """Billed as 60.60; then the source says 3 GPU-hours more were used. The first receipt stays; 30.00 follow."""
    gov(store)
    keep_runs(store, run())
    first = bill(store)
    keep_runs(store, run(elapsed_seconds=7200, alloc_gpus=1, alloc_tres="cpu=4,mem=16G", cpu_used_core_seconds=15_120 + 36_000))
    second = bill(store)

    [line] = store.read(lambda tx: tx.receipts.lines(second.id)).to_dicts()
    assert (line["kind"], line["cpu_core_seconds"], line["gpu_seconds"], line["cost_micro"]) == ("adjustment", 36_000, 0, 30_000_000)
    assert first.total_micro + second.total_micro == 90_600_000
    assert books(store)["income:cpu"] == 42_600_000
    assert broken(store) == []


def test_a_correction_keeps_the_tier_it_was_billed_at(store: Store) -> None:
    keep_runs(store, run())
    bill(store)
    gov(store)
    keep_runs(store, run(alloc_gpus=2))
    assert bill(store).total_micro == 10_000_000             # 2 GPU-hours at mu's 5, not gov's 10
    assert broken(store) == []


def test_corrections_that_give_back_wait_for_new_jobs(store: Store) -> None:
    keep_runs(store, run(1))
    bill(store)
    keep_runs(store, run(1, alloc_gpus=0))
    with pytest.raises(NothingToBill, match=r"give back 10\.00 THB"):
        bill(store)
    keep_runs(store, run(2))
    assert bill(store).total_micro == 28_200_000 - 10_000_000
    assert broken(store) == []


def test_a_void_after_a_correction_bills_everything_anew(store: Store) -> None:
    """Usage line on one receipt, adjustment on the next; the first is void: what is owed is the whole less the adjustment."""
    keep_runs(store, run(1))
    first = bill(store)
    keep_runs(store, run(1, alloc_gpus=2))
    bill(store)
    store.run(lambda tx: void_receipt(tx, first.number, "mistake", OPERATOR))
    assert bill(store).total_micro == 28_200_000
    assert broken(store) == []


def test_marked_paid_and_reverted_with_a_reason(store: Store) -> None:
    keep_runs(store, run())
    receipt = bill(store)
    paid = store.run(lambda tx: mark_paid(tx, receipt.id, "cash, slip 12", FINANCE), actor="fin")
    assert (paid.status, books(store)["clearing:manual"]) == (ReceiptStatus.PAID, 28_200_000)
    assert "receivable:alice" not in books(store)

    back = store.run(lambda tx: revert_paid(tx, receipt.id, "slip 12 was for another", FINANCE), actor="fin")
    assert (back.status, back.paid_at) == (ReceiptStatus.PENDING, None)
    assert books(store)["receivable:alice"] == 28_200_000
    store.run(lambda tx: mark_paid(tx, receipt.id, "cash, slip 13", FINANCE), actor="fin")
    assert [event.to_status for event in store.read(lambda tx: tx.receipts.events(receipt.id))] == ["pending", "paid", "pending", "paid"]
    assert broken(store) == []


def test_a_reason_is_needed(store: Store) -> None:
    keep_runs(store, run())
    receipt = bill(store)
    with pytest.raises(IllegalMove, match="Say why"):
        store.run(lambda tx: void_receipt(tx, receipt.id, "  ", OPERATOR))


def test_nothing_to_pay_is_paid_at_once(store: Store) -> None:
    keep_runs(store, run(alloc_gpus=0, cpu_used_core_seconds=1, mem_used_mib_seconds=0))
    receipt = bill(store)
    assert (receipt.total_micro, receipt.status) == (0, ReceiptStatus.PAID)
    assert books(store) == {"income:cpu": 277, "rounding:": -277}
    assert broken(store) == []


def test_tax_and_rounding_per_receipt(store: Store) -> None:
    """Three core-seconds at 1.00: 833 micro a job; per receipt 0.0025 THB + 7 % tax rounds to 0.00 and is kept in view."""
    text = ("tier: mu\ncurrency: THB\nvalid_from: 2026-01-01\npolicy: used\nrounding: per_receipt_minor\n"
            "prices: {cpu: 1, gpu: 5, mem: 0.5}")
    taxed = Store(store.engine, Settings(**store.settings.model_dump() | {"tax_ppm": 70_000}))
    taxed.run(lambda tx: publish_cards(tx, cards_from_text(text), OPERATOR))
    runs = [run(number, alloc_gpus=0, cpu_used_core_seconds=3000 + number, mem_used_mib_seconds=0) for number in range(3)]
    keep_runs(taxed, *runs)
    receipt = bill(taxed)
    assert receipt.subtotal_micro == 833_333 + 833_611 + 833_889
    assert receipt.tax_micro == 180_000                       # 7 % of 2.500833 is 0.17505…: to the satang 0.18
    assert receipt.total_micro == 2_680_000
    assert receipt.total_micro == receipt.subtotal_micro + receipt.tax_micro + receipt.rounding_micro
    assert broken(taxed) == []


def test_a_card_cannot_begin_before_what_is_billed(store: Store) -> None:
    keep_runs(store, run())
    bill(store)
    text = "tier: mu\ncurrency: THB\nvalid_from: 2026-01-01\npolicy: used\nrounding: per_job_minor\nprices: {cpu: 2, gpu: 2, mem: 2}"
    with pytest.raises(RateError, match="Receipts were issued for jobs of tier mu that ended up to 2026-09-21"):
        store.run(lambda tx: publish_cards(tx, cards_from_text(text), OPERATOR))


def test_a_new_card_prices_what_is_unbilled_since(store: Store) -> None:
    keep_runs(store, run(1), run(2, end_at=ENDED + 86_400))
    text = (f"tier: mu\ncurrency: THB\nvalid_from: {datetime.fromtimestamp(ENDED + 1, UTC).isoformat()}\npolicy: allocated\n"
            "rounding: per_job_minor\nprices: {cpu: 2, gpu: 0, mem: 0}")
    store.run(lambda tx: publish_cards(tx, cards_from_text(text), OPERATOR))
    costs = store.read(lambda tx: tx.receipts.open_runs("alice", LATER)).sort("run_key")
    assert costs.select("rate_card", "cost_micro").rows() == [("mu-v1", 28_200_000), ("mu-v2", 16_000_000)]
    assert broken(store) == []


def test_who_may(store: Store) -> None:
    """Own receipts for oneself; anybody's for finance; an auditor looks on; another's does not exist."""
    keep_runs(store, run())
    with pytest.raises(NotAllowed):
        store.run(lambda tx: create_receipt(tx, "alice", LATER, BOB))
    with pytest.raises(NotAllowed):
        store.run(lambda tx: create_receipt(tx, "alice", LATER, AUDITOR))
    receipt = store.run(lambda tx: create_receipt(tx, "alice", LATER, ALICE))
    for deed in (void_receipt, mark_paid, revert_paid):
        with pytest.raises(NotAllowed):
            store.run(lambda tx, deed=deed: deed(tx, receipt.id, "because", ALICE))
    with pytest.raises(NotFound):
        store.read(lambda tx: get_receipt(tx, receipt.id, BOB))
    assert store.read(lambda tx: get_receipt(tx, receipt.number, ALICE)) == receipt
    assert store.read(lambda tx: get_receipt(tx, receipt.id, AUDITOR)).id == receipt.id


def test_receipt_lines_add_up_to_usage(store: Store) -> None:
    """Odd quantities, several payers: the sum over receipts is the sum over usage, to the micro-unit."""
    users = ("alice", "bob", "carol")
    keep_runs(store, *(run(number, user_name=users[number % 3], cpu_used_core_seconds=number * 7919 % 100_003) for number in range(90)))
    total = sum(bill(store, payer).total_micro for payer in users)
    assert total == store.read(lambda tx: int(tx.connection.execute(sa.text("select sum(cost_micro) from usage_record")).scalar_one()))
    lines = pl.concat([store.read(lambda tx, receipt=receipt: tx.receipts.lines(receipt.id))
                       for receipt in store.read(lambda tx: tx.receipts.all())])
    assert (len(lines), int(lines["cost_micro"].sum())) == (90, total)
