"""A receipt's lines as people read them: one row a meter and card, corrections as rows of their own, sums that agree.

What is shown has two decimals; a row of its own says what the jobs' rounding adds, so that the shown parts are the subtotal.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from dashboard import words
from dashboard.reads import ReceiptPage
from engine.money import round_to_minor
from engine.rates import METERS, RateCard
from engine.receipts import Receipt

NAMES = {"cpu": "CPU core-hours", "gpu": "GPU hours", "mem": "Memory GiB-hours"}
QUANTITIES = {"cpu": "cpu_core_seconds", "gpu": "gpu_seconds", "mem": "mem_mib_seconds"}


def lines(page: ReceiptPage) -> list[dict[str, object]]:
    """The rows of the document; `amount` adds up to the subtotal."""
    receipt = page.receipt
    rows = [row for group in page.meters.filter(kind="usage").iter_rows(named=True) for row in _meter_rows(group, page.cards, receipt.currency)]
    rows += [_adjustment(group, page.cards) for group in page.adjustments.iter_rows(named=True)]
    rest = receipt.subtotal_micro - sum(round_to_minor(int(row["amount_micro"]), receipt.currency) for row in rows)  # type: ignore[call-overload]
    if rest:
        rows.append({"what": "Rounding of the jobs", "quantity": None, "unit": "", "price": None, "amount_micro": rest})
    return [row | {"amount": round_to_minor(int(row["amount_micro"]), receipt.currency) / 1e6} for row in rows]  # type: ignore[call-overload]


def _meter_rows(group: Mapping[str, int], cards: Mapping[str, RateCard], currency: str) -> list[dict[str, object]]:
    """One row a meter that was used, in the fixed order; the card is named where there are several."""
    card = cards[str(group["rate_card"])]
    return [_row(NAMES[meter], meter, group, card) for meter in METERS if group[QUANTITIES[meter]]]


def _row(what: str, meter: str, group: Mapping[str, int], card: RateCard) -> dict[str, object]:
    return {"what": what, "quantity": words.in_units_micro(group[QUANTITIES[meter]], meter) / 1e6, "unit": words.METER_UNITS[meter],
            "price": card.price_micro(meter) / 1e6, "amount_micro": group[f"{meter}_micro"]}


def _adjustment(group: Mapping[str, int], cards: Mapping[str, RateCard]) -> dict[str, object]:
    """A correction of one job: its quantity and price when one meter moved, else the sum alone."""
    what = f"Adjustment: job {group['job_id']} corrected"
    moved = [meter for meter in METERS if group[QUANTITIES[meter]]]
    if len(moved) == 1:
        return _row(what, moved[0], group, cards[str(group["rate_card"])]) | {"amount_micro": group["cost_micro"]}
    return {"what": what, "quantity": None, "unit": "", "price": None, "amount_micro": group["cost_micro"]}


def sums(receipt: Receipt) -> list[tuple[str, str]]:
    """Subtotal, tax where there is any, rounding."""
    percent = f"{receipt.tax_ppm / 10_000:g}%"
    tax = [(f"{receipt.tax_name} {percent}", words.money(receipt.tax_micro))] if receipt.tax_ppm else []
    return [("Subtotal", words.money(receipt.subtotal_micro)), *tax, ("Rounding", words.money(receipt.rounding_micro))]


def several_cards(meters: pl.DataFrame) -> bool:
    """True when the jobs on it were priced by more than one card."""
    return meters.filter(kind="usage")["rate_card"].n_unique() > 1
