"""A rate card in words: what each meter costs, when a factor applies, what else it says. Draws nothing, reads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.words import count, day, moment
from engine.meters import Meter
from engine.money import exact_text
from engine.rate_reading import DAYS
from engine.rate_text import factor_text, hours_text
from engine.rates import Modifier, Policy, Price, RateCard, Rounding

NAMES = {Meter.CPU: "CPU", Meter.GPU: "GPU", Meter.MEM: "Memory", Meter.NODE: "Nodes", Meter.BILLING: "Billing units",
         Meter.TOKENS: "Tokens", Meter.SPARKS: "Sparks", Meter.STORAGE: "Storage", Meter.SESSION: "Sessions"}
POLICY_WORDS = {Policy.USED: "Used: what the job's steps measured", Policy.ALLOCATED: "Allocated: what was set aside",
                Policy.MAX_OF: "Dearest: of what was set aside, only the dearest meter",
                Policy.BILLING_TRES: "Slurm's own billing units"}
ROUNDING_WORDS = {Rounding.PER_JOB_MINOR: "Each job to the minor unit", Rounding.PER_RECEIPT_MINOR: "The receipt's total only"}


@dataclass(frozen=True, slots=True)
class Row:
    """One price of a card: what it is for, for which part of a month's use, and how much per what."""

    meter: str
    part: str
    price_micro: int
    unit: str
    once_micro: int = 0


def meter_name(price: Price) -> str:
    """`CPU`, `GPU`, `GPU a100`."""
    return f"{NAMES[Meter(price.meter)]} {price.model}".strip()


def units(meter: str) -> str:
    """The unit for more than one: `core-hours`."""
    unit = Meter(meter).unit
    return unit if unit.endswith("s") else f"{unit}s"


def short(price: Price) -> str:
    """A price in a few words: `3.00`, `3.00 after 100 free`, `2,500.00 per 100`, `3.00 to 2.50 in 3 steps`."""
    first, last = price.steps[0], price.steps[-1]
    if price.package:
        return f"{exact_text(first.micro_per_unit)} per {price.package:,}"
    if price.is_plain:
        return exact_text(first.micro_per_unit)
    if len(price.steps) == 2 and not (first.micro_per_unit or first.flat_micro or last.flat_micro):
        return f"{exact_text(last.micro_per_unit)} after {last.above:,} free"
    return f"{exact_text(first.micro_per_unit)} to {exact_text(last.micro_per_unit)} in {count(len(price.steps), 'step')}"


def rows(card: RateCard) -> list[Row]:
    """Every price of a card, a row a step."""
    return [row for price in card.prices for row in _price_rows(price)]


def _price_rows(price: Price) -> list[Row]:
    unit = Meter(price.meter).unit
    if price.package:
        what = f"{price.package:,} {units(price.meter)}"
        return [Row(meter_name(price), "in whole packages", price.steps[0].micro_per_unit, f"per {what}")]
    found = []
    for number, step in enumerate(price.steps):
        later = price.steps[number + 1].above if number + 1 < len(price.steps) else None
        found.append(Row(meter_name(price) if number == 0 else "", _part(step.above, later), step.micro_per_unit, f"per {unit}",
                         step.flat_micro))
    return found


def _part(above: int, below: int | None) -> str:
    if not above:
        return "all" if below is None else f"the first {below:,}"
    return f"above {above:,}" if below is None else f"above {above:,}, up to {below:,}"


def modifier(one: Modifier) -> tuple[str, str]:
    """(`peak × 1.2`, `18:00-23:00, Sat, Sun`); without any condition it holds always."""
    parts = [hours_text(one.hours)] if one.hours else []
    if one.weekdays:
        parts.append(_days(sorted(one.weekdays)))
    parts += [f"{when.day} {when:%b %Y}" for when in one.dates]
    parts += [f"{moment(start)} to {moment(end)}" for start, end in one.spans]
    return f"{one.name} × {factor_text(one.factor_ppm)}", ", ".join(parts) or "always"


def _days(weekdays: Sequence[int]) -> str:
    names = [DAYS[number].capitalize() for number in weekdays]
    whole = len(names) > 2 and weekdays[-1] - weekdays[0] == len(names) - 1
    return f"{names[0]} to {names[-1]}" if whole else ", ".join(names)


def more(card: RateCard) -> str:
    """What a card has beside its CPU, GPU and memory prices, in few words; empty for a simple one."""
    models = sum(1 for price in card.prices if price.model)
    others = [NAMES[Meter(price.meter)].lower() for price in card.prices if price.meter not in ("cpu", "gpu", "mem")]
    stepped = sum(1 for price in card.prices if not price.is_plain)
    parts = [count(models, "GPU model") if models else "", *others, f"{stepped} by the month" if stepped else "",
             count(len(card.modifiers), "factor") if card.modifiers else "",
             f"at least {least(card)} a month" if card.commitment_micro else ""]
    return ", ".join(part for part in parts if part)


def least(card: RateCard) -> str:
    """What a month costs at least: `500.00`."""
    return exact_text(card.commitment_micro)


def since(card: RateCard) -> str:
    """`from the beginning`, `since 1 Oct 2026`."""
    return "from the beginning" if card.valid_from.year < 2000 else f"since {day(card.valid_from)}"


def rest(card: RateCard) -> list[tuple[str, str]]:
    """What a card says beside prices and factors: label and words."""
    said = [("Bills", POLICY_WORDS[card.policy]), ("Rounds", ROUNDING_WORDS[card.rounding])]
    if card.commitment_micro:
        said.append(("A month costs at least", f"{least(card)} {card.currency}{', used or not' if card.commitment_unused else ''}"))
    if card.modifiers or any(not price.is_plain for price in card.prices):
        said.append(("Days and months are those of", card.time_zone))
    return said
