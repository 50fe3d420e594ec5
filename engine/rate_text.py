"""How a rate card is written: YAML that people compare and publish, and the JSON terms the rate book keeps.

Prices stand in major units per unit of the meter and are read as exact integer micro-units. Refuses to know which
cards are published.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, TypeVar

import yaml

from engine.errors import MoneyError, RateError
from engine.money import INT64_MAX, exact_text, minor_micro, parse_micro
from engine.rates import METERS, Modifier, Policy, Price, RateCard, Rounding, Step, flat_prices

E = TypeVar("E", bound=StrEnum)
CARD_KEYS = ("tier", "currency", "valid_from", "policy", "rounding", "prices", "note")


def card_facts(card: RateCard) -> dict[str, object]:
    """The card as plain words and numbers, for YAML and JSON."""
    return {"name": card.name, "tier": card.tier, "version": card.version, "currency": card.currency,
            "valid_from": _instant_text(card.valid_from), "policy": str(card.policy), "rounding": str(card.rounding),
            "prices": {meter: exact_text(card.price_micro(meter)).replace(",", "") for meter in METERS}, "note": card.note}


def cards_to_text(cards: Iterable[RateCard]) -> str:
    """Cards as the YAML that `cards_from_text` reads."""
    return yaml.safe_dump([card_facts(card) for card in cards], sort_keys=False, allow_unicode=True)


def cards_from_text(text: str) -> list[RateCard]:
    """Read unpublished cards from YAML or JSON: one card, a list of them, or `cards:` over a list.

    Every refusal is a RateError that names the card and the key that is wrong.
    """
    try:
        given = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  BaseLoader makes nothing but text
    except yaml.YAMLError as error:
        raise RateError(f"It is neither YAML nor JSON: {' '.join(str(error).split())}.") from None
    cards = given.get("cards", given) if isinstance(given, dict) else given
    listed = cards if isinstance(cards, list) else [cards]
    if not listed or not all(isinstance(card, dict) for card in listed):
        raise RateError(f"A card is a mapping with the keys {', '.join(CARD_KEYS)}.")
    return [_card(card, f"card {number}") for number, card in enumerate(listed, 1)]


def terms(card: RateCard) -> dict[str, Any]:
    """What a card charges, as JSON: prices and modifiers in micro-units and parts per million, commitment, time zone."""
    return {
        "prices": [{"meter": price.meter, "model": price.model, "package": price.package, "steps": [
            [step.above, step.micro_per_unit, step.flat_micro] for step in price.steps]} for price in card.prices],
        "modifiers": [{
            "name": one.name, "factor_ppm": one.factor_ppm, "hours": list(one.hours) if one.hours else None,
            "weekdays": sorted(one.weekdays), "dates": [day.isoformat() for day in one.dates],
            "spans": [[_instant_text(start), _instant_text(end)] for start, end in one.spans]} for one in card.modifiers],
        "commitment_micro": card.commitment_micro, "time_zone": card.time_zone}


def prices_of(kept: Mapping[str, Any]) -> tuple[Price, ...]:
    """The prices of `terms`."""
    return tuple(Price(price["meter"], tuple(Step(*step) for step in price["steps"]), price["model"], price["package"])
                 for price in kept["prices"])


def modifiers_of(kept: Mapping[str, Any]) -> tuple[Modifier, ...]:
    """The modifiers of `terms`."""
    return tuple(Modifier(
        one["name"], one["factor_ppm"], (one["hours"][0], one["hours"][1]) if one["hours"] else None, frozenset(one["weekdays"]),
        tuple(date.fromisoformat(day) for day in one["dates"]),
        tuple((datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in one["spans"]))
        for one in kept["modifiers"])


def _card(given: Mapping[str, object], where: str) -> RateCard:
    unknown = sorted(set(given) - set(CARD_KEYS) - {"name", "version"})
    missing = [key for key in CARD_KEYS[:-1] if key not in given]
    if unknown or missing:
        raise RateError(f"In {where}: " + "; ".join(
            [f"unknown key {key!r}" for key in unknown] + [f"{key!r} is missing" for key in missing]) + ".")
    prices = given["prices"]
    if not isinstance(prices, dict) or set(prices) != set(METERS):
        raise RateError(f"In {where}: 'prices' needs exactly the meters {', '.join(METERS)}.")
    amounts = {meter: _price(prices[meter], f"{where}, prices.{meter}") for meter in METERS}
    return RateCard(
        tier=_tier(given["tier"], where), version=0, currency=_currency(given["currency"], where),
        valid_from=_instant(given["valid_from"], where), policy=_word(Policy, given["policy"], f"{where}, policy"),
        rounding=_word(Rounding, given["rounding"], f"{where}, rounding"), note=str(given.get("note", "")),
        prices=flat_prices(**amounts))


def _price(value: object, where: str) -> int:
    try:
        micro = parse_micro(str(value))
    except MoneyError as error:
        raise RateError(f"In {where}: {error.detail}") from None
    if not 0 <= micro <= INT64_MAX // 10**6:
        raise RateError(f"In {where}: {value!r} is not between 0 and {INT64_MAX // 10**12:,} per hour.")
    return micro


def _tier(value: object, where: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", str(value)):
        raise RateError(f"In {where}: tier {value!r} is not a short lower-case word.")
    return str(value)


def _currency(value: object, where: str) -> str:
    try:
        minor_micro(str(value))
    except MoneyError as error:
        raise RateError(f"In {where}: {error.detail}") from None
    return str(value)


def _instant(value: object, where: str) -> datetime:
    try:
        instant = datetime.fromisoformat(str(value))
    except ValueError:
        raise RateError(f"In {where}: valid_from {value!r} is not a time such as 2026-10-01T00:00:00Z.") from None
    return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)


def _instant_text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _word(kind: type[E], value: object, where: str) -> E:
    try:
        return kind(str(value))
    except ValueError:
        raise RateError(f"In {where}: {value!r} is not one of {', '.join(kind)}.") from None
