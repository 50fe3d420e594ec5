"""The rating function against a plain-Python reference, to the micro-unit; neither order nor cuts of a period matter."""

from __future__ import annotations

from random import Random

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.rates import Policy, RateCard
from engine.rating import CHARGE_SCHEMA, rate
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
@settings(max_examples=120, deadline=None)
def test_equals_the_reference(seed: int, policy: Policy | None) -> None:
    random = Random(seed)
    equal_to_reference(some_runs(random, 20, 6), some_cards(random), policy)
