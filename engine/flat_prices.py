"""A card whose prices depend on neither the time nor the month, as one whole-number formula a run.

Rating in general (engine/rating.py) takes products in 128 bits and explains every meter. Where only the total is asked for,
of millions of runs, the same cost is (n + half) // divisor × step with n a sum of quantity × factor: all common divisors are
taken out of the factors beforehand, so that 64 bits hold it for any run that there is. Refuses to know how it is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from engine.meters import Meter
from engine.money import minor_micro
from engine.rate_frames import Book
from engine.rate_limits import SHARE, WHOLE
from engine.rates import Policy, RateCard, Rounding


@dataclass(frozen=True, slots=True)
class Formula:
    """What a run costs on a card: (n + half) // divisor × step micro-units, n the sum (max_of: the largest; billing_tres:
    only the last) of cpu × core-seconds, gpu × seconds of GPUs without a price of their own + elapsed × (micro-units of the
    others × models / shared, which is whole), mem × MiB-seconds and extra × unit-seconds."""

    card: RateCard
    since: int                              # Unix seconds [since, until) in which the card holds
    until: int
    cpu: int
    gpu: int
    mem: int
    extra: int                              # of nodes, or of Slurm's billing units
    half: int
    divisor: int
    step: int
    models: int                             # of what the GPUs with a price of their own cost together; 0 where there are none
    shared: int                             # what was taken out of every factor but this last one

    @property
    def reads_text(self) -> bool:
        """Whether it needs what AllocTRES says: GPU models, nodes, billing units."""
        return bool(self.extra or self.models)


def formulas(book: Book, names: list[str]) -> list[Formula] | None:
    """The formulas of the cards `names` of `book`; None where one of them has modifiers or month ladders."""
    cards = {card.name: card for card in book.cards}
    rows = [row for row in book.cards_table.iter_rows(named=True) if row["rate_card"] in names]
    if any(row["_calendar"] is not None for row in rows):
        return None
    return [_formula(cards[row["rate_card"]], row["_valid_from"], row["_valid_to"]) for row in rows]


def _formula(card: RateCard, since: int, until: int) -> Formula:
    step = minor_micro(card.currency) if card.rounding is Rounding.PER_JOB_MINOR else 1
    extra = Meter.BILLING if card.policy is Policy.BILLING_TRES else Meter.NODE
    cpu, gpu, mem = (2 * SHARE[str(meter)] * _micro(card, meter) for meter in (Meter.CPU, Meter.GPU, Meter.MEM))
    units = 2 * SHARE["extra"] * _micro(card, extra)
    models = [2 * SHARE["gpu"] * price.steps[0].micro_per_unit for price in card.prices if price.meter == Meter.GPU and price.model]
    shared = gcd(cpu, gpu, mem, units, *models, step * WHOLE)
    return Formula(card, since, until, cpu=cpu // shared, gpu=gpu // shared, mem=mem // shared, extra=units // shared,
                   half=step * WHOLE // shared, divisor=2 * step * WHOLE // shared, step=step,
                   models=2 * SHARE["gpu"] if models else 0, shared=shared)


def _micro(card: RateCard, meter: Meter) -> int:
    price = card.price(meter)
    return price.steps[0].micro_per_unit if price else 0
