"""Compare a provider's day with ours: what was missing here is applied as its webhook would have been, then both are compared
and the comparison is kept. The provider is asked between transactions, by the sidecar or a command, never here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from engine.money import minor_micro
from engine.payments import EventKind, Movement, ProviderEvent, Step
from engine.policy import allow
from engine.ports import Transaction
from engine.reconciliation import Comparison, DaySpan, check_over, compare, event_of, in_our_currencies, left_out
from engine.services.events import CAME, apply_event
from engine.users import Action, Person

DAY = "reconcile.day"


def missing(tx: Transaction, provider: str, theirs: Sequence[Movement]) -> list[ProviderEvent]:
    """What the provider's movements say that our books have not heard, as events: charges that came, and what happened to
    refunds and disputes we know. What else left is not guessed."""
    live, names = tx.settings.livemode, {name for movement in theirs for name in (movement.money, movement.object)}
    known = _known(tx, provider, theirs)
    awaited = tx.reconciliation.awaited(provider, live, names - known.keys())
    found = [(movement, _kind(movement, known, awaited)) for movement in in_our_currencies(theirs)]
    return [event_of(provider, live, movement, kind) for movement, kind in found if kind is not None]


def _known(tx: Transaction, provider: str, theirs: Sequence[Movement]) -> dict[str, int]:
    """Every name among the movements that our books have, with what it moved."""
    names = {name for movement in theirs for name in (movement.money, movement.object)}
    found: dict[str, int] = {}
    for entry in tx.reconciliation.entries(provider, tx.settings.livemode, tx.now, tx.now, names):
        found[entry.name] = found.get(entry.name, 0) + entry.amount_micro
    return found


def _kind(movement: Movement, known: dict[str, int], awaited: dict[str, str]) -> EventKind | None:
    if movement.amount_minor > 0:
        return EventKind.SUCCEEDED if movement.object == movement.money and movement.money not in known else None
    waited = {"refund": EventKind.REFUND_SUCCEEDED, "dispute": EventKind.DISPUTE_WITHDRAWN}
    return waited[awaited[movement.object]] if movement.object in awaited else None


def apply_missing(tx: Transaction, event: ProviderEvent, heard: datetime) -> bool:
    """Apply what a movement says; True when it changed something."""
    step = apply_event(tx, event, heard).step
    tx.audit.record("reconciliation.applied", f"payment:{event.reference or event.money}", provider=event.provider, kind=str(event.kind),
                    money=event.money, amount_minor=event.amount_minor, currency=event.currency, step=str(step))
    return step in (*CAME, Step.BOOK)


def compare_day(tx: Transaction, provider: str, span: DaySpan, theirs: Sequence[Movement]) -> Comparison:
    """The provider's movements of the wider span beside our books."""
    names = {name for movement in theirs for name in (movement.money, movement.object)}
    ours = tx.reconciliation.entries(provider, tx.settings.livemode, span.start, span.end, names)
    minor = {currency: minor_micro(currency) for currency in {*(one.currency for one in ours), *(one.currency for one in theirs)}}
    return compare(span, ours, [(movement.object, movement) for movement in theirs], minor)


def keep_day(tx: Transaction, provider: str, day: date, theirs: Sequence[Movement], applied: int, by: str) -> int:
    """Compare and keep the comparison; its number."""
    span = DaySpan.of(day, tx.settings.zone)
    found = compare_day(tx, provider, span, in_our_currencies(theirs))
    number = tx.reconciliation.add(provider, tx.settings.livemode, day, found, applied, left_out(span, theirs), by)
    tx.audit.record("reconciliation.run", f"reconciliation:{number}", provider=provider, day=day.isoformat(), outcome=str(found.outcome),
                    differences=len(found.lines), applied=applied)
    return number


def keep_failure(tx: Transaction, provider: str, day: date, why: str, by: str) -> int:
    """Keep that the provider did not tell."""
    return tx.reconciliation.add(provider, tx.settings.livemode, day, None, 0, why, by)


def may_reconcile(tx: Transaction, day: date, by: Person) -> None:
    """Refuse whoever may not, and a day that is not over."""
    allow(by, Action.REFUND)
    check_over(day, tx.now, tx.settings.zone)


def ask_reconciliation(tx: Transaction, provider: str, day: date, key: str, by: Person) -> bool:
    """Have a sidecar reconcile a day soon; `key` makes one pressing of a button one run."""
    may_reconcile(tx, day, by)
    tx.audit.record("reconciliation.asked", f"reconciliation:{provider}", provider=provider, day=day.isoformat())
    return tx.outbox.add(DAY, f"{provider}:{day}:{key}", {"provider": provider, "day": day.isoformat(), "by": by.name})
