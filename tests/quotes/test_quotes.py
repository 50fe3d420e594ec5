"""A quote is what the rating function says of a job that uses all it asks for; what is called cheaper costs less by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import MoneyError
from engine.quotes import Quote, asked_words, quantity_text, quote, tres_text
from engine.rates import DEFAULT_CARDS, Policy, with_prices
from engine.rating import rate
from engine.sbatch import BadRequest, Request
from engine.slurm_values import tres
from tests.engine.usage_frames import frame, run

START = datetime(2026, 11, 20, 9, tzinfo=UTC)
GOLDEN = Request(cpus=16, mem_mib=128 * 1024, seconds=2 * 86_400, gpus=(("a100", 2),))
BIG_REQUESTS = st.builds(
    Request, cpus=st.integers(1, 4096), mem_mib=st.integers(0, 1 << 24), seconds=st.integers(1, 10_000).map(lambda m: 60 * m),
    gpus=st.integers(0, 64).map(lambda number: (("a100", number),) if number else ()))


def rated(asked: Request, tier: str = "gov") -> int:
    """The cost of one such job that has run, by the rating function alone."""
    start = int(START.timestamp())
    usage = frame(run(start_at=start, end_at=start + asked.seconds, elapsed_seconds=asked.seconds, alloc_cpus=asked.cpus,
                      alloc_gpus=asked.gpu_count, alloc_mem_mib=asked.mem_mib, alloc_tres=tres_text(asked),
                      cpu_used_core_seconds=asked.cpus * asked.seconds, mem_used_mib_seconds=asked.mem_mib * asked.seconds))
    return int(rate(usage.with_columns(tier=pl.lit(tier)), DEFAULT_CARDS)["cost_micro"][0])


def adds_up(made: Quote) -> bool:
    return sum(step.amount_micro for step in made.steps) == made.total_micro


def test_the_issues_own_example_step_by_step() -> None:
    made = quote(GOLDEN, START, "gov", DEFAULT_CARDS)
    assert [(step.what, quantity_text(step.quantity_micro), step.unit, step.price_micro, step.amount_micro)
            for step in made.steps] == [
        ("CPU", "768", "core-hour", 3_000_000, 2_304_000_000), ("GPU (2 a100)", "96", "GPU-hour", 10_000_000, 960_000_000),
        ("Memory", "6,144", "GiB-hour", 1_000_000, 6_144_000_000), ("Rounding", "0", "", 0, 0)]
    assert made.total_micro == 9_408_000_000 and made.card.name == "gov-v1" and made.end == START + timedelta(days=2)
    assert "this is the most it costs" in " ".join(made.notes)


@settings(max_examples=30)
@given(BIG_REQUESTS, st.integers(1, 50))
def test_a_quote_is_what_rating_says_times_the_tasks(asked: Request, count: int) -> None:
    made = quote(replace(asked, count=count), START, "gov", DEFAULT_CARDS)
    assert made.total_micro == count * rated(asked) and adds_up(made)


@settings(max_examples=30)
@given(BIG_REQUESTS)
def test_what_is_called_cheaper_is_cheaper_by_the_same_function(asked: Request) -> None:
    made = quote(asked, START, "mu", DEFAULT_CARDS)
    for other in made.alternatives:
        again = quote(other.request, other.start, "mu", DEFAULT_CARDS)
        assert again.total_micro == other.total_micro == made.total_micro - other.saves_micro < made.total_micro


def test_half_the_memory_is_offered_where_memory_costs_something() -> None:
    assert [one.what for one in quote(GOLDEN, START, "gov", DEFAULT_CARDS).alternatives] == ["half the memory (64G)"]
    free = [with_prices(card, mem=0) for card in DEFAULT_CARDS]
    assert not quote(GOLDEN, START, "gov", free).alternatives


def test_a_card_that_begins_later_this_week_is_a_reason_to_wait() -> None:
    gov = next(card for card in DEFAULT_CARDS if card.tier == "gov")
    cheap = with_prices(replace(gov, version=2, valid_from=START + timedelta(days=5)), cpu=1_000_000)
    made = quote(GOLDEN, START, "gov", (gov, cheap))
    wait = next(one for one in made.alternatives if one.kind == "start")
    assert wait.start + timedelta(seconds=GOLDEN.seconds) == cheap.valid_from        # priced by the card valid at its end
    assert wait.saves_micro == 2 * 768_000_000


def test_tasks_that_wait_for_others_are_priced_when_their_turn_comes() -> None:
    gov = next(card for card in DEFAULT_CARDS if card.tier == "gov")
    dear = with_prices(replace(gov, version=2, valid_from=START + timedelta(days=3)), cpu=4_000_000)
    one_round = quote(replace(GOLDEN, count=10), START, "gov", (gov, dear))
    two_rounds = quote(replace(GOLDEN, count=10, at_once=6), START, "gov", (gov, dear))
    assert two_rounds.total_micro - one_round.total_micro == 4 * 768_000_000 and adds_up(two_rounds)
    assert any("6 at a time" in note for note in two_rounds.notes)


def test_the_policy_says_how_the_price_is_meant() -> None:
    allocated = [replace(card, policy=Policy.ALLOCATED) for card in DEFAULT_CARDS]
    made = quote(GOLDEN, START, "gov", allocated)
    assert made.total_micro == 9_408_000_000 and "bills what is set aside" in " ".join(made.notes)


@pytest.mark.parametrize(("tier", "words"), [("gold", "no rate card for tier 'gold'; there are cards for gov, mu, private")])
def test_a_tier_without_a_card_is_refused(tier: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        quote(GOLDEN, START, tier, DEFAULT_CARDS)


def test_before_the_first_card_there_is_no_price() -> None:
    late = [replace(card, valid_from=START + timedelta(days=30)) for card in DEFAULT_CARDS]
    with pytest.raises(BadRequest, match="has no price before 2026-12-20"):
        quote(GOLDEN, START, "gov", late)


def test_too_much_money_and_too_many_rounds_are_refused_not_wrapped() -> None:
    most = replace(GOLDEN, cpus=10**7, seconds=366 * 86_400)
    with pytest.raises(MoneyError, match="64 bits"):
        quote(replace(most, count=4_000_000), START, "private", DEFAULT_CARDS)
    with pytest.raises(BadRequest, match="take 4,000 rounds"):
        quote(replace(GOLDEN, count=4000, at_once=1), START, "gov", DEFAULT_CARDS)


def test_the_request_stands_in_tres_as_slurm_writes_it() -> None:
    text = tres_text(replace(GOLDEN, gpus=(("a100", 2), ("h100", 1)), nodes=2))
    assert text == "cpu=16,gres/gpu:a100=2,gres/gpu:h100=1,gres/gpu=3,mem=128G,node=2"
    assert (tres(text).cpus, tres(text).gpus, tres(text).mem_mib) == (16, 3, 128 * 1024)
    assert asked_words(GOLDEN) == "16 CPUs, 2 GPUs (a100), 128G of memory, for 2 days"
