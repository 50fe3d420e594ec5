"""Bring a bank's statement, and say whose money each line is: read, decide, write; one transaction each.

The money goes the way every provider's goes, through apply_payment: as asked, too much, too little, late or for nobody. A line
is applied once: its own row is locked first, and the money object is named after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from engine.bank import NAME, BankLine, LineState, NewLine, check_line, check_waiting, event_of, keyed, proposed, references
from engine.errors import IllegalMove, NotFound
from engine.payments import PATIENCE, Decision, Payment
from engine.policy import allow
from engine.ports import Transaction
from engine.services.payments import apply_payment
from engine.users import Action, Person


@dataclass(frozen=True, slots=True)
class Brought:
    """What an import did: how many lines were new, and how many had been brought before."""

    new: int
    known: int


def bring(tx: Transaction, lines: Sequence[NewLine], source: str, by: Person) -> Brought:
    """Keep the lines of a statement; those that were brought before stay as they are."""
    allow(by, Action.SETTLE)
    if not lines:
        raise IllegalMove("There is no money that came in on it.")
    new = tx.bank.add([check_line(line) for line in lines], source, by.name)
    tx.audit.record("bank.brought", f"bank:{source}", lines=len(lines), new=new)
    return Brought(new, len(lines) - new)


def bring_one(tx: Transaction, line: NewLine, by: Person) -> Brought:
    """Keep one line that somebody read off a statement."""
    return bring(tx, keyed([check_line(line)]), "by hand", by)


def apply_line(tx: Transaction, id: int, reference: str, by: Person) -> Decision:
    """The line's money is for our payment `reference`, or, where that is empty, for nobody we know: kept as unapplied, in sight."""
    allow(by, Action.SETTLE)
    line = _locked(tx, id)
    check_waiting(line)
    if reference and tx.payments.match(reference, NAME, tx.settings.livemode) is None:
        raise NotFound(f"No bank transfer {reference!r} was asked for here.")
    decision = apply_payment(tx, event_of(line, reference, tx.settings.livemode), tx.now - PATIENCE - timedelta(seconds=1))
    payment = tx.payments.of_money(NAME, tx.settings.livemode, f"line_{line.id}")
    if payment is None:
        raise IllegalMove(f"The money was not taken: {decision.why}.")
    tx.bank.decide(line, LineState.APPLIED, payment.id, decision.why, by.name, tx.now)
    tx.audit.record("bank.applied", f"bank:{line.id}", payment=payment.reference, amount_micro=line.amount_micro,
                    currency=line.currency, why=decision.why)
    return decision


def set_aside(tx: Transaction, id: int, reason: str, by: Person) -> None:
    """The line is no payer's money; `reason` says what it is. It stays in sight and can be taken up again."""
    allow(by, Action.SETTLE)
    line = _locked(tx, id)
    check_waiting(line)
    if not reason.strip():
        raise IllegalMove("Say what it is: the reason stays with the line.")
    tx.bank.decide(line, LineState.SET_ASIDE, None, reason.strip(), by.name, tx.now)
    tx.audit.record("bank.set_aside", f"bank:{line.id}", amount_micro=line.amount_micro, currency=line.currency, reason=reason.strip())


def take_up(tx: Transaction, id: int, by: Person) -> None:
    """A line that was set aside waits again."""
    allow(by, Action.SETTLE)
    line = _locked(tx, id)
    if line.state is not LineState.SET_ASIDE:
        raise IllegalMove(f"Line {line.id} is {line.state}: only what was set aside can be taken up again.")
    tx.bank.decide(line, LineState.WAITING, None, "", None, None)
    tx.audit.record("bank.taken_up", f"bank:{line.id}", was=line.note)


def proposal(tx: Transaction, line: BankLine) -> Payment | None:
    """The payment that the line's words name, where they name one of ours."""
    found = [payment for reference in references(line.text) if (payment := tx.payments.match(reference, NAME, tx.settings.livemode))]
    return proposed(line, found)


def _locked(tx: Transaction, id: int) -> BankLine:
    line = tx.bank.get(id, lock=True)
    if line is None:
        raise NotFound(f"No line {id} of a bank statement.")
    return line
