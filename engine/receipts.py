"""Receipts: what turns unbilled runs into a document with a number. States, legal moves and sums; no table, no clock.

A line is what one run still owes: its charge less what live lines already billed for it. The first line of a run is
its `usage`; whatever a later correction adds or takes is an `adjustment` on the next receipt.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import polars as pl

from engine.errors import DomainError, IllegalMove, NothingToBill
from engine.money import amount_text, round_to_minor, share_to_minor

AMOUNTS = ("cpu_core_seconds", "gpu_seconds", "mem_mib_seconds", "extra_seconds", "cpu_micro", "gpu_micro", "mem_micro",
           "extra_micro", "rounding_micro", "cost_micro")

# One row a run that owes something. `billed_*` are sums over its live lines, null when it is on none;
# `has_usage_line` is false again once the receipt with its usage line was void.
OPEN_SCHEMA: dict[str, pl.DataType] = {
    "usage_id": pl.Int64(), "revision": pl.Int32(), "run_key": pl.String(), "currency": pl.String(), "tier": pl.String(),
    "rate_card": pl.String(), "policy": pl.String(), **{name: pl.Int64() for name in AMOUNTS},
    **{f"billed_{name}": pl.Int64() for name in AMOUNTS}, "has_usage_line": pl.Boolean(),
}


class ReceiptStatus(StrEnum):
    """Where a receipt stands."""

    PENDING = "pending"
    """Issued and owed."""
    PAID = "paid"
    """Settled in full."""
    REFUNDED = "refunded"
    """Paid once, given back."""
    VOID = "void"
    """Taken back before it was paid; its jobs are free to be billed again."""


MOVES: dict[ReceiptStatus, frozenset[ReceiptStatus]] = {
    ReceiptStatus.PENDING: frozenset({ReceiptStatus.PAID, ReceiptStatus.VOID}),
    ReceiptStatus.PAID: frozenset({ReceiptStatus.REFUNDED, ReceiptStatus.PENDING}),   # back to pending: a mark reverted
    ReceiptStatus.REFUNDED: frozenset(),
    ReceiptStatus.VOID: frozenset(),
}


class MixedCurrencies(DomainError):
    """Jobs in several currencies cannot stand on one receipt."""

    code = "mixed_currencies"


@dataclass(frozen=True, slots=True)
class Receipt:
    """One receipt as it was issued, and where it stands."""

    id: str
    number: str
    payer: str
    tier: str
    currency: str
    status: ReceiptStatus
    ended_before: datetime
    lines: int
    subtotal_micro: int
    tax_name: str
    tax_ppm: int
    tax_micro: int
    rounding_micro: int
    total_micro: int
    issued_at: datetime
    issued_by: str
    due_at: datetime
    paid_at: datetime | None


@dataclass(frozen=True, slots=True)
class Draft:
    """A receipt that is not issued yet: its lines (a frame) and its sums in micro-units."""

    currency: str
    tier: str
    lines: pl.DataFrame
    subtotal_micro: int
    tax_micro: int
    rounding_micro: int
    income_micro: dict[str, int]            # per meter
    line_rounding_micro: int                # what rounding on the lines adds up to

    @property
    def total_micro(self) -> int:
        """What is to be paid."""
        return self.subtotal_micro + self.tax_micro + self.rounding_micro


def check_move(number: str, status: ReceiptStatus, to: ReceiptStatus) -> None:
    """Refuse a move that is not legal."""
    if to not in MOVES[status]:
        raise IllegalMove(f"Receipt {number} is {status} and cannot become {to}.")


def open_lines(runs: pl.DataFrame) -> pl.DataFrame:
    """What each run of OPEN_SCHEMA still owes, as lines: its usage, or what a correction of it adds or takes."""
    owed = [(pl.col(name) - pl.col(f"billed_{name}").fill_null(0)).alias(name) for name in AMOUNTS]
    kind = pl.when("has_usage_line").then(pl.lit("adjustment")).otherwise(pl.lit("usage")).alias("kind")
    lines = runs.with_columns(kind, *owed)
    return lines.drop("has_usage_line", *(f"billed_{name}" for name in AMOUNTS))


def draft(runs: pl.DataFrame, tax_ppm: int) -> Draft:
    """The receipt that `runs` (OPEN_SCHEMA, one payer) would make; refused when there is nothing, or nothing owed.

    Tax is taken on the sum of the lines and rounded to the minor unit; what is then left below a minor unit is the
    receipt's rounding. With a card that rounds per job both are zero unless there is tax.
    """
    lines = open_lines(runs)
    if lines.is_empty():
        raise NothingToBill("No ended job is unbilled.")
    currencies = lines["currency"].unique().sort().to_list()
    if len(currencies) > 1:
        raise MixedCurrencies(f"They are {', '.join(currencies)}: bill them up to the day the currency changed.")
    currency = currencies[0]
    subtotal = int(lines["cost_micro"].sum())
    if subtotal < 0:
        raise NothingToBill(f"Corrections give back {amount_text(-subtotal, currency)} {currency}; they wait for the next jobs.")
    tax = share_to_minor(subtotal, tax_ppm, currency)
    rounding = round_to_minor(subtotal + tax, currency) - subtotal - tax
    income = {meter: int(lines[f"{meter}_micro"].sum()) for meter in ("cpu", "gpu", "mem", "extra")}
    return Draft(currency, str(lines["tier"][-1]), lines, subtotal, tax, rounding, income, int(lines["rounding_micro"].sum()))
