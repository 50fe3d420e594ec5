"""What the page of bank statements shows. Draws nothing, changes nothing; the page has checked the role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from dashboard.connection import store
from data.postgres.store import PostgresTransaction
from engine.bank import BankLine, LineState, NewLine
from engine.services.bank import proposal

MOST = 500


@dataclass(frozen=True, slots=True)
class Statement:
    """Lines in a state with these words, what each names, and how many there are in each state."""

    now: datetime
    currency: str
    lines: list[BankLine]
    named: list[str]
    counts: dict[str, int]
    waiting_micro: dict[str, int]           # by currency
    account: bool                           # an account of the site is set


def statement(state: str, text: str) -> Statement:
    """The newest lines."""
    def read(tx: PostgresTransaction) -> Statement:
        lines, waiting = tx.bank.listed(state, text, MOST), tx.bank.listed(str(LineState.WAITING), "", 20_000)
        sums: dict[str, int] = {}
        for line in waiting:
            sums[line.currency] = sums.get(line.currency, 0) + line.amount_micro
        site = tx.settings
        return Statement(tx.now, site.default_currency, lines, [_named(tx, line) for line in lines], tx.bank.counts(), sums,
                         bool(site.promptpay_id or site.bank_iban))
    return store().read(read)


def _named(tx: PostgresTransaction, line: BankLine) -> str:
    if line.state is not LineState.WAITING:
        return ""
    found = proposal(tx, line)
    return found.reference if found else ""


def brought_before(lines: Sequence[NewLine]) -> int:
    """How many of these lines are here already."""
    return store().read(lambda tx: len(tx.bank.known([line.key for line in lines])))


def as_rows(found: Statement) -> pl.DataFrame:
    """The lines as a table, money in micro-units."""
    return pl.DataFrame({
        "line": [line.id for line in found.lines], "booked_on": [line.booked_on for line in found.lines],
        "amount_micro": [line.amount_micro for line in found.lines], "currency": [line.currency for line in found.lines],
        "text": [line.text for line in found.lines], "bank_ref": [line.bank_ref for line in found.lines],
        "names": found.named, "state": [str(line.state) for line in found.lines], "note": [line.note for line in found.lines],
        "source": [line.source for line in found.lines]},
        schema={"line": pl.Int64, "booked_on": pl.Date, "amount_micro": pl.Int64, "currency": pl.String, "text": pl.String,
                "bank_ref": pl.String, "names": pl.String, "state": pl.String, "note": pl.String, "source": pl.String})
