"""Minimum commitments of a month: prorated half-open by days, split without losing a unit, charged beside the usage."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.commitments import Part, month_lines, month_parts, split
from engine.errors import MoneyError
from engine.rates import Policy, RateCard, Rounding, flat_prices

CARD = RateCard("gov", 1, "THB", datetime(2000, 1, 1, tzinfo=UTC), Policy.USED, Rounding.PER_JOB_MINOR, flat_prices(cpu=1_000_000),
                commitment_micro=100_000_000, time_zone="Asia/Bangkok")
# From 11 November in Bangkok: ten days of the old card, twenty of this one.
NEXT = replace(CARD, version=2, valid_from=datetime(2026, 11, 10, 17, tzinfo=UTC), commitment_micro=200_000_000)


def test_the_rest_up_to_the_minimum_is_a_line_of_the_month() -> None:
    lines = month_lines([CARD], 2026, 11, {("ann", "gov"): 60_000_000, ("bob", "gov"): 0, ("cy", "gov"): 130_000_000})
    assert [(line.payer, line.amount_micro) for line in lines] == [("ann", 40_000_000), ("bob", 100_000_000), ("cy", 0)]
    assert lines[0].month == date(2026, 11, 1)


def test_cards_count_for_the_days_they_hold() -> None:
    """100 × 10/30 + 200 × 20/30 = 166.67 by the minor unit; the parts are cut so that they add up to it."""
    line, = month_lines([CARD, NEXT], 2026, 11, {("ann", "gov"): 0})
    assert line.amount_micro == 166_670_000
    assert line.parts == (Part("gov-v1", 10, 33_334_000), Part("gov-v2", 20, 133_336_000))


def test_a_card_that_begins_in_the_month_counts_from_its_day() -> None:
    exact = replace(NEXT, rounding=Rounding.PER_RECEIPT_MINOR)
    assert month_parts([exact], 2026, 11) == (Part("gov-v2", 20, 133_333_333),)
    assert month_parts([exact], 2026, 10) == ()


def test_lines_without_a_commitment_give_nothing() -> None:
    assert month_lines([replace(CARD, commitment_micro=0)], 2026, 11, {("ann", "gov"): 5}) == []


def test_the_odd_unit_goes_to_the_largest_remainder_then_to_the_first_named() -> None:
    assert split(100, [1, 1, 1]) == [34, 33, 33]
    assert split(10, [2, 5]) == [3, 7]
    assert split(11, [1, 3, 4]) == [1, 4, 6]
    with pytest.raises(MoneyError):
        split(1, [0, 0])


@given(st.integers(0, 10**15), st.lists(st.integers(0, 10**9), min_size=1, max_size=8).filter(any))
def test_a_split_loses_nothing(total: int, shares: list[int]) -> None:
    parts = split(total, shares)
    assert sum(parts) == total
    assert all(abs(part * sum(shares) - total * share) < sum(shares) for part, share in zip(parts, shares, strict=True))
