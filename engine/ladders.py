"""Month ladders: graduated prices, free quotas and packages as one cumulative price function a meter.

What a payer's use of a meter costs over a month is F(quantity); a run costs F(after) − F(before). So neither the order in
which runs are priced nor where a month is cut changes the month's total. Refuses to know runs, calendars and rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add

import narwhals as nw
import polars as pl

from engine.errors import RateError
from engine.exact import Arithmetic
from engine.meters import Meter
from engine.money import INT64_MAX
from engine.rates import Price, RateCard


def is_ladder(price: Price) -> bool:
    """Whether a unit's price depends on how much was used before it."""
    return bool(price.package) or len(price.steps) > 1 or any(step.above or step.flat_micro for step in price.steps)


@dataclass(frozen=True, slots=True)
class Slot:
    """One counter of a payer's month: a meter, or one GPU model; how many steps any card gives it, and whether packages."""

    number: int
    meter: str
    model: str
    steps: int
    packages: bool

    @property
    def name(self) -> str:
        """`cpu`, `gpu`, `gpu:a100`: what it is called among what is carried."""
        return f"{self.meter}:{self.model}" if self.model else self.meter

    def column(self, what: str) -> str:
        """The name of one of its columns while rating."""
        return f"_{what}_{self.number}"

    def cost(self, arithmetic: Arithmetic, before: nw.Expr, after: nw.Expr) -> nw.Expr:
        """F(after) − F(before) × the meter's unit size: micro-units over base quantities, from the columns of `ladder_table`."""
        parts = [self._step(arithmetic, number, before, after) for number in range(self.steps)]
        if self.packages:
            parts.append(self._packages(arithmetic, before, after))
        return reduce(add, parts)

    def _step(self, arithmetic: Arithmetic, number: int, before: nw.Expr, after: nw.Expr) -> nw.Expr:
        start, end, micro, flat = (nw.col(self.column(f"{what}{number}")) for what in ("from", "to", "micro", "flat"))

        def within(quantity: nw.Expr) -> nw.Expr:
            return nw.when(quantity <= start).then(0).when(quantity < end).then(quantity - start).otherwise(end - start)

        enters = nw.when((before <= start) & (after > start)).then(flat).otherwise(0)
        units = arithmetic.wide(within(after) - within(before))
        return units * arithmetic.wide(micro) + arithmetic.wide(enters) * Meter(self.meter).unit_size

    def _packages(self, arithmetic: Arithmetic, before: nw.Expr, after: nw.Expr) -> nw.Expr:
        size, micro = nw.col(self.column("size")), nw.col(self.column("package"))

        def begun(quantity: nw.Expr) -> nw.Expr:
            return arithmetic.floor(arithmetic.wide(quantity) + arithmetic.wide(size) - 1, arithmetic.wide(size))

        return arithmetic.wide(begun(after) - begun(before)) * arithmetic.wide(micro) * Meter(self.meter).unit_size


def slots_of(cards: Iterable[RateCard], meters: Iterable[str]) -> tuple[Slot, ...]:
    """The counters that `cards` need for `meters`, which have one each at least; GPU models that a card names have their own."""
    prices = [price for card in cards for price in card.prices if price.meter in set(meters)]
    names = sorted({(meter, "") for meter in meters} | {(price.meter, price.model) for price in prices})

    def slot(number: int, meter: str, model: str) -> Slot:
        own = [price for price in prices if (price.meter, price.model) == (meter, model)]
        return Slot(number, meter, model, max([len(price.steps) for price in own], default=1), any(price.package for price in own))

    return tuple(slot(number, *name) for number, name in enumerate(names))


def ladder_table(cards: Iterable[RateCard], slots: Iterable[Slot]) -> pl.DataFrame:
    """One row a card: `_ladder_card`, and of every slot the steps in base quantities and the package; absent prices are 0."""
    rows = [{"_ladder_card": card.name} | {name: value for slot in slots for name, value in _row(card, slot).items()} for card in cards]
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(rows[0], pl.Int64()) | {"_ladder_card": pl.String()})


def _row(card: RateCard, slot: Slot) -> Mapping[str, int]:
    price = next((price for price in card.prices if (price.meter, price.model) == (slot.meter, slot.model)), None)
    unit = Meter(slot.meter).unit_size
    steps = [(_base(step.above, unit, card), step.micro_per_unit, step.flat_micro) for step in price.steps] if price else []
    steps = [(0, 0, 0) for _ in steps] if price and price.package else steps
    steps += [(INT64_MAX, 0, 0)] * (slot.steps - len(steps))
    ends = [start for start, _, _ in steps[1:]] + [INT64_MAX]
    columns: dict[str, int] = {}
    for number, ((start, micro, flat), end) in enumerate(zip(steps, ends, strict=True)):
        columns |= {slot.column(f"from{number}"): start, slot.column(f"to{number}"): end,
                    slot.column(f"micro{number}"): micro, slot.column(f"flat{number}"): flat}
    package = price.package if price else 0
    return columns | {slot.column("size"): max(1, _base(package, unit, card)),
                      slot.column("package"): price.steps[0].micro_per_unit if price and package else 0}


def _base(units: int, unit: int, card: RateCard) -> int:
    if units * unit >= INT64_MAX // 2:
        raise RateError(f"Card {card.name}: {units} units of a step or package are more than can be counted.")
    return units * unit
