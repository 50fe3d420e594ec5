"""The rating function against a plain-Python reference, to the micro-unit; neither order nor cuts of a period matter."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from engine.errors import MoneyError
from engine.money import INT64_MAX
from engine.rate_limits import MEASURED
from engine.rates import Policy, RateCard, flat_prices
from engine.rating import CHARGE_SCHEMA, carried_after, rate
from tests.engine.rating_cases import some_cards, some_runs
from tests.engine.reference_rating import reference

SEEDS = st.integers(0, 2**32)


def equal_to_reference(usage: pl.DataFrame, cards: list[RateCard], policy: Policy | None = None) -> None:
    wanted = reference(usage.iter_rows(named=True), cards, policy)
    charges = rate(usage, cards, policy)
    assert charges["run_key"].to_list() == usage["run_key"].to_list()
    for charge in charges.select("run_key", *CHARGE_SCHEMA).iter_rows(named=True):
        assert charge == {"run_key": charge["run_key"], **wanted[charge["run_key"]]}


@given(SEEDS, st.sampled_from([None, *Policy]))
@settings(max_examples=40, deadline=None)
def test_equals_the_reference(seed: int, policy: Policy | None) -> None:
    random = Random(seed)
    equal_to_reference(some_runs(random, 20, 6), some_cards(random), policy)


@given(SEEDS, st.data())
@settings(max_examples=10, deadline=None)
def test_any_partition_of_a_period_gives_the_same(seed: int, data: st.DataObject) -> None:
    """The period is cut anywhere into parts by time; each part is told what the payers used before it, or is one payer's."""
    random = Random(seed)
    cards, runs = some_cards(random), some_runs(random, 20, 8).sort("end_at", "run_key", nulls_last=True)
    whole = rate(runs, cards).sort("run_key").select("run_key", *CHARGE_SCHEMA)
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, 20), max_size=3))), 20]
    parts, carried = [], None
    for start, end in pairwise(edges):
        part = runs.slice(start, end - start)
        parts.append(rate(part, cards, carried=carried))
        carried = carried_after(part, cards, carried=carried)
    assert_frame_equal(pl.concat(parts).sort("run_key").select(whole.columns), whole)
    by_payer = [rate(part, cards) for part in runs.partition_by("payer")]
    assert_frame_equal(pl.concat(by_payer).sort("run_key").select(whole.columns), whole)


@given(SEEDS, st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_the_order_of_rows_does_not_matter(seed: int, shuffle: Random) -> None:
    random = Random(seed)
    cards, runs = some_cards(random), some_runs(random, 20, 8)
    order = list(range(20))
    shuffle.shuffle(order)
    assert_frame_equal(rate(runs[order], cards).sort("run_key"), rate(runs, cards).sort("run_key"))


@given(SEEDS, st.lists(st.booleans(), min_size=20, max_size=20))
@settings(max_examples=10, deadline=None)
def test_without_ladders_any_part_may_be_rated_alone(seed: int, chosen: list[bool]) -> None:
    random = Random(seed)
    cards, runs = some_cards(random, ladders=False), some_runs(random, 20, 8)
    mask = pl.Series(chosen)
    apart = pl.concat([rate(runs.filter(mask), cards), rate(runs.filter(~mask), cards)])
    assert_frame_equal(apart.sort("run_key"), rate(runs, cards).sort("run_key"))


@given(SEEDS, st.integers(0, 10**7), st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_one_card_alone_with_prices_that_share_much_and_runs_up_to_what_64_bits_hold(seed: int, shared: int, zeros: int) -> None:
    """The runs of one tier are not joined to cards where one prices them all; amounts that fit are right, others are refused."""
    random = Random(seed)
    cards = [replace(card, prices=flat_prices(**{price.meter: price.steps[0].micro_per_unit % 1000 * shared for price in card.prices}))
             for card in some_cards(random, ladders=False, plain=True)]
    large = pl.col(*MEASURED[1:]) * random.choice((1, 10**zeros))
    runs = some_runs(random, 12, 4).filter(tier="mu").with_columns(large)
    wanted = reference(runs.iter_rows(named=True), cards)
    if max((abs(value) for charge in wanted.values() for value in charge.values() if isinstance(value, int)), default=0) > INT64_MAX:
        with pytest.raises(MoneyError):
            rate(runs, cards)
    else:
        equal_to_reference(runs, cards)


@pytest.mark.long
def test_a_hundred_thousand_random_jobs() -> None:
    """Twenty books of random cards with 5,000 random jobs each, one of plain cards only."""
    for seed in range(20):
        random = Random(seed)
        equal_to_reference(some_runs(random, 5_000, 100), some_cards(random, plain=seed == 0))
