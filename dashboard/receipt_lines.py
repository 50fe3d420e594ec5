"""A receipt's lines as table cells, and its sums in words. What a line is, engine.receipt_lines decides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from dashboard import words
from dashboard.reads import ReceiptPage
from engine.receipt_lines import ADJUSTMENT, MINIMUM, MINIMUM_ADJUSTMENT, ROUNDING, Line, receipt_lines
from engine.receipts import Receipt

NAMES = {"cpu": "CPU core-hours", "gpu": "GPU hours", "mem": "Memory GiB-hours", "node": "Node-hours",
         "billing": "Billing-unit hours", ROUNDING: "Rounding of the jobs"}
UNITS = {**words.METER_UNITS, "node": words.METER_UNITS["extra"], "billing": words.METER_UNITS["extra"], "": ""}


def lines(page: ReceiptPage) -> list[Mapping[str, object]]:
    """The rows of the document; their amounts add up to the subtotal."""
    receipt = page.receipt
    found = receipt_lines(page.meters.filter(kind="usage").iter_rows(named=True), page.months.iter_rows(named=True),
                          page.adjustments.iter_rows(named=True), page.cards, receipt.currency, receipt.subtotal_micro)
    return [_cells(line) for line in found]


def _cells(line: Line) -> Mapping[str, object]:
    return {"what": _what(line), "quantity": _float(line.quantity_micro), "unit": UNITS[line.meter], "price": _float(line.price_micro),
            "amount": line.amount_micro / 1e6}


def _what(line: Line) -> str:
    if line.what in (MINIMUM, MINIMUM_ADJUSTMENT):
        lead = "Minimum of" if line.what == MINIMUM else "Adjustment: minimum of"
        return f"{lead} {words.month(date.fromisoformat(line.month))}, {line.card_line}"
    return f"Adjustment: job {line.job} corrected" if line.what == ADJUSTMENT else NAMES[line.what]


def _float(micro: int | None) -> float | None:
    return None if micro is None else micro / 1e6


def sums(receipt: Receipt) -> list[tuple[str, str]]:
    """Subtotal, tax where there is any (on top, or within what stands above it), rounding."""
    label = f"{receipt.tax_name} {receipt.tax_ppm / 10_000:g}%" + (" included" if receipt.tax_included else "")
    tax = [(label, words.money(receipt.tax_micro))] if receipt.tax_ppm else []
    rounding = ("Rounding", words.money(receipt.rounding_micro))
    rows = [rounding, *tax] if receipt.tax_included else [*tax, rounding]
    return [("Subtotal", words.money(receipt.subtotal_micro)), *rows]
