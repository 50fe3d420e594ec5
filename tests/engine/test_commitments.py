"""Minimum commitments of a month: prorated half-open by days, split without losing a unit, charged beside the usage."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.commitments import (
    Billed,
    MonthDue,
    MonthLine,
    Months,
    PayersMonth,
    Share,
    minimum,
    misstated,
    months_between,
    months_due,
    split,
)
from engine.errors import MoneyError
from engine.rates import Policy, RateCard, Rounding, flat_prices

ZONE = ZoneInfo("Asia/Bangkok")
OCTOBER, NOVEMBER, DECEMBER = date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 1)
CARD = RateCard("gov", 1, "THB", datetime(2000, 1, 1, tzinfo=UTC), Policy.USED, Rounding.PER_JOB_MINOR, flat_prices(cpu=1_000_000),
                commitment_micro=100_000_000)
# From 11 November in Bangkok: ten days of the old card, twenty of this one.
NEXT = replace(CARD, version=2, valid_from=datetime(2026, 11, 10, 17, tzinfo=UTC), commitment_micro=200_000_000)
UNUSED = replace(CARD, commitment_unused=True)


def of(payer: str, month: date = NOVEMBER, line: str = "gov") -> PayersMonth:
    return PayersMonth(payer, month, line)


def due(cards: list[RateCard], used: dict[PayersMonth, int], billed: dict[PayersMonth, Billed] | None = None,
        tiers: dict[str, str] | None = None, since: dict[str, date] | None = None) -> list[MonthDue]:
    payers = dict.fromkeys(("ann", "bob", "cy"), "gov")
    return months_due(cards, Months(used, billed or {}, payers | (tiers or {}), since or {}), DECEMBER, ZONE)


def test_the_rest_up_to_the_minimum_is_a_line_of_the_month() -> None:
    found = due([CARD], {of("ann"): 60_000_000, of("bob"): 0, of("cy"): 130_000_000})
    assert [(one.of.payer, one.due_micro, one.kind) for one in found] == [
        ("ann", 40_000_000, "commitment"), ("bob", 100_000_000, "commitment"), ("cy", 0, "commitment")]


def test_what_was_billed_is_corrected() -> None:
    [one] = due([CARD], {of("ann"): 75_000_000}, {of("ann"): Billed(40_000_000, True, 1)})
    assert (one.owed_micro, one.kind) == (-15_000_000, "adjustment")
    [one] = due([CARD], {}, {of("ann"): Billed(40_000_000, True, 1)})
    assert one.owed_micro == -40_000_000            # its usage was taken back: a month without usage owes nothing


def test_cards_count_for_the_days_they_hold() -> None:
    """100 × 10/30 + 200 × 20/30 = 166.67 by the minor unit; the parts are cut so that they add up to it."""
    found = minimum([CARD, NEXT], NOVEMBER, ZONE)
    assert (found.micro, found.card) == (166_670_000, NEXT)
    assert found.shares == (Share("gov-v1", 10, 33_334_000), Share("gov-v2", 20, 133_336_000))


def test_a_card_that_begins_in_the_month_counts_from_its_day() -> None:
    exact = replace(NEXT, rounding=Rounding.PER_RECEIPT_MINOR)
    assert minimum([exact], NOVEMBER, ZONE).shares == (Share("gov-v2", 20, 133_333_333),)
    assert minimum([exact], OCTOBER, ZONE).shares == ()
    assert minimum([exact], NOVEMBER, ZoneInfo("UTC")).shares == (Share("gov-v2", 20, 133_333_333),)   # from the 11th's first instant


def test_lines_without_a_commitment_give_nothing() -> None:
    assert due([replace(CARD, commitment_micro=0)], {of("ann"): 5}) == []


def test_a_tiers_minimum_is_of_those_who_have_the_tier() -> None:
    project = replace(CARD, tier="", project="lab")
    used = {of("ann"): 1, of("bob"): 1, of("bob", line="project:lab"): 1}
    found = due([CARD, project], used, {of("cy"): Billed(5, True, 1)}, tiers={"bob": "mu", "cy": "mu"})
    assert [(one.of.payer, one.of.line) for one in found] == [("ann", "gov"), ("bob", "project:lab"), ("cy", "gov")]


def test_a_month_without_usage_owes_only_where_the_card_says_so() -> None:
    assert due([CARD], {}, since={"ann": OCTOBER}) == []
    found = due([UNUSED], {of("ann", OCTOBER): 1}, since={"ann": OCTOBER, "bob": NOVEMBER})
    assert [(one.of.payer, one.of.month, one.due_micro) for one in found] == [
        ("ann", OCTOBER, 99_999_999), ("ann", NOVEMBER, 100_000_000), ("bob", NOVEMBER, 100_000_000)]
    both = [UNUSED, NEXT]                           # of an unused November only the ten days of the card that says so
    assert [one.due_micro for one in due(both, {}, since={"bob": NOVEMBER})] == [33_330_000]


def test_a_line_that_is_not_what_its_cards_make_is_found() -> None:
    book = {card.name: card for card in (CARD, NEXT)}
    shares = tuple((share.rate_card, share.days, share.micro) for share in minimum([CARD, NEXT], NOVEMBER, ZONE).shares)
    line = MonthLine(of("ann"), "CH-1", "paid", "commitment", True, 1, 166_670_000, 0, 0, 166_670_000, "THB", shares)
    assert misstated(line, book) == ""
    assert misstated(replace(line, minimum_micro=1), book) == "its minimum is stated as 1, its cards make 166670000"
    assert "more than 30 days" in misstated(replace(line, shares=(*shares, shares[0])), book)
    assert misstated(replace(line, shares=(), minimum_micro=0), book) == ""


def test_months_follow_each_other_over_the_year() -> None:
    assert months_between(date(2026, 11, 30), date(2027, 2, 1)) == [NOVEMBER, DECEMBER, date(2027, 1, 1)]


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


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 40)), min_size=1, max_size=5), st.sampled_from(Rounding))
def test_a_months_shares_are_its_commitments_by_days(cards: list[tuple[int, int]], rounding: Rounding) -> None:
    """Cards that begin on any days of October and November: shares add up, and are off by less than the rounding."""
    book = [replace(CARD, version=number, valid_from=datetime.fromtimestamp(1_790_787_600 + day * 86_400, UTC), commitment_micro=micro,
                    rounding=rounding) for number, (micro, day) in enumerate(sorted(cards, key=lambda one: one[1]), 1)]
    found = minimum(book, NOVEMBER, ZONE)
    exact = sum(card.commitment_micro * share.days for share in found.shares for card in book if card.name == share.rate_card)
    assert abs(found.micro * 30 - exact) <= (150_000 if rounding is Rounding.PER_JOB_MINOR else 15)
    assert sum(share.days for share in found.shares) <= 30
