"""Money stays whole: conversion at the border, rounding once, words made from the integer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import MoneyError
from engine.money import (
    Money,
    amount_text,
    contained_to_minor,
    exact_text,
    from_minor,
    parse_micro,
    round_to_minor,
    share_to_minor,
    shared_out,
    to_minor,
)

AMOUNTS = st.integers(-(10**15), 10**15)


def test_satang_become_micro_units_and_back() -> None:
    assert from_minor(6060, "THB") == Money(60_600_000, "THB")
    assert to_minor(Money(60_600_000, "THB")) == 6060
    assert from_minor(61, "JPY") == Money(61_000_000, "JPY")


def test_a_fraction_of_a_satang_is_refused() -> None:
    with pytest.raises(MoneyError, match="no whole number of THB minor units"):
        to_minor(Money(60_605_000, "THB"))


@pytest.mark.parametrize("wrong", [1.5, "1", True, None, 2**63])
def test_only_whole_numbers_that_fit_are_money(wrong: object) -> None:
    with pytest.raises(MoneyError):
        Money(wrong, "THB")  # type: ignore[arg-type]


def test_currencies_do_not_mix() -> None:
    with pytest.raises(MoneyError, match="THB and USD cannot be added"):
        Money(1, "THB") + Money(1, "USD")
    with pytest.raises(MoneyError, match="'XXX' is not one of"):
        Money(1, "XXX")


def test_a_share_is_rounded_once() -> None:
    """7 % of 71,423 micro is 4,999.61: nothing, though 5,000 would be a satang."""
    assert share_to_minor(71_423, 70_000, "THB") == 0
    assert share_to_minor(71_429, 70_000, "THB") == 10_000
    assert share_to_minor(-71_429, 70_000, "THB") == -10_000
    assert share_to_minor(60_600_000, 70_000, "THB") == 4_240_000           # 4.242


@given(AMOUNTS)
def test_rounding_is_nearest_and_symmetric(micro: int) -> None:
    rounded = round_to_minor(micro, "THB")
    assert rounded % 10_000 == 0
    assert abs(rounded - micro) <= 5_000
    assert round_to_minor(-micro, "THB") == -rounded


@pytest.mark.parametrize(("micro", "text"), [
    (60_600_000, "60.60"), (0, "0.00"), (-6_000_000, "−6.00"), (1_234_567_890_000, "1,234,567.89"), (4_999, "0.00"), (5_000, "0.01"),
    (-4_000, "0.00")])
def test_amounts_in_words(micro: int, text: str) -> None:
    assert amount_text(micro) == text


@given(AMOUNTS)
def test_exact_text_reads_back(micro: int) -> None:
    assert parse_micro(exact_text(micro)) == micro


@pytest.mark.parametrize("wrong", ["", "1.2345678", "1,5x", "--1", "1e3", "NaN", "½"])
def test_what_is_no_amount_is_refused(wrong: str) -> None:
    with pytest.raises(MoneyError, match="is not an amount"):
        parse_micro(wrong)


def test_tax_that_an_amount_contains() -> None:
    assert contained_to_minor(107_000_000, 70_000, "THB") == 7_000_000
    assert contained_to_minor(60_600_000, 70_000, "THB") == 3_960_000         # 3.964485…
    assert contained_to_minor(-107_000_000, 70_000, "THB") == -7_000_000
    assert contained_to_minor(60_600_000, 0, "THB") == 0


@given(st.integers(0, 10**12), st.integers(0, 10**6))
def test_what_is_contained_is_the_share_of_the_rest(minor: int, ppm: int) -> None:
    """Net and tax are the amount again, and the tax is that of the net to half a minor unit."""
    micro = minor * 10_000
    tax = contained_to_minor(micro, ppm, "THB")
    assert 0 <= tax <= micro and abs((micro - tax) * ppm - tax * 10**6) <= 5_000 * (10**6 + ppm)


@given(st.integers(-(10**12), 10**12), st.dictionaries(st.text(max_size=3), st.integers(-(10**9), 10**9), min_size=1, max_size=6))
def test_what_is_shared_out_is_all_there(micro: int, weights: dict[str, int]) -> None:
    if not sum(weights.values()):
        with pytest.raises(MoneyError):
            shared_out(micro, weights)
        return
    parts = shared_out(micro, weights)
    assert sum(parts.values()) == micro and parts.keys() == weights.keys()
    assert all(abs(parts[name] * sum(weights.values()) - micro * weights[name]) < abs(sum(weights.values())) for name in weights)


def test_odd_units_go_to_the_largest_remainder_then_the_first_named() -> None:
    assert shared_out(10, {"a": 1, "b": 1, "c": 1}) == {"a": 4, "b": 3, "c": 3}
    assert shared_out(10, {"a": 1, "b": 5}) == {"a": 2, "b": 8}
