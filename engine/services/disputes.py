"""Apply what providers say of disputes: read, let engine.disputes decide, write, post, audit; one transaction each.

Every word has its own ledger transaction, so they may come in any order. Locks: the money, the receipt, the payment, the
dispute, then ledger accounts in ascending id, the audit head last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from engine.disputes import CLOSES, Dispute, DisputeStatus, check_move, decide_dispute, lost_postings, touched, withdrawn_postings
from engine.ids import new_id
from engine.ledger import Kind, LedgerName, reversed_postings
from engine.payments import Decision, EventKind, Payment, ProviderEvent, Step
from engine.ports import Transaction
from engine.refunds import divide, left_of


def apply_dispute(tx: Transaction, event: ProviderEvent, since: datetime) -> Decision:
    """Apply what a provider says of a dispute, however often and in whichever order it says it."""
    payment, disputes = _known(tx, event)
    decision = decide_dispute(event, payment, disputes.values(), tx.settings.livemode)
    if decision.step in (Step.IGNORE, Step.CONTRADICT):
        tx.audit.record(f"dispute.{decision.step}", f"dispute:{event.object}", provider=event.provider, event=event.key, why=decision.why)
    if decision.step is Step.BOOK and payment is not None:
        tx.ledger.lock(touched(payment))        # who pays from the wallet at this moment comes first, or sees what is frozen
        _APPLY[event.kind](tx, event, payment, disputes.get(event.object) or _open(tx, event, payment))
    return decision


def _known(tx: Transaction, event: ProviderEvent) -> tuple[Payment | None, dict[str, Dispute]]:
    """The payment that holds its money, locked, and every dispute over that by the provider's name for it."""
    tx.payments.hold_money(event.provider, event.livemode, event.money)
    held = tx.payments.of_money(event.provider, event.livemode, event.money)
    return held, {dispute.provider_ref: dispute for dispute in tx.disputes.of_payment(held.id, lock=True)} if held else {}


def _open(tx: Transaction, event: ProviderEvent, payment: Payment) -> Dispute:
    """Write it down and freeze what of its money is in a wallet."""
    dispute = Dispute(id=new_id("dspt", int(tx.now.timestamp() * 1000)), payment_id=payment.id, provider=payment.provider,
                      livemode=payment.livemode, provider_ref=event.object, amount_micro=event.amount.micro, currency=event.currency,
                      status=DisputeStatus.OPEN, reason=event.why, opened_at=tx.now, withdrawn_at=None, reinstated_at=None,
                      closed_at=None)
    tx.disputes.add(dispute)
    if frozen := min(dispute.amount_micro, payment.credited_micro):
        tx.disputes.freeze(dispute, payment.wallet, frozen)
    _note(tx, dispute, payment, "opened", reason=event.why, frozen_micro=frozen)
    return dispute


def _opened(tx: Transaction, event: ProviderEvent, payment: Payment, dispute: Dispute) -> None:
    """Nothing more: it is written down."""


def _withdrawn(tx: Transaction, event: ProviderEvent, payment: Payment, dispute: Dispute) -> None:
    tx.disputes.keep(replace(dispute, withdrawn_at=tx.now))
    tx.ledger.post(f"dispute-withdrawn:{dispute.id}", f"Withdrawn by the dispute over {payment.reference}", withdrawn_postings(dispute))
    _note(tx, dispute, payment, "withdrawn")


def _reinstated(tx: Transaction, event: ProviderEvent, payment: Payment, dispute: Dispute) -> None:
    tx.disputes.keep(replace(dispute, reinstated_at=tx.now))
    tx.ledger.post(f"dispute-reinstated:{dispute.id}", f"Given back after the dispute over {payment.reference}",
                   reversed_postings(withdrawn_postings(dispute)))
    _note(tx, dispute, payment, "reinstated")


def _closed(tx: Transaction, event: ProviderEvent, payment: Payment, dispute: Dispute) -> None:
    """A provider that does not say apart that it took the money (Paystack, Omise) has taken it by the time it is lost."""
    to = CLOSES[event.kind]
    check_move(dispute.id, dispute.status, to)
    if to is DisputeStatus.LOST and dispute.withdrawn_at is None:
        _withdrawn(tx, event, payment, dispute)
        dispute = replace(dispute, withdrawn_at=tx.now)
    closed = replace(dispute, status=to, closed_at=tx.now)
    tx.disputes.keep(closed if to is DisputeStatus.WON else _lose(tx, payment, closed))
    tx.disputes.unfreeze(dispute)
    if to is DisputeStatus.WON and dispute.status is DisputeStatus.LOST:
        tx.ledger.post(f"dispute-overturned:{dispute.id}", f"The lost dispute over {payment.reference} was won after all",
                       reversed_postings(tx.ledger.postings(f"dispute-lost:{dispute.id}")))
    _note(tx, dispute, payment, str(to))


def _lose(tx: Transaction, payment: Payment, dispute: Dispute) -> Dispute:
    """The wallet pays as far as it goes; what was for a receipt, or is spent, is written off. The dispute, with what it took."""
    wallet = tx.ledger.balance_micro(LedgerName(Kind.WALLET, payment.wallet, payment.currency)) if payment.credited_micro else 0
    lost_before = [other.taken for other in tx.disputes.of_payment(payment.id) if other.id != dispute.id]
    sources = divide(dispute.amount_micro, left_of(payment, tx.refunds.of_payment(payment.id), lost_before), wallet)
    tx.ledger.post(f"dispute-lost:{dispute.id}", f"The dispute over {payment.reference} was lost",
                   lost_postings(dispute, payment.wallet, sources))
    return replace(dispute, from_receipt_micro=sources.receipt_micro, from_wallet_micro=sources.wallet_micro,
                   from_unapplied_micro=sources.unapplied_micro, from_write_off_micro=sources.write_off_micro)


def _note(tx: Transaction, dispute: Dispute, payment: Payment, word: str, **facts: object) -> None:
    tx.audit.record(f"dispute.{word}", f"dispute:{dispute.id}", payment=payment.reference, provider=dispute.provider,
                    provider_ref=dispute.provider_ref, amount_micro=dispute.amount_micro, currency=dispute.currency, **facts)


_APPLY: dict[EventKind, Callable[[Transaction, ProviderEvent, Payment, Dispute], None]] = {
    EventKind.DISPUTE_OPENED: _opened, EventKind.DISPUTE_WITHDRAWN: _withdrawn, EventKind.DISPUTE_REINSTATED: _reinstated,
    EventKind.DISPUTE_WON: _closed, EventKind.DISPUTE_LOST: _closed,
}
