"""Receipts: what turns unbilled runs into a document with a number. States, legal moves and sums; no table, no clock.

A line is what one run still owes: its charge less what live lines already billed for it. The first line of a run is
its `usage`; whatever a later correction adds or takes is an `adjustment` on the next receipt. A payer's month whose usage
is short of a card's minimum (engine/commitments.py) has a `commitment` line, and adjustments, of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import polars as pl

from engine.commitments import MonthDue
from engine.errors import DomainError, IllegalMove, MoneyError, NothingToBill
from engine.money import INT64_MAX, amount_text, contained_to_minor, round_to_minor, share_to_minor, shared_out

AMOUNTS = ("cpu_core_seconds", "gpu_seconds", "mem_mib_seconds", "extra_seconds", "cpu_micro", "gpu_micro", "mem_micro",
           "extra_micro", "rounding_micro", "cost_micro")

# One row a run that owes something. `billed_*` are sums over its live lines, null when it is on none;
# `has_usage_line` is false again once the receipt with its usage line was void.
OPEN_SCHEMA: dict[str, pl.DataType] = {
    "usage_id": pl.Int64(), "revision": pl.Int32(), "run_key": pl.String(), "currency": pl.String(), "tier": pl.String(),
    "rate_card": pl.String(), "policy": pl.String(), **{name: pl.Int64() for name in AMOUNTS},
    **{f"billed_{name}": pl.Int64() for name in AMOUNTS}, "has_usage_line": pl.Boolean(),
}
# What a line of a payer's month says: which month of which line of the book, its minimum, what its usage cost, what live
# lines had billed of the shortfall before, and the shares of the cards (JSON); null on the line of a run.
MONTH_SCHEMA: dict[str, pl.DataType] = {
    "card_line": pl.String(), "month": pl.Date(), "minimum_micro": pl.Int64(), "used_micro": pl.Int64(), "before_micro": pl.Int64(),
    "shares": pl.String()}
# The lines of a receipt; `commitment_micro` is what a line adds for a month's minimum.
LINE_SCHEMA: dict[str, pl.DataType] = {
    **{name: dtype for name, dtype in OPEN_SCHEMA.items() if not name.startswith(("billed_", "has_"))}, "kind": pl.String(),
    "commitment_micro": pl.Int64(), **MONTH_SCHEMA}


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
    ReceiptStatus.REFUNDED: frozenset({ReceiptStatus.PAID}),                          # a refund came back
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
    tax_included: bool = False              # the tax is part of the subtotal, not on top of it


@dataclass(frozen=True, slots=True)
class Draft:
    """A receipt that is not issued yet: its lines (a frame) and its sums in micro-units."""

    currency: str
    tier: str
    lines: pl.DataFrame                     # LINE_SCHEMA
    subtotal_micro: int
    tax_micro: int
    rounding_micro: int
    income_micro: dict[str, int]            # per meter, and of months' minimums
    line_rounding_micro: int                # what rounding on the lines adds up to
    tax_included: bool = False              # the tax is part of the subtotal

    @property
    def total_micro(self) -> int:
        """What is to be paid."""
        return self.subtotal_micro + self.rounding_micro + (0 if self.tax_included else self.tax_micro)

    @property
    def net_income_micro(self) -> dict[str, int]:
        """What each meter earns once the tax within the prices is taken out, in proportion."""
        if not self.tax_included or not self.tax_micro:
            return self.income_micro
        tax = shared_out(self.tax_micro, self.income_micro)
        return {meter: amount - tax[meter] for meter, amount in self.income_micro.items()}


def check_move(number: str, status: ReceiptStatus, to: ReceiptStatus) -> None:
    """Refuse a move that is not legal."""
    if to not in MOVES[status]:
        raise IllegalMove(f"Receipt {number} is {status} and cannot become {to}.")


def open_lines(runs: pl.DataFrame) -> pl.DataFrame:
    """What each run of OPEN_SCHEMA still owes, as lines (LINE_SCHEMA): its usage, or what a correction of it adds or takes."""
    owed = [(pl.col(name) - pl.col(f"billed_{name}").fill_null(0)).alias(name) for name in AMOUNTS]
    kind = pl.when("has_usage_line").then(pl.lit("adjustment")).otherwise(pl.lit("usage")).alias("kind")
    none = [pl.lit(None, dtype).alias(name) for name, dtype in MONTH_SCHEMA.items()]
    return runs.with_columns(kind, *owed, *none, commitment_micro=pl.lit(0, pl.Int64)).select(*LINE_SCHEMA)


def month_lines(months: Sequence[MonthDue]) -> pl.DataFrame:
    """What each payer's month still owes beside its usage, as lines (LINE_SCHEMA) without a run."""
    return pl.DataFrame([_month_line(due) for due in months if due.owed_micro], schema=LINE_SCHEMA)


def _month_line(due: MonthDue) -> dict[str, object]:
    card, shares = due.minimum.card, due.minimum.shares
    return dict.fromkeys(AMOUNTS, 0) | {
        "usage_id": None, "revision": due.billed.revision + 1, "run_key": None, "currency": card.currency, "tier": due.tier,
        "rate_card": card.name, "policy": str(card.policy), "kind": due.kind, "commitment_micro": due.owed_micro,
        "cost_micro": due.owed_micro, "card_line": due.of.line, "month": due.of.month, "minimum_micro": due.minimum.micro,
        "used_micro": due.used_micro, "before_micro": due.billed.micro,
        "shares": json.dumps([[share.rate_card, share.days, share.micro] for share in shares])}


def draft(runs: pl.DataFrame, tax_ppm: int, months: Sequence[MonthDue] = (), tax_included: bool = False) -> Draft:
    """The receipt that `runs` (OPEN_SCHEMA) and `months` of one payer would make; refused when there is nothing, or nothing owed.

    Tax is taken on the sum of the lines (or out of the total, when it is included in the prices) and rounded to the minor
    unit; what is then left below a minor unit is the receipt's rounding. With a card that rounds per job both are zero
    unless there is tax.
    """
    lines = pl.concat([month_lines(months), open_lines(runs)])
    if lines.is_empty():
        raise NothingToBill("No ended job is unbilled.")
    currencies = lines["currency"].unique().sort().to_list()
    if len(currencies) > 1:
        raise MixedCurrencies(f"They are {', '.join(currencies)}: bill them up to the day the currency changed.")
    currency = currencies[0]
    subtotal = _sum(lines, "cost_micro")
    if subtotal < 0:
        raise NothingToBill(f"Corrections give back {amount_text(-subtotal, currency)} {currency}; they wait for the next jobs.")
    on_top = 0 if tax_included else share_to_minor(subtotal, tax_ppm, currency)
    total = round_to_minor(subtotal + on_top, currency)
    tax = contained_to_minor(total, tax_ppm, currency) if tax_included else on_top
    rounding = total - subtotal - on_top
    income = {meter: _sum(lines, f"{meter}_micro") for meter in ("cpu", "gpu", "mem", "extra", "commitment")}
    return Draft(currency, str(lines["tier"][-1]), lines, subtotal, tax, rounding, income, _sum(lines, "rounding_micro"), tax_included)


def _sum(lines: pl.DataFrame, column: str) -> int:
    """A sum of money in 128 bits; polars wraps one of 64 without a word."""
    total = int(lines[column].cast(pl.Int128).sum())
    if abs(total) > INT64_MAX:
        raise MoneyError(f"The sum of {len(lines):,} lines does not fit 64 bits: bill fewer jobs at a time.")
    return total
