"""A quote is what the rating function says of a job that uses all it asks for; what is called cheaper costs less by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import MoneyError
from engine.quote_words import asked_words, quantity_text
from engine.quotes import Prices, Quote, quote, time_lines, tres_text, use_moments, used_before
from engine.rates import DEFAULT_CARDS, Modifier, Policy, Price, RateCard, Rounding, flat_prices, with_prices
from engine.rates import Step as PriceStep
from engine.rating import rate
from engine.sbatch import BadRequest, Request
from engine.slurm_values import tres
from tests.engine.rating_cases import BEGIN, some_cards
from tests.engine.usage_frames import frame, run

START = datetime(2026, 11, 20, 9, tzinfo=UTC)                       # a Friday, 16:00 in Bangkok
HOUR = 3600
GOV = next(card for card in DEFAULT_CARDS if card.tier == "gov")
DEFAULTS = Prices("gov", DEFAULT_CARDS)
GOLDEN = Request(cpus=16, mem_mib=128 * 1024, seconds=48 * HOUR, gpus=(("a100", 2),))
OFF_PEAK = Modifier("off-peak", 800_000, (9 * 60, 17 * 60))
PEAK = Modifier("peak", 1_200_000, (18 * 60, 23 * 60))
WEEKEND = Modifier("weekend", 1_100_000, weekdays=frozenset({5, 6}))
BY_DAY = replace(GOV, modifiers=(PEAK, WEEKEND, OFF_PEAK), time_zone="Asia/Bangkok")
QUOTA = replace(GOV, prices=(Price("cpu", (PriceStep(0, 0), PriceStep(100, 3_000_000))), *flat_prices(gpu=10_000_000, mem=0)))
REQUESTS = st.builds(
    Request, cpus=st.integers(1, 4096), mem_mib=st.integers(0, 1 << 24), seconds=st.integers(1, 9000).map(lambda minutes: 60 * minutes),
    nodes=st.integers(1, 64), billing=st.integers(1, 9999), account=st.sampled_from(["", "physics"]),
    gpus=st.dictionaries(st.sampled_from(["a100", "h100", "v100", ""]), st.integers(1, 64), max_size=2).map(
        lambda counts: tuple(sorted(counts.items()))))


def jobs(asked: Request, start: datetime, *places: int) -> pl.DataFrame:
    """Such jobs as if they had run, each `places` lengths after the start."""
    begin, size = int(start.timestamp()), asked.seconds
    return frame(*(run(
        number, run_key=f"c/{number:04d}", submit_at=begin + place * size, start_at=begin + place * size,
        end_at=begin + (place + 1) * size, elapsed_seconds=size, alloc_cpus=asked.cpus, alloc_gpus=asked.gpu_count,
        alloc_mem_mib=asked.mem_mib, alloc_tres=tres_text(asked), account_name=asked.account,
        cpu_used_core_seconds=asked.cpus * size, mem_used_mib_seconds=asked.mem_mib * size)
        for number, place in enumerate(places))).with_columns(tier=pl.lit("gov"), payer=pl.lit("alice"))


def cost(asked: Request, start: datetime, book: tuple[RateCard, ...], *places: int) -> int:
    """What they cost together by the rating function alone."""
    return int(rate(jobs(asked, start, *(places or (0,))), book)["cost_micro"].sum())


def one(made: Quote, kind: str) -> list[tuple[str, datetime, int]]:
    """The alternatives of a kind."""
    return [(found.what, found.start, found.saves_micro) for found in made.alternatives if found.kind == kind]


def test_the_example_step_by_step() -> None:
    made = quote(GOLDEN, START, DEFAULTS)
    assert [(step.what, quantity_text(step.quantity_micro), step.unit, step.price_micro, step.amount_micro) for step in made.steps] == [
        ("CPU", "768", "core-hour", 3_000_000, 2_304_000_000), ("GPU (2 a100)", "96", "GPU-hour", 10_000_000, 960_000_000),
        ("Memory", "6,144", "GiB-hour", 1_000_000, 6_144_000_000), ("Rounding", "0", "", None, 0)]
    assert made.total_micro == 9_408_000_000 and made.card.name == "gov-v1" and made.end == START + timedelta(days=2)
    assert "this is the most it costs" in " ".join(made.notes) and made.curve == ()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**9), REQUESTS, st.integers(0, 35 * 96))
def test_a_quote_is_what_rating_says_on_any_cards(seed: int, asked: Request, quarter: int) -> None:
    book = tuple(some_cards(Random(seed)))
    start = datetime.fromtimestamp(BEGIN + 900 * quarter + seed % 900, UTC)
    made = quote(asked, start, Prices("gov", book))
    assert made.total_micro == cost(asked, start, book) == sum(step.amount_micro for step in made.steps) == sum(made.shown_micro)
    assert made.card.name == rate(jobs(asked, start, 0), book)["rate_card"][0]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**9), REQUESTS, st.integers(1, 6), st.integers(0, 3))
def test_tasks_cost_what_they_cost_one_after_the_other(seed: int, asked: Request, count: int, at_once: int) -> None:
    book = tuple(some_cards(Random(seed)))
    start = datetime.fromtimestamp(BEGIN, UTC)
    made = quote(replace(asked, count=count, at_once=at_once), start, Prices("gov", book))
    places = [task // (at_once or count) for task in range(count)]
    assert made.total_micro == cost(asked, start, book, *places) == sum(step.amount_micro for step in made.steps)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**9), REQUESTS)
def test_what_is_called_cheaper_is_cheaper_by_the_same_function(seed: int, asked: Request) -> None:
    prices = Prices("gov", some_cards(Random(seed)))
    made = quote(asked, datetime.fromtimestamp(BEGIN, UTC), prices)
    for other in made.alternatives:
        again = quote(other.request, other.start, prices)
        assert again.total_micro == other.total_micro == made.total_micro - other.saves_micro < made.total_micro
    assert not made.curve or min(micro for _, micro in made.curve) >= min(
        [made.total_micro, *(other.total_micro for other in made.alternatives if other.kind == "start")])


def test_half_the_memory_is_offered_where_memory_costs_something() -> None:
    assert one(quote(GOLDEN, START, DEFAULTS), "memory") == [("half the memory (64G)", START, 3_072_000_000)]
    assert not quote(GOLDEN, START, Prices("gov", [with_prices(GOV, mem=0)])).alternatives


def test_time_factors_are_named_with_how_long_they_hold() -> None:
    """Friday 16:00 to 20:00 in Bangkok: an hour off-peak, two of the peak, an hour of neither: 4.2 hours' worth of four."""
    made = quote(replace(GOLDEN, seconds=4 * HOUR), START, Prices("gov", [BY_DAY]))
    assert time_lines(made, ZoneInfo("Asia/Bangkok")) == [
        "Time factor 1.05: peak × 1.2 for 2 h (20 Nov 18:00–20:00); plain × 1 for 1 h (20 Nov 17:00–18:00); "
        "off-peak × 0.8 for 1 h (20 Nov 16:00–17:00)"]
    assert made.total_micro == (16 * 3 + 2 * 10 + 128) * 4_000_000 * 105 // 100
    assert {step.factor for step in made.steps} == {"1.05", ""}


def test_another_start_is_the_cheapest_of_the_day_and_of_the_week() -> None:
    """Four hours: the next day is a Saturday (0.88 off-peak), Monday 9:00 is the first that costs 0.8."""
    made = quote(replace(GOLDEN, seconds=4 * HOUR), START, Prices("gov", [BY_DAY]))
    hourly = 16 * 3 + 2 * 10 + 128
    assert one(made, "start") == [
        ("another start: off-peak", datetime(2026, 11, 23, 2, tzinfo=UTC), hourly * 4 * (1_050_000 - 800_000)),
        ("another start: off-peak", datetime(2026, 11, 21, 2, tzinfo=UTC), hourly * 4 * (1_050_000 - 880_000))]
    assert len(made.curve) == 7 * 96 and made.curve[0][0] == START + timedelta(minutes=15)


def test_a_cheaper_gpu_of_the_card_is_offered_for_the_same_work() -> None:
    models = replace(GOV, prices=(*GOV.prices, Price("gpu", (PriceStep(0, 25_000_000),), "h100"),
                                  Price("gpu", (PriceStep(0, 15_000_000),), "a100")))
    dear = quote(replace(GOLDEN, gpus=(("h100", 2),)), START, Prices("gov", [models]))
    assert next(step.price_micro for step in dear.steps if step.meter == "gpu") == 25_000_000
    assert one(dear, "gpu") == [("2 GPUs of model a100", START, 96 * 10_000_000)]
    assert "it may need more" in " ".join(dear.notes)
    assert not one(quote(GOLDEN, START, Prices("gov", [models])), "gpu")
    both = quote(replace(GOLDEN, gpus=(("a100", 1), ("h100", 1))), START, Prices("gov", [models]))
    step = next(step for step in both.steps if step.meter == "gpu")
    assert (step.price_micro, step.detail, step.amount_micro) == (None, "15.00 for a100 and 25.00 for h100", 48 * 40_000_000)


def test_what_the_month_used_decides_what_of_a_quota_is_left() -> None:
    """100 core-hours are free; alice used 60 this month and 90 the month before: of 80 more 40 cost 3.00."""
    asked = Request(cpus=8, mem_mib=0, seconds=10 * HOUR)
    book = [QUOTA]
    before = pl.concat([jobs(replace(asked, cpus=6), START - timedelta(days=2), 0),
                        jobs(replace(asked, cpus=9), START - timedelta(days=30), 0)])
    prices = Prices("gov", book)
    used = used_before(before, prices, asked, "alice", START)
    assert used.rows() == [("alice", "gov", 202611, "cpu", 60 * HOUR)]
    made = quote(asked, START, replace(prices, used=used))
    assert made.total_micro == 40 * 3_000_000 and quote(asked, START, prices).total_micro == 0
    assert made.steps[0].detail == "the first 100 core-hours of a month free, then 3.00; 60 used before it in its month"
    assert not one(made, "start")                                   # no other start within the month is cheaper


@pytest.mark.parametrize(("price", "words"), [
    (Price("cpu", (PriceStep(0, 3_000_000), PriceStep(100, 2_000_000, 5_000_000), PriceStep(900, 1_500_000))),
     "the first 100 core-hours of a month 3.00, up to 900 2.00 and 5.00 once, then 1.50; 0 used before it in its month"),
    (Price("cpu", (PriceStep(0, 250_000_000),), package=100), "in whole packages of 100 core-hours; 0 used before it in its month"),
    (Price("cpu", (PriceStep(0, 3_000_000, 7_000_000),)), "all 3.00 and 7.00 once; 0 used before it in its month")])
def test_prices_by_the_month_are_said_in_words(price: Price, words: str) -> None:
    made = quote(Request(cpus=8, mem_mib=0, seconds=10 * HOUR), START, Prices("gov", [replace(GOV, prices=(price,))]))
    assert made.steps[0].detail == words


def test_use_is_counted_up_to_the_end_of_a_past_job_and_of_every_month_since() -> None:
    zone, now = ZoneInfo("Asia/Bangkok"), datetime(2027, 1, 15, tzinfo=UTC)
    assert use_moments(now + timedelta(days=3), now, zone) == [now]
    assert use_moments(now - timedelta(days=3), now, zone) == [now - timedelta(days=3)]
    past = datetime(2026, 11, 30, 18, tzinfo=UTC)                                   # December there
    assert use_moments(past, now, zone) == [past, now]
    assert use_moments(past - timedelta(days=1), now, zone) == [
        past - timedelta(days=1), datetime(2026, 12, 31, 16, 59, 59, tzinfo=UTC), now]


def test_a_new_month_brings_a_new_quota() -> None:
    asked = Request(cpus=8, mem_mib=0, seconds=10 * HOUR)
    now = datetime(2026, 11, 28, tzinfo=UTC)
    used = used_before(jobs(replace(asked, cpus=100), now - timedelta(days=2), 0), Prices("gov", [QUOTA]), asked, "alice", now)
    made = quote(asked, now, Prices("gov", [QUOTA], used))
    assert made.total_micro == 80 * 3_000_000
    assert one(made, "start") == [("another start", datetime(2026, 11, 30, 14, tzinfo=UTC), 80 * 3_000_000)]


def test_a_project_with_prices_of_its_own_is_priced_by_them() -> None:
    project = replace(with_prices(GOV, cpu=0, gpu=0, mem=500_000), tier="", project="physics")
    book = [*DEFAULT_CARDS, project]
    made = quote(replace(GOLDEN, account="physics"), START, Prices("gov", book))
    assert made.card.name == "project:physics-v1" and made.total_micro == 6144 * 500_000
    assert quote(replace(GOLDEN, account="chem"), START, Prices("gov", book)).card.name == "gov-v1"


def test_a_card_that_begins_later_this_week_is_a_reason_to_wait() -> None:
    cheap = with_prices(replace(GOV, version=2, valid_from=START + timedelta(days=5)), cpu=1_000_000)
    made = quote(GOLDEN, START, Prices("gov", [GOV, cheap]))
    wait = next(found for found in made.alternatives if found.kind == "start")
    assert wait.start + timedelta(seconds=GOLDEN.seconds) == cheap.valid_from        # priced by the card valid at its end
    assert wait.saves_micro == 2 * 768_000_000


def test_the_policy_says_how_the_price_is_meant() -> None:
    allocated = quote(GOLDEN, START, Prices("gov", [replace(GOV, policy=Policy.ALLOCATED)]))
    assert allocated.total_micro == 9_408_000_000 and "bills what is set aside" in " ".join(allocated.notes)
    dearest = quote(GOLDEN, START, Prices("gov", [replace(GOV, policy=Policy.MAX_OF)]))
    assert dearest.total_micro == 6_144_000_000 and dearest.steps[0].detail == "not the dearest: costs nothing"
    units = replace(GOV, policy=Policy.BILLING_TRES, prices=flat_prices(billing=2_000_000))
    with pytest.raises(BadRequest, match="say how many the job has with --billing N"):
        quote(GOLDEN, START, Prices("gov", [units]))
    made = quote(replace(GOLDEN, billing=38), START, Prices("gov", [units]))
    assert made.total_micro == 38 * 48 * 2_000_000 and [step.what for step in made.steps] == ["Billing units", "Rounding"]


def test_minimum_and_rounding_of_the_receipt_are_said() -> None:
    card = replace(GOV, commitment_micro=10**9, rounding=Rounding.PER_RECEIPT_MINOR)
    said = " ".join(quote(GOLDEN, START, Prices("gov", [card])).notes)
    assert "a minimum of 1,000.00 THB a month" in said and "rounds the receipt" in said


def test_a_tier_without_a_card_is_refused() -> None:
    with pytest.raises(BadRequest, match="no rate card for tier 'gold'; there are cards for gov, mu, private"):
        quote(GOLDEN, START, Prices("gold", DEFAULT_CARDS))


def test_before_the_first_card_there_is_no_price() -> None:
    with pytest.raises(BadRequest, match="has no price before 2026-12-20"):
        quote(GOLDEN, START, Prices("gov", [replace(GOV, valid_from=START + timedelta(days=30))]))


def test_too_much_is_refused_not_wrapped() -> None:
    most = replace(GOLDEN, cpus=10**7, seconds=366 * 86_400)
    with pytest.raises(MoneyError, match="more than can be counted"):
        quote(replace(most, count=4_000_000), START, Prices("private", DEFAULT_CARDS))
    with pytest.raises(BadRequest, match="take 4,000 rounds"):
        quote(replace(GOLDEN, count=4000, at_once=1), START, DEFAULTS)
    with pytest.raises(BadRequest, match="quote at most 10,000 tasks"):
        quote(replace(GOLDEN, count=20_000), START, Prices("gov", [QUOTA]))


def test_the_request_stands_in_tres_as_slurm_writes_it() -> None:
    text = tres_text(replace(GOLDEN, gpus=(("a100", 2), ("h100", 1)), nodes=2))
    assert text == "cpu=16,gres/gpu:a100=2,gres/gpu:h100=1,gres/gpu=3,mem=128G,node=2"
    assert (tres(text).cpus, tres(text).gpus, tres(text).mem_mib) == (16, 3, 128 * 1024)
    assert asked_words(GOLDEN) == "16 CPUs, 2 GPUs (a100), 128G of memory, for 2 days"
