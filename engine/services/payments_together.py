"""Payments whose money came as it was asked for, many in one transaction: read, let engine.payments decide, write, a statement a
step instead of one an event.

Only the plain case is done here: money nobody has heard of, for a payment that waits for it, where neither is in anybody's hands.
Everything else is apply_event's, one event a transaction; so nothing here waits for a lock but the ledger's accounts (in ascending
id) and the audit head, last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.documents import DocumentKind, issue_job
from engine.errors import IllegalMove
from engine.ledger import Kind, LedgerName, Posting, arrival_postings
from engine.payments import Decision, EventKind, Known, Payment, ProviderEvent, Step, decide
from engine.ports import Transaction
from engine.receipts import Receipt, ReceiptStatus, check_move
from engine.services.payments import paid_by, tell_money, why_paid
from engine.services.receipts import memo_of, tell_paid


@dataclass(frozen=True, slots=True)
class Settled:
    """An event whose money does what was asked, the payment as it becomes, and the receipt it pays."""

    event: ProviderEvent
    decision: Decision
    payment: Payment
    receipt: Receipt | None

    @property
    def key(self) -> str:
        """What it is posted under."""
        return f"pay:{self.payment.provider}:{self.payment.reference}"

    @property
    def memo(self) -> str:
        """What the ledger says of it."""
        return memo_of(self.receipt) if self.receipt else why_paid(self.payment, self.decision)

    @property
    def postings(self) -> list[Posting]:
        """Out of the provider's clearing, for the receipt and into the wallet."""
        paid = self.payment
        return arrival_postings(LedgerName(Kind.CLEARING, paid.provider, paid.currency), self.receipt.payer if self.receipt else "",
                                paid.settled_micro, paid.wallet, paid.credited_micro)


def apply_together(tx: Transaction, events: Sequence[ProviderEvent]) -> dict[ProviderEvent, Decision]:
    """Apply those of `events` that are plain; what became of them. Refuses as a whole, and nothing is done, where a key of the
    ledger was posted before."""
    plain = _one_of_each(events)
    free = tx.payments.hold_free_money([event.money_name for event in plain]) if plain else set()
    new = free - tx.payments.known_money(sorted(free)) if free else set()
    settled = _decided(tx, [event for event in plain if event.money_name in new])
    if settled:
        _write(tx, settled)
    return {one.event: one.decision for one in settled}


def _one_of_each(events: Iterable[ProviderEvent]) -> list[ProviderEvent]:
    """Words of money that came, where no other word here is of the same money or the same payment."""
    came = sorted((event for event in events if event.kind is EventKind.SUCCEEDED and event.money and event.reference),
                  key=lambda event: event.money_name)
    moneys, references = Counter(event.money_name for event in came), Counter(event.reference for event in came)
    return [event for event in came if moneys[event.money_name] == references[event.reference] == 1]


def _decided(tx: Transaction, events: Sequence[ProviderEvent]) -> list[Settled]:
    """The events that settle a payment which is free, as it then is."""
    payments = tx.payments.free([event.reference for event in events]) if events else {}
    wanted = [payment.receipt_id for payment in payments.values() if payment.receipt_id]
    receipts = tx.receipts.free(wanted) if wanted else {}
    return [made for event in events if (payment := payments.get(event.reference)) and (made := _settled(tx, event, payment, receipts))]


def _settled(tx: Transaction, event: ProviderEvent, payment: Payment, receipts: Mapping[str, Receipt]) -> Settled | None:
    receipt = receipts.get(payment.receipt_id) if payment.receipt_id else None
    fits = (payment.provider, payment.livemode) == (event.provider, event.livemode) and not payment.received_micro
    if not fits or (payment.receipt_id and receipt is None):
        return None
    decision = decide(event, Known(payment, receipt.status if receipt else None), tx.settings.livemode, patient=True)
    return Settled(event, decision, paid_by(payment, event, decision, tx.now), receipt) if decision.step is Step.SETTLE else None


def _write(tx: Transaction, settled: Sequence[Settled]) -> None:
    """As apply_payment does for each of them. The ledger comes last: others wait for its accounts."""
    tx.payments.take_many([one.payment for one in settled])
    tx.outbox.add_many([issue_job(DocumentKind.PAYMENT_RECEIPT, one.payment.id) for one in settled])
    for one in settled:
        tell_money(tx, one.payment, one.event, one.decision)
    _pay(tx, [one for one in settled if one.receipt])
    tx.inbox.wake_orphans(*(one.event.money_name for one in settled))
    posted = tx.ledger.post_many([(one.key, one.memo, one.postings) for one in settled])
    if len(posted) < len(settled):
        raise IllegalMove(f"Some of the money {', '.join(sorted({one.key for one in settled} - set(posted)))} was posted before.")


def _pay(tx: Transaction, settled: Sequence[Settled]) -> None:
    """The receipts are paid."""
    reasons = [(one.receipt, why_paid(one.payment, one.decision)) for one in settled if one.receipt]
    for one, (receipt, reason) in zip(settled, reasons, strict=True):
        check_move(receipt.number, receipt.status, ReceiptStatus.PAID)
        tell_paid(tx, receipt, one.key, reason)
    if reasons:
        tx.receipts.pay_many(reasons, tx.actor, tx.now)
