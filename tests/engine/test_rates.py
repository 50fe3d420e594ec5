"""Cards as text: what is published reads back; what is wrong is refused with the place."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.errors import RateError
from engine.rate_text import cards_from_text, cards_to_text
from engine.rates import DEFAULT_CARDS, next_version

CARD = """\
tier: gov
currency: THB
valid_from: 2026-10-01T00:00:00+07:00
policy: used
rounding: per_job_minor
prices: {cpu: 3.25, gpu: 12, mem: 0.000001}
"""


def test_yaml_out_is_yaml_in() -> None:
    again = cards_from_text(cards_to_text(DEFAULT_CARDS))
    assert [next_version(card, []) for card in again] == list(DEFAULT_CARDS)


def test_prices_are_exact() -> None:
    [card] = cards_from_text(CARD)
    assert [card.price_micro(meter) for meter in ("cpu", "gpu", "mem")] == [3_250_000, 12_000_000, 1]
    assert card.valid_from == datetime(2026, 9, 30, 17, tzinfo=UTC)


@pytest.mark.parametrize(("was", "becomes", "sentence"), [
    ("cpu: 3.25", "cpu: -3", "prices.cpu: '-3' is not between"),
    ("cpu: 3.25", "cpu: 0.0000001", "prices.cpu: '0.0000001' is not an amount"),
    ("cpu: 3.25", "cpu: free", "prices.cpu: 'free' is not an amount"),
    ("cpu: 3.25, ", "", "'prices' needs exactly the meters cpu, gpu, mem"),
    ("mem:", "disk:", "'prices' needs exactly the meters"),
    ("currency: THB", "currency: XTS", "Currency 'XTS' is not one of"),
    ("policy: used", "policy: guessed", "policy: 'guessed' is not one of used, allocated"),
    ("valid_from: 2026-10-01T00:00:00+07:00", "valid_from: soon", "valid_from 'soon' is not a time"),
    ("tier: gov", "tier: 'Gov; drop'", "tier 'Gov; drop' is not a short lower-case word"),
    ("rounding: per_job_minor\n", "", "'rounding' is missing"),
    ("tier: gov", "tier: gov\ncolour: red", "unknown key 'colour'"),
    ("tier: gov", "tier: [", "neither YAML nor JSON"),
])
def test_a_wrong_card_is_refused_by_name(was: str, becomes: str, sentence: str) -> None:
    with pytest.raises(RateError) as refusal:
        cards_from_text(CARD.replace(was, becomes))
    assert sentence in refusal.value.sentence


def test_a_card_follows_the_newest_of_its_tier() -> None:
    [card] = cards_from_text(CARD)
    second = next_version(card, DEFAULT_CARDS)
    assert second.name == "gov-v2"
    with pytest.raises(RateError, match="is not after that of gov-v2"):
        next_version(card, [*DEFAULT_CARDS, second])


def test_a_card_begins_at_a_whole_second() -> None:
    """Jobs are priced by whole seconds: a card from 10:00:00.5 would take over at 10:00:00, before its own time."""
    [card] = cards_from_text(CARD.replace("T00:00:00+07:00", "T00:00:00.5+07:00"))
    with pytest.raises(RateError, match="is not a whole second"):
        next_version(card, DEFAULT_CARDS)


def test_a_currency_does_not_change_inside_a_tier() -> None:
    [card] = cards_from_text(CARD.replace("THB", "USD"))
    with pytest.raises(RateError, match="billed in THB; a card in USD cannot follow gov-v1"):
        next_version(card, DEFAULT_CARDS)
