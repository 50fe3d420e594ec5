"""Bank transfers: a line of a statement, and which payment it speaks of.

A bank tells us nothing by itself: somebody brings its statement, and a person says whose money a line is. A reference of ours in
the payer's words makes a proposal, never a decision. Pure: knows no table and no file.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum

from engine.errors import DomainError, IllegalMove
from engine.money import Money, to_minor
from engine.payments import EventKind, Payment, ProviderEvent

NAME = "bank_qr"
MOST_TEXT = 500
_REFERENCE = re.compile(r"TXN[\s_-]*([0-9A-Z]{16})", re.IGNORECASE | re.ASCII)


class LineState(StrEnum):
    """Where a line stands."""

    WAITING = "waiting"
    """Nobody has said yet whose money it is."""
    APPLIED = "applied"
    """It is in the books: for a receipt, in a wallet, or kept as unapplied."""
    SET_ASIDE = "set_aside"
    """It is no payer's: interest, a transfer of our own."""


class BadLine(DomainError):
    """This line of a bank statement cannot be used."""

    code = "bad_line"


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line as it was brought. `amount_micro` came in; `bank_ref` is the bank's own name for it, where it has one."""

    booked_on: date
    amount_micro: int
    currency: str
    text: str
    bank_ref: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class BankLine:
    """A line that is kept, and what became of it."""

    id: int
    booked_on: date
    amount_micro: int
    currency: str
    text: str
    bank_ref: str
    source: str
    brought_by: str
    brought_at: datetime
    state: LineState
    payment_id: str | None
    note: str
    decided_by: str | None
    decided_at: datetime | None

    @property
    def money(self) -> Money:
        """What came."""
        return Money(self.amount_micro, self.currency)


def keyed(lines: Sequence[NewLine]) -> list[NewLine]:
    """The lines with the key that makes each one: day, amount and the bank's name for it, whatever words stand beside that; else
    day, amount, words and which of those that are the same in one file it is. Statements that overlap bring a line once; two equal
    transfers of a day that the bank does not name are two."""
    seen: Counter[str] = Counter()
    found = []
    for line in lines:
        facts = f"{line.booked_on}|{line.amount_micro}|{line.currency}|"
        facts += f"|{line.bank_ref}" if line.bank_ref else f"{' '.join(line.text.split()).casefold()}|"
        seen[facts] += 1
        which = 1 if line.bank_ref else seen[facts]
        found.append(replace(line, key=hashlib.sha256(f"{facts}|{which}".encode()).hexdigest()))
    return found


def check_line(line: NewLine) -> NewLine:
    """Refuse what is no money that came in."""
    if line.amount_micro <= 0:
        raise BadLine("Only money that came in is kept: the amount is above zero.")
    to_minor(Money(line.amount_micro, line.currency))
    text = " ".join(line.text.split())
    if len(text) > MOST_TEXT:
        raise BadLine(f"Its words are longer than {MOST_TEXT} letters.")
    return replace(line, text=text.replace("\x00", ""))


def references(text: str) -> list[str]:
    """Our references in a payer's words, however a bank wrote them: `TXN 0A1B…`, `txn0a1b…`."""
    return list(dict.fromkeys(f"TXN_{found.upper()}" for found in _REFERENCE.findall(text)))


def proposed(line: BankLine, payments: Iterable[Payment]) -> Payment | None:
    """The one payment whose reference the line names; None when it names none of ours, or several."""
    named = set(references(line.text))
    found = [payment for payment in payments if payment.reference in named and payment.currency == line.currency]
    return found[0] if len(found) == 1 else None


def check_waiting(line: BankLine) -> None:
    """Refuse to decide about a line twice."""
    if line.state is not LineState.WAITING:
        raise IllegalMove(f"Line {line.id} is {str(line.state).replace('_', ' ')} already, by {line.decided_by}.")


def event_of(line: BankLine, reference: str, livemode: bool) -> ProviderEvent:
    """What the line says, as a provider would: money that came, named by the line, for `reference` ("": nobody knows for what)."""
    return ProviderEvent(provider=NAME, key=f"line_{line.id}", kind=EventKind.SUCCEEDED, livemode=livemode, reference=reference,
                         money=f"line_{line.id}", amount_minor=to_minor(line.money), currency=line.currency)
