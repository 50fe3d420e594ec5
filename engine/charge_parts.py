"""A charge taken apart by its card: one part a price that was applied, exact until it is cut to micro-units.

It does for one run, in plain whole numbers and fractions, what engine/rating.py does for all of them: steps of a month
ladder, packages, GPU models, the policy and the time factor. Nothing is charged by it; it explains, and what it finds
must be what is stored. Refuses to know runs, months and words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from engine.meters import Meter
from engine.rates import METERS, Policy, Price, RateCard, Step


class Kind(StrEnum):
    """What a part's price is for."""

    UNITS = "units"
    """Every unit of the quantity."""
    ONCE = "once"
    """Going above a step's beginning, once a month."""
    PACKAGES = "packages"
    """Whole packages begun."""


@dataclass(frozen=True, slots=True)
class Part:
    """One price that was applied: `quantity` in units of which `size` make what `price_micro` is for.

    `above` and `upto` bound the step in whole units of the meter, None where the price has one step or no end. `exact` is
    the amount in micro-units, time factor included, whether it is added or not; `amount_micro` what it adds."""

    meter: str
    model: str
    kind: Kind
    quantity: int
    size: int
    price_micro: int
    above: int | None
    upto: int | None
    exact: Fraction
    added: bool = True
    amount_micro: int = 0


@dataclass(frozen=True, slots=True)
class Used:
    """What a run brings to its price: base quantities by meter, GPUs by model as AllocTRES names them (of `gpus` in all), and
    for how long. `before` is what its payer had used in the month, by counter: cpu, gpu, gpu:a100."""

    quantities: Mapping[str, int]
    elapsed_seconds: int
    gpus: int
    models: Mapping[str, int]
    before: Mapping[str, int]


def extra_meter(policy: str) -> str:
    """Which meter stands beside cpu, gpu and mem: Slurm's billing units under their policy, nodes otherwise."""
    return Meter.BILLING if policy == Policy.BILLING_TRES else Meter.NODE


def parts(card: RateCard, used: Used, factor: Fraction) -> tuple[Part, ...]:
    """Every part of the price of `used` on `card`, in the order of the meters; `factor` is that of its time.

    The amounts of a meter's parts add up to what the meter costs, cut to micro-units once."""
    extra = extra_meter(card.policy)
    meters = (extra,) if card.policy == Policy.BILLING_TRES else (*METERS, *([extra] if card.price(extra) else []))
    by_meter = {meter: [part for price, quantity in _priced(card, used, meter)
                        for part in _of_price(price, quantity, used.before.get(_counter(price), 0), factor)] for meter in meters}
    added = _added(card.policy, by_meter)
    return tuple(part for meter, found in by_meter.items() for part in _cut(found, meter in added))


def cut_amount(parts: Sequence[Part]) -> int:
    """What these parts cost together, cut to micro-units."""
    exact = sum((part.exact for part in parts), Fraction(0))
    return exact.numerator // exact.denominator


def _priced(card: RateCard, used: Used, meter: str) -> list[tuple[Price, int]]:
    """The prices of a meter with the base quantity each is for: of GPUs one a model that the card names, then the others."""
    quantity, other = used.quantities.get(meter, 0), card.price(meter) or Price(meter, (Step(0, 0),))
    if meter != Meter.GPU:
        return [(other, quantity)]
    named = {price.model: price for price in card.prices if price.meter == Meter.GPU and price.model}
    typed = {model: count for model, count in used.models.items() if model in named and count}
    if sum(typed.values()) > used.gpus:                     # more than there are in all: priced as of no type
        typed = {}
    rest = quantity - sum(typed.values()) * used.elapsed_seconds
    found = [(named[model], count * used.elapsed_seconds) for model, count in sorted(typed.items())]
    return [*found, *([(other, rest)] if rest or not found else [])]


def _counter(price: Price) -> str:
    return f"{price.meter}:{price.model}" if price.model else price.meter


def _of_price(price: Price, quantity: int, before: int, factor: Fraction) -> list[Part]:
    size = Meter(price.meter).unit_size
    if price.package:
        return [_packages(price, quantity, before, size, factor)]
    if len(price.steps) == 1 and not price.steps[0].above:
        return [_part(price, Kind.UNITS, quantity, size, price.steps[0].micro_per_unit, None, None, factor),
                *_once(price, 0, quantity, before, factor)]
    found: list[Part] = []
    for number, step in enumerate(price.steps):
        upto = price.steps[number + 1].above if number + 1 < len(price.steps) else None
        inside = _within(before + quantity, step.above, upto, size) - _within(before, step.above, upto, size)
        found += [_part(price, Kind.UNITS, inside, size, step.micro_per_unit, step.above, upto, factor)] if inside else []
        found += _once(price, number, quantity, before, factor)
    return found or [_part(price, Kind.UNITS, 0, size, price.steps[0].micro_per_unit, None, None, factor)]


def _within(quantity: int, above: int, upto: int | None, size: int) -> int:
    """How much of the first `quantity` of a month lies in a step."""
    top = quantity if upto is None else min(quantity, upto * size)
    return max(0, top - above * size)


def _once(price: Price, number: int, quantity: int, before: int, factor: Fraction) -> list[Part]:
    step, size = price.steps[number], Meter(price.meter).unit_size
    enters = before <= step.above * size < before + quantity
    return [_part(price, Kind.ONCE, 1, 1, step.flat_micro, step.above, None, factor)] if step.flat_micro and enters else []


def _packages(price: Price, quantity: int, before: int, size: int, factor: Fraction) -> Part:
    package = price.package * size
    begun = -(-(before + quantity) // package) - -(-before // package)
    return _part(price, Kind.PACKAGES, begun, 1, price.steps[0].micro_per_unit, None, None, factor)


def _part(price: Price, kind: Kind, quantity: int, size: int, price_micro: int, above: int | None, upto: int | None,
          factor: Fraction) -> Part:
    return Part(price.meter, price.model, kind, quantity, size, price_micro, above, upto,
                Fraction(quantity * price_micro, size) * factor)


def _added(policy: str, by_meter: Mapping[str, Sequence[Part]]) -> set[str]:
    """The meters that the job costs: all, or by max_of the dearest, of equal ones the first."""
    if policy != Policy.MAX_OF:
        return set(by_meter)
    exact = {meter: sum((part.exact for part in found), Fraction(0)) for meter, found in by_meter.items()}
    return {max(exact, key=lambda meter: exact[meter])}


def _cut(found: Sequence[Part], added: bool) -> list[Part]:
    """Amounts whose running sum is the exact one cut: so they add up to the meter's."""
    amounts = [cut_amount(found[:number + 1]) - cut_amount(found[:number]) for number in range(len(found))]
    return [replace(part, added=added, amount_micro=amount if added else 0) for part, amount in zip(found, amounts, strict=True)]
