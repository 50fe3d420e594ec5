"""A receipt's lines as people read them: one row a meter and card, months' minimums and corrections as rows of their own, sums that agree.

What is shown has two decimals; a row of its own says what the jobs' rounding adds, so that the shown parts are the subtotal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dashboard import words
from dashboard.reads import ReceiptPage
from engine.money import round_to_minor
from engine.rates import Policy, RateCard
from engine.receipts import Receipt

NAMES = {"cpu": "CPU core-hours", "gpu": "GPU hours", "mem": "Memory GiB-hours", "extra": "Node-hours"}
QUANTITIES = {"cpu": "cpu_core_seconds", "gpu": "gpu_seconds", "mem": "mem_mib_seconds", "extra": "extra_seconds"}


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the document; the amount is what is shown, in whole minor units."""

    what: str
    amount_micro: int
    quantity: float | None = None
    unit: str = ""
    price: float | None = None

    def cells(self) -> dict[str, object]:
        """As table cells."""
        return {"what": self.what, "quantity": self.quantity, "unit": self.unit, "price": self.price,
                "amount": self.amount_micro / 1e6}


def lines(page: ReceiptPage) -> list[Line]:
    """The rows of the document; their amounts add up to the subtotal."""
    receipt = page.receipt
    exact = [line for group in page.meters.filter(kind="usage").iter_rows(named=True) for line in _meter_lines(group, page.cards)]
    exact += [_minimum(group) for group in page.months.iter_rows(named=True)]
    exact += [_adjustment(group, page.cards) for group in page.adjustments.iter_rows(named=True)]
    shown = [replace(line, amount_micro=round_to_minor(line.amount_micro, receipt.currency)) for line in exact]
    rest = receipt.subtotal_micro - sum(line.amount_micro for line in shown)
    return [*shown, Line("Rounding of the jobs", rest)] if rest else shown


def _meter_lines(group: Mapping[str, int], cards: Mapping[str, RateCard]) -> list[Line]:
    """One line a meter that was used, in the fixed order."""
    card = cards[str(group["rate_card"])]
    return [_line(NAMES[meter], meter, group, card) for meter in QUANTITIES if group[QUANTITIES[meter]]]


def _line(what: str, meter: str, group: Mapping[str, int], card: RateCard) -> Line:
    sold = meter
    if meter == "extra":
        units = card.policy is Policy.BILLING_TRES
        sold, what = ("billing", what.replace("Node-hours", "Billing-unit hours")) if units else ("node", what)
    price = card.only_price_micro(sold)
    return Line(what, group[f"{meter}_micro"], words.in_units_micro(group[QUANTITIES[meter]], meter) / 1e6,
                words.METER_UNITS[meter], None if price is None else price / 1e6)


def _minimum(group: Mapping[str, Any]) -> Line:
    """What a month was short of its minimum, or a correction of that."""
    lead = "Minimum of" if group["kind"] == "commitment" else "Adjustment: minimum of"
    return Line(f"{lead} {words.month(group['month'])}, {group['card_line']}", group["cost_micro"])


def _adjustment(group: Mapping[str, int], cards: Mapping[str, RateCard]) -> Line:
    """A correction of one job: its quantity and price when one meter moved, else the sum alone."""
    what = f"Adjustment: job {group['job_id']} corrected"
    moved = [meter for meter in QUANTITIES if group[QUANTITIES[meter]]]
    if len(moved) == 1:
        return replace(_line(what, moved[0], group, cards[str(group["rate_card"])]), amount_micro=group["cost_micro"])
    return Line(what, group["cost_micro"])


def sums(receipt: Receipt) -> list[tuple[str, str]]:
    """Subtotal, tax where there is any, rounding."""
    percent = f"{receipt.tax_ppm / 10_000:g}%"
    tax = [(f"{receipt.tax_name} {percent}", words.money(receipt.tax_micro))] if receipt.tax_ppm else []
    return [("Subtotal", words.money(receipt.subtotal_micro)), *tax, ("Rounding", words.money(receipt.rounding_micro))]
