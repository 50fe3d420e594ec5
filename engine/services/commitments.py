"""Months' minimums: who owes what beside their usage, of months that are over. Reads only; receipts bill it."""

from __future__ import annotations

from datetime import UTC, date, datetime

from engine.commitments import MonthDue, MonthStanding, committed, misstated, month_end, months_due
from engine.policy import allow_payer
from engine.ports import Transaction
from engine.users import Action, Person


def open_months(tx: Transaction, before: datetime, payer: str | None = None) -> list[MonthDue]:
    """Months over by `before`, and by now, whose minimum is not billed as it should be; of everybody, or of one payer."""
    return [due for due in _months(tx, before, payer) if due.owed_micro]


def month_standing(tx: Transaction, payer: str, month: date, by: Person) -> list[MonthStanding]:
    """What a month costs `payer` at least on each line of the book that says so, as it stands now, over or not."""
    allow_payer(by, payer, own=Action.SEE_OWN, others=Action.SEE_ALL)
    lines = tx.commitments.lines(payer, month)
    found = _months(tx, month_end(month, tx.settings.zone), payer, over=False)
    return [MonthStanding(due, tuple(line for line in lines if line.of == due.of)) for due in found if due.of.month == month]


def wrong_lines(tx: Transaction) -> list[str]:
    """Lines of months' minimums that are not what their cards and days make."""
    book = {card.name: card for card in tx.rates.book()}
    return [f"receipt {line.number}, {line.of.payer} {line.of.month:%Y-%m} {line.of.line}: {wrong}"
            for line in tx.commitments.lines() if (wrong := misstated(line, book))]


def _months(tx: Transaction, before: datetime, payer: str | None, over: bool = True) -> list[MonthDue]:
    book, zone = tx.rates.book(), tx.settings.zone
    cards = [card for card in book if card.commitment_micro]
    if not cards:
        return []
    until = (min(before, tx.now) if over else before).astimezone(zone).date().replace(day=1)
    first = max(min(card.valid_from for card in cards), datetime(1971, 1, 1, tzinfo=UTC)).astimezone(zone).date().replace(day=1)
    since, end = (datetime(day.year, day.month, 1, tzinfo=zone) for day in (first, until))
    return months_due(book, tx.commitments.months(committed(book), zone.key, since, end, payer), until, zone)
