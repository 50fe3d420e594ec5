"""A cost taken apart: its shown parts add up to its total, and every sentence about billing is the right one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.explain import billing_state, explain
from engine.explain_reasons import reasons
from engine.explained import OnReceipt, Run
from engine.rates import DEFAULT_CARDS, Policy

GOV = next(card for card in DEFAULT_CARDS if card.tier == "gov")
ENDED = datetime(2026, 10, 3, 12, tzinfo=UTC)
GOLDEN = Run(
    run_key="c/1/0", cluster="c", job_id="1", job_id_raw=1, run_id=1, job_name="train",
    user_name="alice", account_name="physics", partition_name="gpu",
    qos="", node_list="g1", state="COMPLETED", submit_at=ENDED, start_at=ENDED, end_at=ENDED, elapsed_seconds=7200,
    alloc_tres="cpu=4,gres/gpu=1,mem=16G", alloc_cpus=4, alloc_gpus=1, alloc_mem_mib=16384, cpu_used_core_seconds=15_120,
    cpu_used_from="steps TotalCPU", mem_used_mib_seconds=28 * 1024 * 3600, mem_used_from="steps AveRSS × Elapsed", ended=True,
    revision=1, payer="alice", tier="gov", rate_card="gov-v1", policy="used", currency="THB", cpu_core_seconds=15_120,
    gpu_seconds=7200, mem_mib_seconds=28 * 1024 * 3600, extra_seconds=0, extra_micro=0,
    cpu_micro=12_600_000, gpu_micro=20_000_000, mem_micro=28_000_000,
    rounding_micro=0, cost_micro=60_600_000, billed_micro=None)
LIVE = OnReceipt("rcpt_2", "CH-2026-000002", "pending", "usage", True, 1, 60_600_000, ENDED)
VOID = replace(LIVE, receipt_id="rcpt_1", number="CH-2026-000001", status="void", live=False)


def test_the_golden_case_says_4_2_core_hours_2_gpu_hours_28_gib_hours_and_60_60() -> None:
    made = explain(GOLDEN, GOV)
    assert [(factor.quantity_micro, factor.price_micro, factor.shown_micro) for factor in made.factors] == [
        (4_200_000, 3_000_000, 12_600_000), (2_000_000, 10_000_000, 20_000_000), (28_000_000, 1_000_000, 28_000_000)]
    assert [factor.source for factor in made.factors] == [
        "steps TotalCPU", "AllocTRES gres/gpu × ElapsedRaw", "steps AveRSS × Elapsed"]
    assert (made.rounding_micro, made.total_micro) == (0, 60_600_000)


def test_shown_parts_and_the_rounding_row_add_up_also_when_micro_units_do_not_show() -> None:
    run = replace(GOLDEN, cpu_micro=34_943_331, gpu_micro=7_916_666, mem_micro=49_065_049, rounding_micro=-5_046,
                  cost_micro=91_920_000)
    made = explain(run, GOV)
    assert [factor.shown_micro for factor in made.factors] == [34_943_300, 7_916_700, 49_065_000]
    assert sum(factor.shown_micro for factor in made.factors) + made.rounding_micro == made.total_micro == 91_920_000


def test_the_policy_allocated_names_what_was_set_aside() -> None:
    made = explain(replace(GOLDEN, policy="allocated"), replace(GOV, policy=Policy.ALLOCATED))
    assert [factor.source for factor in made.factors] == [
        "AllocTRES cpu × ElapsedRaw", "AllocTRES gres/gpu × ElapsedRaw", "AllocTRES mem × ElapsedRaw"]


@pytest.mark.parametrize(("change", "receipts", "words"), [
    ({"ended": False}, [], "still running"),
    ({"ended": False, "start_at": None}, [], "waits for its turn"),
    ({"elapsed_seconds": 0, "cost_micro": 0}, [], "before it ran"),
    ({"cost_micro": 0}, [], "less than the smallest coin"),
    ({}, [], "not billed yet"),
    ({}, [VOID], "which was voided"),
    ({"billed_micro": 60_600_000}, [LIVE, VOID], "on receipt CH-2026-000002 (pending)."),
    ({"billed_micro": 66_600_000, "revision": 2}, [LIVE], "price was changed since: the next receipt takes off 6.00 THB"),
    ({"billed_micro": 60_000_000}, [LIVE], "price was changed since: the next receipt adds 0.60 THB"),
])
def test_why_it_is_charged_or_not(change: dict[str, Any], receipts: list[OnReceipt], words: str) -> None:
    run = replace(GOLDEN, **change)
    assert words in reasons(run, explain(run, GOV), receipts)[0].sentence


@pytest.mark.parametrize(("row", "state"), [
    ((False, False, 0, None), "pending"), ((False, True, 0, None), "running"), ((True, True, 5, None), "unbilled"),
    ((True, True, 5, 5), "billed"), ((True, True, 5, 6), "corrected")])
def test_the_words_of_the_billing_column(row: tuple[bool, bool, int, int | None], state: str) -> None:
    assert billing_state(*row) == state
