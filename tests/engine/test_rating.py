"""Rating: the golden case, both policies, dated cards, and equality with a plain-Python reference to the micro-unit."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import MoneyError, RateError
from engine.rate_frames import Book, book_of
from engine.rates import DEFAULT_CARDS, Policy, RateCard, Rounding, flat_prices
from engine.rating import rate
from tests.engine.usage_frames import ENDED, frame, run

CARDS = book_of(DEFAULT_CARDS)


def cost(usage: pl.DataFrame, tier: str, cards: Book = CARDS, policy: str | None = None) -> pl.DataFrame:
    return rate(usage.with_columns(tier=pl.lit(tier)), cards, policy)


def test_golden_case() -> None:
    """2 h, cpu=4, gres/gpu=1, mem=16G; steps used 1.2 h + 3.0 h CPU, 6G and 8G: 4.2 × 3 + 2 × 10 + 28 × 1 = 60.60."""
    charge = cost(frame(run()), "gov").row(0, named=True)
    assert (charge["cpu_micro"], charge["gpu_micro"], charge["mem_micro"]) == (12_600_000, 20_000_000, 28_000_000)
    assert (charge["cost_micro"], charge["rounding_micro"], charge["currency"]) == (60_600_000, 0, "THB")
    assert charge["rate_card"] == "gov-v1"


@pytest.mark.parametrize(("tier", "total"), [("mu", 28_200_000), ("gov", 60_600_000), ("private", 277_000_000)])
def test_the_default_cards(tier: str, total: int) -> None:
    assert cost(frame(run()), tier)["cost_micro"].item() == total


def test_allocated_bills_what_was_set_aside() -> None:
    """8 core-hours × 3 + 2 GPU-hours × 10 + 32 GiB-hours × 1."""
    charge = cost(frame(run()), "gov", policy="allocated").row(0, named=True)
    assert (charge["cpu_core_seconds"], charge["mem_mib_seconds"]) == (4 * 7200, 16 * 1024 * 7200)
    assert charge["cost_micro"] == 76_000_000


def test_rounding_is_named_and_kept() -> None:
    """One core-second at 1 THB per core-hour is 0.000277… THB: cut to 277 micro, rounded to nothing, -277 noted."""
    charge = cost(frame(run(alloc_gpus=0, cpu_used_core_seconds=1, mem_used_mib_seconds=0)), "mu").row(0, named=True)
    assert (charge["cpu_micro"], charge["rounding_micro"], charge["cost_micro"]) == (277, -277, 0)


def test_a_running_job_costs_nothing_yet() -> None:
    charge = cost(frame(run(state="RUNNING", end_at=None, ended=False)), "private").row(0, named=True)
    assert charge["cost_micro"] == 0


def test_the_card_valid_when_it_ended_prices_it() -> None:
    newer = RateCard("gov", 2, "THB", datetime.fromtimestamp(ENDED, UTC), Policy.USED, Rounding.PER_JOB_MINOR,
                     flat_prices(cpu=0, gpu=0, mem=0))
    cards = book_of([*DEFAULT_CARDS, newer])
    charges = cost(frame(run(1, end_at=ENDED - 1), run(2, end_at=ENDED)), "gov", cards)
    assert charges["rate_card"].to_list() == ["gov-v1", "gov-v2"]
    assert charges["cost_micro"].to_list() == [60_600_000, 0]


def test_a_tier_without_a_card_is_refused() -> None:
    with pytest.raises(RateError, match=r"1 runs have no card; the first is c/1/\d+ of tier 'nasa'"):
        cost(frame(run()), "nasa")


@pytest.mark.parametrize("huge", [{"cpu_used_core_seconds": 2**62}, {"alloc_gpus": 2**62}, {"mem_used_mib_seconds": 2**63 - 1}])
def test_too_large_is_an_error_never_a_wrapped_number(huge: dict[str, object]) -> None:
    with pytest.raises(MoneyError, match="does not fit 64 bits"):
        cost(frame(run(**huge)), "private", book_of([RateCard(
            "private", 1, "THB", datetime(2000, 1, 1, tzinfo=UTC), Policy.USED, Rounding.PER_JOB_MINOR,
            flat_prices(cpu=10**12, gpu=10**12, mem=10**12))]))


AMOUNTS = st.integers(0, 10**9)
RATES = st.integers(0, 10**9)
RUNS = st.lists(st.tuples(AMOUNTS, st.integers(0, 64), AMOUNTS, st.integers(0, 10**6), st.integers(0, 512), st.integers(0, 10**6)),
                min_size=1, max_size=30)


@given(RUNS, RATES, RATES, RATES, st.sampled_from([Policy.USED, Policy.ALLOCATED]), st.sampled_from(Rounding),
       st.sampled_from(["THB", "JPY"]))
@settings(max_examples=80, deadline=None)
def test_equals_exact_fractions(runs: list[tuple[int, ...]], cpu: int, gpu: int, mem: int, policy: Policy, rounding: Rounding,
                                currency: str) -> None:
    card = RateCard("t", 1, currency, datetime(2000, 1, 1, tzinfo=UTC), policy, rounding, flat_prices(cpu=cpu, gpu=gpu, mem=mem))
    usage = frame(*(run(number, cpu_used_core_seconds=used, alloc_gpus=gpus, mem_used_mib_seconds=rss, elapsed_seconds=elapsed,
                        alloc_cpus=cpus, alloc_mem_mib=mib) for number, (used, gpus, rss, elapsed, cpus, mib) in enumerate(runs)))
    step = {"THB": 10_000, "JPY": 1_000_000}[currency] if rounding is Rounding.PER_JOB_MINOR else 1
    for charge in cost(usage, "t", book_of([card])).iter_rows(named=True):
        exact = (Fraction(charge["cpu_core_seconds"] * cpu, 3600) + Fraction(charge["gpu_seconds"] * gpu, 3600)
                 + Fraction(charge["mem_mib_seconds"] * mem, 3600 * 1024))
        assert charge["cost_micro"] == int(exact / step + Fraction(1, 2)) * step
        assert charge["cost_micro"] == charge["cpu_micro"] + charge["gpu_micro"] + charge["mem_micro"] + charge["rounding_micro"]
        assert charge["gpu_seconds"] == charge["alloc_gpus"] * charge["elapsed_seconds"]


@given(st.permutations(range(12)), st.integers(0, 12))
@settings(deadline=None)
def test_order_and_partition_do_not_matter(order: list[int], cut: int) -> None:
    runs = [run(number, cpu_used_core_seconds=number * 977, alloc_gpus=number % 3) for number in range(12)]
    whole = cost(frame(*runs), "mu")["cost_micro"].sum()
    shuffled = [runs[place] for place in order]
    parts = [cost(frame(*part), "mu")["cost_micro"].sum() for part in (shuffled[:cut], shuffled[cut:])]
    assert sum(parts) == whole
