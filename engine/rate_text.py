"""How a rate card is written: YAML that people compare and publish, and the JSON terms the rate book keeps.

The text has a fixed order of keys and one price a line, so that two versions can be compared; what it says reads back
as the same card (engine/rate_reading.py). Refuses to know which cards are published.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from difflib import unified_diff
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from engine.money import exact_text
from engine.rate_reading import DAYS, read_drafts
from engine.rates import Modifier, Price, RateCard, Step


def cards_from_text(text: str) -> list[RateCard]:
    """Unpublished cards from YAML or JSON, as `read_drafts` reads them, without their lines."""
    return [draft.card for draft in read_drafts(text)]


def card_facts(card: RateCard) -> dict[str, Any]:
    """The card as plain words, lists and mappings: what JSON shows, what the audit chain keeps, and what reads back."""
    whose = {"tier": card.tier} if card.tier else {"project": card.project}
    facts = {"name": card.name, **whose, "version": card.version, "currency": card.currency,
             "valid_from": _instant_text(card.valid_from, card.time_zone), "policy": str(card.policy), "rounding": str(card.rounding)}
    if card.time_zone != "UTC":
        facts["time_zone"] = card.time_zone
    facts["prices"] = _prices_facts(card.prices)
    if card.modifiers:
        facts["modifiers"] = [_modifier_facts(one, card.time_zone) for one in card.modifiers]
    if card.commitment_micro:
        least = amount(card.commitment_micro)
        facts["commitment"] = {"amount": least, "unused": "true"} if card.commitment_unused else least
    return {**facts, "note": card.note}


def amount(micro: int) -> str:
    """Micro-units as a card has them: `3.00`, `0.000001`."""
    return exact_text(micro).replace(",", "")


def _prices_facts(prices: Iterable[Price]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for meter, group in groupby(prices, key=lambda price: price.meter):
        models = {price.model or "default": _price_facts(price) for price in group}
        facts[meter] = models["default"] if list(models) == ["default"] else models
    return facts


def _price_facts(price: Price) -> Any:
    steps = price.steps
    if price.package:
        return {"package": price.package, "price": amount(steps[0].micro_per_unit)}
    if len(steps) == 1 and not steps[0].flat_micro:
        return amount(steps[0].micro_per_unit)
    if len(steps) == 2 and steps[0] == Step(0, 0) and not steps[1].flat_micro:
        return {"price": amount(steps[1].micro_per_unit), "free": steps[1].above}
    return {"steps": [{"above": step.above, "price": amount(step.micro_per_unit),
                       **({"flat": amount(step.flat_micro)} if step.flat_micro else {})} for step in steps]}


def _modifier_facts(one: Modifier, zone: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": one.name}
    if one.hours:
        facts["hours"] = hours_text(one.hours)
    if one.weekdays:
        facts["days"] = [DAYS[day] for day in sorted(one.weekdays)]
    if one.dates:
        facts["dates"] = [day.isoformat() for day in one.dates]
    if one.spans:
        facts["spans"] = [f"{_instant_text(start, zone)}/{_instant_text(end, zone)}" for start, end in one.spans]
    return {**facts, "factor": factor_text(one.factor_ppm)}


def hours_text(hours: tuple[int, int]) -> str:
    """`18:00-23:00`."""
    return "-".join(f"{minute // 60:02d}:{minute % 60:02d}" for minute in hours)


def factor_text(ppm: int) -> str:
    """`1.2`, `0.875`, `1`."""
    return f"{ppm // 10**6}.{ppm % 10**6:06d}".rstrip("0").rstrip(".")


def cards_to_text(cards: Iterable[RateCard]) -> str:
    """Cards as the YAML that `cards_from_text` reads back."""
    return "\n".join(card_to_text(card, "- ") for card in cards) or "[]\n"


def card_to_text(card: RateCard, lead: str = "") -> str:
    """One card as YAML; a published one says its name in a comment above. `lead` makes it an entry of a list."""
    facts = {key: value for key, value in card_facts(card).items() if key not in ("name", "version")}
    lines = list(_block(facts))
    entry = [f"{lead if number == 0 else ' ' * len(lead)}{line}" for number, line in enumerate(lines)]
    return "\n".join([*([f"# {card.name}"] if card.version else []), *entry]) + "\n"


def difference(old: RateCard, new: RateCard) -> str:
    """What changed from one card to another, as a unified diff of their texts; empty when nothing but the version did."""
    was, now = (card_to_text(card).splitlines(keepends=True)[bool(card.version):] for card in (old, new))
    return "".join(unified_diff(was, now, old.name, new.name, n=100))


def _block(facts: Mapping[str, Any]) -> Iterator[str]:
    """A mapping, a line a key; lists of mappings a line an entry; what has steps or models goes one deeper."""
    for key, value in facts.items():
        if isinstance(value, list):
            yield f"{key}:"
            yield from (f"  - {_flow(entry)}" for entry in value)
        elif isinstance(value, dict) and "price" not in value and "amount" not in value:
            yield f"{key}:"
            yield from (f"  {line}" for line in _block(value))
        elif key != "note" or value:
            yield f"{key}: {_flow(value) if key != 'note' else _quoted(value)}"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value)


def _quoted(text: str) -> str:
    """Free text; in quotes unless nothing in it could be taken for anything else."""
    if re.fullmatch(r"[^\W\d_][\w .,;()/%+-]*", text):
        return text
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**9).rstrip("\n")


def terms(card: RateCard) -> dict[str, Any]:
    """What a card charges, as JSON: prices and modifiers in micro-units and parts per million, commitment, time zone."""
    return {
        "prices": [{"meter": price.meter, "model": price.model, "package": price.package, "steps": [
            [step.above, step.micro_per_unit, step.flat_micro] for step in price.steps]} for price in card.prices],
        "modifiers": [{
            "name": one.name, "factor_ppm": one.factor_ppm, "hours": list(one.hours) if one.hours else None,
            "weekdays": sorted(one.weekdays), "dates": [day.isoformat() for day in one.dates],
            "spans": [[_instant_text(start), _instant_text(end)] for start, end in one.spans]} for one in card.modifiers],
        "commitment_micro": card.commitment_micro, "commitment_unused": card.commitment_unused, "time_zone": card.time_zone}


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


def _instant_text(instant: datetime, zone: str = "UTC") -> str:
    """With the offset of `zone`, so that a card's own midnights are seen to be some; UTC is `Z`."""
    return instant.astimezone(UTC if zone == "UTC" else ZoneInfo(zone)).isoformat().replace("+00:00", "Z")
