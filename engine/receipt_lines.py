"""A receipt's lines as people read them: one a meter and card, months' minimums and corrections as lines of their own, sums that
agree.

What is shown are whole minor units; a line of its own says what rounding the jobs added or took, so that the shown parts are
the subtotal. Says what a line is about by a word (`cpu`, `adjustment`); how that reads in a language is known elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.money import nearest, round_to_minor
from engine.rates import Policy, RateCard

QUANTITIES = {"cpu": "cpu_core_seconds", "gpu": "gpu_seconds", "mem": "mem_mib_seconds", "extra": "extra_seconds"}
UNIT_SIZE = {"cpu": 3600, "gpu": 3600, "mem": 1024 * 3600, "node": 3600, "billing": 3600}     # base quantities in one unit
ADJUSTMENT, ROUNDING, MINIMUM, MINIMUM_ADJUSTMENT = "adjustment", "rounding", "minimum", "minimum_adjustment"
PAYMENT_OF, TOPUP_OF, CREDIT_OF, CREDIT_OF_WALLET = "payment_of", "topup_of", "credit_of", "credit_of_wallet"
CREDIT_OF_PAYMENT, DEBIT_OF = "credit_of_payment", "debit_of"


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `what` is one of:
    a meter's word;
    `adjustment` of job `job`, where `meter` says which one moved when only one did;
    `minimum`: what `month` (its first day, ISO 8601) was short of on the rate book's line `card_line`; `minimum_adjustment`;
    `rounding`;
    on other documents what the money was for: a receipt or credit note `of` that number, a wallet `of` that owner.

    `quantity_micro` are millionths of the meter's unit, `price_micro` micro-units of money for one unit."""

    what: str
    amount_micro: int
    meter: str = ""
    quantity_micro: int | None = None
    price_micro: int | None = None
    job: str = ""
    of: str = ""
    month: str = ""
    card_line: str = ""


def in_units_micro(amount: int, meter: str) -> int:
    """Millionths of the meter's unit in `amount` base quantities, rounded half up."""
    return nearest(amount * 1_000_000, UNIT_SIZE[meter])


def receipt_lines(usage: Iterable[Mapping[str, Any]], months: Iterable[Mapping[str, Any]], adjustments: Iterable[Mapping[str, Any]],
                  cards: Mapping[str, RateCard], currency: str, subtotal_micro: int) -> list[Line]:
    """The lines of a receipt whose amounts add up to `subtotal_micro`.

    `usage` are its usage lines summed by card, `adjustments` its corrections one a job: rate_card, the four quantities and the
    micro-units of each meter; adjustments have job_id and cost_micro besides. `months` are its months' minimums: kind, month,
    card_line, cost_micro."""
    exact = [line for group in usage for line in _meter_lines(group, cards)]
    exact += [_minimum(group) for group in months]
    exact += [_adjustment(group, cards) for group in adjustments]
    shown = [replace(line, amount_micro=round_to_minor(line.amount_micro, currency)) for line in exact]
    rest = subtotal_micro - sum(line.amount_micro for line in shown)
    return [*shown, Line(ROUNDING, rest)] if rest else shown


def _meter_lines(group: Mapping[str, Any], cards: Mapping[str, RateCard]) -> list[Line]:
    """One line a meter that was used, in the fixed order."""
    card = cards[str(group["rate_card"])]
    return [_line(column, group, card) for column in QUANTITIES if group[QUANTITIES[column]]]


def _line(column: str, group: Mapping[str, Any], card: RateCard) -> Line:
    meter = column if column != "extra" else "billing" if card.policy is Policy.BILLING_TRES else "node"
    return Line(meter, int(group[f"{column}_micro"]), meter, in_units_micro(int(group[QUANTITIES[column]]), meter),
                card.only_price_micro(meter))


def _minimum(group: Mapping[str, Any]) -> Line:
    """What a month was short of its minimum, or a correction of that."""
    what = MINIMUM if group["kind"] == "commitment" else MINIMUM_ADJUSTMENT
    return Line(what, int(group["cost_micro"]), month=group["month"].isoformat(), card_line=str(group["card_line"]))


def _adjustment(group: Mapping[str, Any], cards: Mapping[str, RateCard]) -> Line:
    """A correction of one job: its quantity and price when one meter moved, else the sum alone."""
    job, cost = str(group["job_id"]), int(group["cost_micro"])
    moved = [column for column in QUANTITIES if group[QUANTITIES[column]]]
    if len(moved) != 1:
        return Line(ADJUSTMENT, cost, job=job)
    return replace(_line(moved[0], group, cards[str(group["rate_card"])]), what=ADJUSTMENT, amount_micro=cost, job=job)
