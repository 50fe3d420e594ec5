"""`./corehours explain --month`: a month's minimum as people and programs see it, and on a receipt."""

from __future__ import annotations

import json
from pathlib import Path

from data.postgres.store import Store
from tests.conftest import Corehours
from tests.flows.examples import bill, keep_runs
from tests.flows.test_minimums import CARD, ENDED, NOVEMBER, job, publish


def test_a_month_in_words_and_as_json(corehours: Corehours, store: Store) -> None:
    publish(store)
    keep_runs(store, job(1, 60))
    receipt = bill(store, before=NOVEMBER)
    keep_runs(store, job(2, 25, ENDED + 60))
    assert corehours("explain", "--month", "2026-09", "-u", "alice").stdout.splitlines() == [
        "September 2026, tier mu: alice pays at least 100.00 THB", "  Card mu-v2, 30 of 30 days: 100.00 THB",
        "  Its usage costs 85.00 THB, which leaves 15.00 THB", f"  Receipt {receipt.number} (pending), commitment: 40.00 THB",
        "The next receipt takes off 25.00 THB."]
    [told] = json.loads(corehours("explain", "--month", "2026-09", "-u", "alice", "--json").stdout)
    assert (told["minimum_micro"], told["used_micro"], told["due_micro"], told["billed_micro"], told["owed_micro"]) == (
        100_000_000, 85_000_000, 15_000_000, 40_000_000, -25_000_000)
    assert told["shares"] == [{"rate_card": "mu-v2", "days": 30, "of_days": 30, "micro": 100_000_000}]


def test_where_there_is_none_or_nothing_is_asked(corehours: Corehours) -> None:
    assert corehours("explain", "--month", "2026-09", "-u", "alice").stdout == "September 2026: no card asks a minimum of alice.\n"
    for words, sentence in ((("--month", "2026-09"), "Say which job, or a month and a user."), ((), "Say which job"),
                            (("7", "--month", "2026-09", "-u", "alice"), "Say which job"),
                            (("--month", "2026-13", "-u", "alice"), "'2026-13' is not a month such as 2026-10.")):
        refused = corehours("explain", *words)
        assert refused.returncode == 1 and sentence in refused.stderr


def test_the_command_line_from_card_to_receipt(corehours: Corehours, store: Store, tmp_path: Path) -> None:
    """The card is published from a file, everybody is billed, the receipt and `check` say the same."""
    (tmp_path / "card.yaml").write_text(CARD, encoding="utf-8")
    assert corehours("rates", "publish", "--file", str(tmp_path / "card.yaml")).returncode == 0
    keep_runs(store, job(1, 60), job(2, 130, user_name="bob"))
    made = json.loads(corehours("receipts", "create", "--everybody", "--before", "2026-11-01", "--json").stdout)
    assert [(one["user"], one["total_micro"]) for one in made["receipts"]] == [("alice", 100_000_000), ("bob", 130_000_000)]
    number = made["receipts"][0]["number"]
    shown = json.loads(corehours("receipts", "show", number, "--json").stdout)
    assert [(line["kind"], line["job_id"], line["commitment_micro"], line["cost_micro"]) for line in shown["lines"]] == [
        ("commitment", None, 40_000_000, 40_000_000), ("usage", "1", 0, 60_000_000)]
    assert shown["lines"][1]["minimum"] is None
    assert shown["lines"][0]["minimum"] == {
        "month": "2026-09", "cards": "mu", "minimum_micro": 100_000_000, "used_micro": 60_000_000, "billed_before_micro": 0,
        "shares": [{"rate_card": "mu-v2", "days": 30, "micro": 100_000_000}]}
    assert "minimum of 2026-09" in corehours("receipts", "show", number).stdout
    check = corehours("check")
    assert check.returncode == 0 and "ok      a month's minimum is what its cards and their days make" in check.stdout
