"""Tokens, Sparks, storage and session minutes by the same cards as runs: prices, packages, ladders, factors, rounding."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import MoneyError, RateError
from engine.metering import METERED_SCHEMA, rate_metered
from engine.rate_frames import CARRIED_SCHEMA
from engine.rates import Modifier, Policy, Price, RateCard, Rounding, Step

NOON = int(datetime(2026, 11, 18, 12, tzinfo=UTC).timestamp())
CARD = RateCard(
    "gov", 1, "USD", datetime(2000, 1, 1, tzinfo=UTC), Policy.USED, Rounding.PER_RECEIPT_MINOR, time_zone="Asia/Bangkok",
    prices=(Price("tokens", (Step(0, 0), Step(2, 500_000), Step(10, 400_000))), Price("sparks", (Step(0, 40),)),
            Price("storage", (Step(0, 200_000),)), Price("session", (Step(0, 1_000_000),), package=60)),
    modifiers=(Modifier("evening", 1_200_000, (18 * 60, 23 * 60)),))


def used(*rows: tuple[str, int], start: int = NOON - 7200, end: int = NOON - 3600, **given: object) -> pl.DataFrame:
    """One row a (meter, quantity), one second after the other; from 17:00 to 18:00 in Bangkok."""
    usual = {"payer": "ann", "tier": "gov", "account_name": "physics", **given}
    told = [{"key": f"k{place}", "meter": meter, "quantity": quantity, "start_at": start - 60 + place, "end_at": end - 60 + place}
            for place, (meter, quantity) in enumerate(rows)]
    return pl.DataFrame([one | usual for one in told], schema=METERED_SCHEMA)


def test_each_meter_has_its_unit() -> None:
    """50 Sparks × 0.00004; 500 GB for 3 of 30 days × 0.20; both in the afternoon, without a factor."""
    charges = rate_metered(used(("sparks", 50), ("storage", 500_000 * 3 * 86_400)), [CARD])
    assert charges["cost_micro"].to_list() == [2_000, 10_000_000]
    assert charges["rate_card"].to_list() == ["gov-v1", "gov-v1"]


def test_a_free_quota_and_steps_of_a_month() -> None:
    """2 M are free: 1.5 M cost nothing, of the next 1.5 M one at 0.50, of 9 M more seven at 0.50 and two at 0.40."""
    charges = rate_metered(used(("tokens", 1_500_000), ("tokens", 1_500_000), ("tokens", 9_000_000)), [CARD])
    assert charges["cost_micro"].to_list() == [0, 500_000, 7 * 500_000 + 2 * 400_000]
    assert charges["before"].to_list() == [0, 1_500_000, 3_000_000]


def test_packages_are_sold_whole_and_used_up_across_rows() -> None:
    """Sessions of 10, 50, 1 and 61 minutes in packages of an hour: the first opens one, the third the next, the last another."""
    charges = rate_metered(used(("session", 600), ("session", 3000), ("session", 60), ("session", 3660)), [CARD])
    assert charges["cost_micro"].to_list() == [1_000_000, 0, 1_000_000, 1_000_000]


def test_the_evening_costs_more() -> None:
    evening = rate_metered(used(("sparks", 100_000), start=NOON, end=NOON + 3600), [CARD])
    assert evening["cost_micro"].to_list() == [4_800_000]


def test_what_was_used_before_is_carried() -> None:
    before = pl.DataFrame([("ann", "gov", 202611, "tokens", 2_000_000)], schema=CARRIED_SCHEMA, orient="row")
    assert rate_metered(used(("tokens", 1_000_000)), [CARD], before)["cost_micro"].to_list() == [500_000]


@given(st.lists(st.integers(0, 4_000_000), min_size=1, max_size=12), st.lists(st.integers(0, 12), max_size=3))
@settings(max_examples=15, deadline=None)
def test_cuts_of_a_month_do_not_matter(quantities: list[int], cuts: list[int]) -> None:
    rows = used(*(("tokens", quantity) for quantity in quantities))
    carried, parts = 0, []
    for start, end in pairwise([0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]):
        before = pl.DataFrame([("ann", "gov", 202611, "tokens", carried)], schema=CARRIED_SCHEMA, orient="row")
        parts.append(rate_metered(rows.slice(start, end - start), [CARD], before))
        carried += sum(quantities[start:end])
    assert pl.concat(parts)["cost_micro"].to_list() == rate_metered(rows, [CARD])["cost_micro"].to_list()


@pytest.mark.parametrize(("rows", "refusal"), [
    (used(("cups", 1)), "Row k0 has 1 of meter 'cups'"), (used(("tokens", -1)), "Row k0 has -1"),
    (used(("tokens", 1), tier="nasa"), "1 rows have no card; the first is k0 of tier 'nasa'")])
def test_bad_rows_are_refused_by_name(rows: pl.DataFrame, refusal: str) -> None:
    with pytest.raises(RateError, match=refusal):
        rate_metered(rows, [CARD])


def test_too_large_is_an_error_never_a_wrapped_number() -> None:
    with pytest.raises(MoneyError, match="look at row k0"):
        rate_metered(used(("sparks", 2**62), start=NOON - 10**8), [CARD])
