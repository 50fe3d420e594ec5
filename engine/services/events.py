"""The one way in for what providers say: an event goes to whoever knows its kind. The webhook's worker, the return page and
the reconciler all come through here."""

from __future__ import annotations

from datetime import datetime

from engine.disputes import CLOSES
from engine.errors import NotFound
from engine.payments import PAYMENT_KINDS, Decision, EventKind, ProviderEvent, Step
from engine.policy import allow
from engine.ports import Transaction
from engine.refunds import TOLD
from engine.services.disputes import apply_dispute
from engine.services.payments import apply_payment
from engine.services.refunds import apply_refund
from engine.users import Action, Person

DISPUTES = (EventKind.DISPUTE_OPENED, EventKind.DISPUTE_WITHDRAWN, EventKind.DISPUTE_REINSTATED, *CLOSES)
CAME = (Step.SETTLE, Step.CREDIT, Step.KEEP)


def apply_event(tx: Transaction, event: ProviderEvent, since: datetime) -> Decision:
    """Apply `event`, first heard `since`, however often it comes. Waiting changes nothing and is the caller's to repeat; an
    orphan speaks of money that has not come, and is the caller's to keep until wake_orphans finds it."""
    if event.kind in PAYMENT_KINDS:
        decision = apply_payment(tx, event, since)
        if decision.step in CAME:
            tx.inbox.wake_orphans(event.money_name)
        return decision
    if event.kind in TOLD:
        return apply_refund(tx, event, since)
    if event.kind in DISPUTES:
        return apply_dispute(tx, event, since)
    return Decision(Step.IGNORE, f"nothing is done about {event.kind}")


def replay_event(tx: Transaction, id: int, by: Person) -> None:
    """Have an event of the inbox applied again, now. Harmless: each money object is posted once."""
    allow(by, Action.REFUND)
    if not tx.inbox.replay(id):
        raise NotFound(f"No event {id} can be replayed: it is not in the inbox, or a sidecar has it in hand.")
    tx.audit.record("inbox.replayed", f"inbox:{id}")
