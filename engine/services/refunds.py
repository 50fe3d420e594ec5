"""Give money back: read, let engine.refunds decide, write, post, audit; one transaction each.

Locks: the money, the receipt, its payment, then ledger accounts in ascending id, the audit head last. Talks to no provider:
what it is asked goes through the outbox (`refund.submit`), what it answers comes back through answer_refund or apply_refund.
"""

from __future__ import annotations

from datetime import datetime

from engine.disputes import DisputeStatus
from engine.documents import DocumentKind, issue_job
from engine.errors import IllegalMove, NotFound
from engine.ids import new_id
from engine.ledger import Kind, LedgerName, Posting, balanced, reversed_postings
from engine.money import Money
from engine.payments import Decision, Payment, PaymentStatus, ProviderEvent, Step
from engine.policy import allow
from engine.ports import Transaction
from engine.receipts import Receipt, ReceiptStatus
from engine.refunds import (
    AT_ONCE,
    TOLD,
    BadRefund,
    KnownRefund,
    Origin,
    Refund,
    RefundAnswer,
    RefundStatus,
    Sources,
    check_move,
    credit_note,
    decide_refund,
    divide,
    done_postings,
    left_of,
    repeated,
    request_postings,
    touched,
    wanted,
)
from engine.users import Action, Person

SUBMIT = "refund.submit"


def request_refund(tx: Transaction, name: str, amount: Money | None, reason: str, by: Person, key: str | None = None) -> Refund:
    """Decide to give `amount` (None: all that is left) of a payment back; `name` is its reference, or its receipt's id or
    number. `key` makes one pressing of a button one refund, and stands for no other. Refused beyond what is left, where the
    wallet has spent it, and while a dispute is open: then the provider decides."""
    allow(by, Action.REFUND)
    payment, receipt = _locked(tx, refundable(tx, name))
    if key and (known := tx.refunds.by_request(key)):       # pressed a moment ago: committed by now, its payment is ours
        return repeated(known, payment, amount)
    if len(reason.strip()) < 10:
        raise BadRefund("Write a reason of at least 10 characters.")
    if any(dispute.status is not DisputeStatus.WON for dispute in tx.disputes.of_payment(payment.id)):
        raise BadRefund(f"There is a dispute over {payment.reference}: the provider decides, or has decided, who gets the money.")
    left = left_of(payment, tx.refunds.of_payment(payment.id))         # none of it is lost: there is no dispute
    money = wanted(amount, left, payment.currency)
    sources = divide(money.micro, left, _spendable(tx, payment, receipt))
    if sources.write_off_micro:
        raise BadRefund(f"{Money(sources.write_off_micro, payment.currency)} of it are not in the wallet of {payment.wallet} any more.")
    refund = _new(tx, payment, money, sources, Origin.HERE, reason.strip(), by.name, key)
    _book(tx, refund, payment, receipt)
    if payment.provider in AT_ONCE:
        return _finish(tx, refund, payment, receipt, RefundStatus.SUCCEEDED, "", "")
    tx.outbox.add(SUBMIT, refund.id, {"refund": refund.id})
    return refund


def refundable(tx: Transaction, name: str) -> Payment:
    """The payment whose money is meant."""
    payment = tx.payments.find(name)
    if payment is None and (receipt := tx.receipts.get(name)):
        payment = next((one for one in tx.payments.of_receipt(receipt.id) if one.status is PaymentStatus.SUCCEEDED), None)
        if payment is None:
            raise BadRefund(f"Receipt {receipt.number} is {receipt.status}: no payment of it can be given back.")
    if payment is None:
        raise NotFound(f"No payment and no receipt {name!r}.")
    if not payment.received_micro or payment.status is PaymentStatus.REVERTED:
        raise BadRefund(f"Payment {payment.reference} is {payment.status}: no money of it is here.")
    return payment


def _locked(tx: Transaction, found: Payment) -> tuple[Payment, Receipt | None]:
    """The payment and its receipt as they are now, locked in order."""
    if found.money_ref:
        tx.payments.hold_money(found.provider, found.livemode, found.money_ref)
    receipt = tx.receipts.get(found.receipt_id, lock=True) if found.receipt_id else None
    payment = tx.payments.match(found.reference, found.provider, found.livemode, lock=True)
    assert payment is not None
    return payment, receipt


def _spendable(tx: Transaction, payment: Payment, receipt: Receipt | None) -> int:
    """What is in the payment's wallet and not frozen, as nobody changes it now: who pays from it or freezes it at this moment
    comes first, or sees what is taken."""
    if not payment.credited_micro:
        return 0
    tx.ledger.lock(touched(payment, tx.ledger.postings(f"receipt:{receipt.id}") if receipt else ()))
    balance = tx.ledger.balance_micro(LedgerName(Kind.WALLET, payment.wallet, payment.currency))
    return balance - tx.disputes.frozen_micro(payment.wallet, payment.currency)


def _new(tx: Transaction, payment: Payment, money: Money, sources: Sources, origin: Origin, reason: str, by: str,
         key: str | None = None, provider_ref: str | None = None, status: RefundStatus = RefundStatus.REQUESTED,
         why: str = "") -> Refund:
    ended = status in (RefundStatus.SUCCEEDED, RefundStatus.FAILED)
    refund = Refund(
        id=new_id("rfnd", int(tx.now.timestamp() * 1000)), payment_id=payment.id, provider=payment.provider, livemode=payment.livemode,
        amount_micro=money.micro, currency=money.currency, status=status, from_receipt_micro=sources.receipt_micro,
        from_wallet_micro=sources.wallet_micro, from_unapplied_micro=sources.unapplied_micro,
        from_write_off_micro=sources.write_off_micro, provider_ref=provider_ref, origin=origin, reason=reason, why=why, request_key=key,
        requested_by=by, requested_at=tx.now, asked_at=None, settled_at=tx.now if ended else None)
    tx.refunds.add(refund)
    tx.audit.record(f"refund.{status}", f"refund:{refund.id}", payment=payment.reference, amount_micro=money.micro,
                    currency=money.currency, reason=reason, origin=str(origin), **({"provider_ref": provider_ref} if provider_ref else {}))
    return refund


def _book(tx: Transaction, refund: Refund, payment: Payment, receipt: Receipt | None) -> None:
    """Take it from where the money went; owed to the payer until it arrived."""
    debits: list[Posting] = []
    if refund.from_receipt_micro:
        assert receipt is not None
        credited = [posting for other in tx.refunds.of_receipt(receipt.id) if other.live and other.id != refund.id
                    for posting in tx.ledger.postings(f"refund:{other.id}")]
        debits = credit_note(tx.ledger.postings(f"receipt:{receipt.id}"), credited, refund.from_receipt_micro)
    tx.ledger.post(f"refund:{refund.id}", f"Refund of {payment.reference}: {refund.reason}",
                   request_postings(refund, payment.wallet, debits))


def _finish(tx: Transaction, refund: Refund, payment: Payment, receipt: Receipt | None, to: RefundStatus, provider_ref: str,
            why: str) -> Refund:
    """Move a refund and the money with it."""
    check_move(refund.id, refund.status, to)
    moved = tx.refunds.move(refund, to, provider_ref, why, tx.now)
    if to is RefundStatus.SUCCEEDED:
        tx.ledger.post(f"refund-done:{refund.id}", f"Refund of {payment.reference} arrived", done_postings(refund, payment.wallet))
        tx.outbox.add(*issue_job(DocumentKind.CREDIT_NOTE, refund.id))
    elif to is RefundStatus.FAILED:
        undone = [posting for part in ("refund", "refund-done") for posting in tx.ledger.postings(f"{part}:{refund.id}")]
        if refund.status is RefundStatus.SUCCEEDED:
            tx.outbox.add(*issue_job(DocumentKind.DEBIT_NOTE, refund.id))
        tx.ledger.post(f"refund-failed:{refund.id}", f"Refund of {payment.reference} failed", balanced(reversed_postings(undone)))
    tx.audit.record(f"refund.{to}", f"refund:{refund.id}", payment=payment.reference, amount_micro=refund.amount_micro,
                    currency=refund.currency, was=str(refund.status), **({"why": why} if why else {}))
    if receipt is not None:
        _follow(tx, receipt, moved)
    return moved


def _follow(tx: Transaction, receipt: Receipt, refund: Refund) -> None:
    """A receipt is refunded exactly while all of it is back."""
    back = sum(one.from_receipt_micro for one in tx.refunds.of_receipt(receipt.id) if one.status is RefundStatus.SUCCEEDED)
    to = ReceiptStatus.REFUNDED if back == receipt.total_micro else ReceiptStatus.PAID
    if receipt.status in (ReceiptStatus.PAID, ReceiptStatus.REFUNDED) and to is not receipt.status:
        tx.receipts.move(receipt, to, tx.actor, f"refund {refund.id} {refund.status}", tx.now)
        tx.audit.record(f"receipt.{'refunded' if to is ReceiptStatus.REFUNDED else 'refund_undone'}", f"receipt:{receipt.id}",
                        number=receipt.number, refund=refund.id)


def about_to_ask(tx: Transaction, id: str) -> tuple[Refund, Payment]:
    """The refund and its payment, with a note that the provider is about to be asked: written before it is. The refund is
    answered as it was before the note, so `asked_at` says whether somebody asked before."""
    refund = tx.refunds.get(id, lock=True)
    if refund is None:
        raise NotFound(f"No refund {id!r}.")
    if refund.status is RefundStatus.REQUESTED:
        tx.refunds.asked(refund, tx.now)
    return refund, _payment_of(tx, refund)


def _payment_of(tx: Transaction, refund: Refund) -> Payment:
    payment = tx.payments.by_id(refund.payment_id)
    assert payment is not None
    return payment


def answer_refund(tx: Transaction, id: str, answer: RefundAnswer) -> Refund:
    """What the provider answered when it was asked; what is known already (its webhook was quicker) changes nothing."""
    found = tx.refunds.get(id)
    if found is None:
        raise NotFound(f"No refund {id!r}.")
    payment, receipt = _locked(tx, _payment_of(tx, found))
    refund = tx.refunds.get(id, lock=True)
    assert refund is not None
    if answer.provider_ref and refund.provider_ref not in (None, answer.provider_ref):
        raise IllegalMove(f"Refund {id} is {refund.provider_ref} at {refund.provider}, not {answer.provider_ref}.")
    if refund.status is not RefundStatus.REQUESTED or answer.status is RefundStatus.REQUESTED:
        return refund
    return _finish(tx, refund, payment, receipt, answer.status, answer.provider_ref, answer.why)


def apply_refund(tx: Transaction, event: ProviderEvent, since: datetime) -> Decision:
    """Apply what a provider says of a refund, ours or made in its own dashboard, however often it says it."""
    known, receipt = _known(tx, event)
    decision = decide_refund(event, known, tx.settings.livemode)
    if decision.step in (Step.IGNORE, Step.CONTRADICT):
        tx.audit.record(f"refund.{decision.step}", f"refund:{event.object or event.money}", provider=event.provider, event=event.key,
                        why=decision.why)
    if decision.step is not Step.BOOK or known.payment is None:
        return decision
    to = TOLD[event.kind]
    if known.refund is not None:
        _finish(tx, known.refund, known.payment, receipt, to, event.object, event.why)
    else:
        _take_over(tx, event, known.payment, known.left, receipt, to)
    return decision


def _known(tx: Transaction, event: ProviderEvent) -> tuple[KnownRefund, Receipt | None]:
    """What we know of the event's refund, locked in order: found by our own id, else by the provider's. One of ours that failed
    without a name (it was said to be refused) is not what a name speaks of: such a refund was made all the same."""
    tx.payments.hold_money(event.provider, event.livemode, event.money)
    held = tx.payments.of_money(event.provider, event.livemode, event.money)
    if held is None:
        return KnownRefund(), None
    payment, receipt = _locked(tx, held)
    refunds = tuple(tx.refunds.of_payment(payment.id))
    by_our_id = [refund for refund in refunds if event.refund and refund.id == event.refund and (refund.live or refund.provider_ref)]
    by_their_id = [refund for refund in refunds if event.object and refund.provider_ref == event.object]
    lost = tuple(dispute.taken for dispute in tx.disputes.of_payment(payment.id))
    return KnownRefund(payment, next(iter(by_our_id + by_their_id), None), refunds, lost), receipt


def _take_over(tx: Transaction, event: ProviderEvent, payment: Payment, left: Sources, receipt: Receipt | None, to: RefundStatus) -> None:
    """A refund that was made in the provider's own dashboard: it stands, whatever is left to take it from."""
    sources = divide(event.amount.micro, left, _spendable(tx, payment, receipt))
    if to is RefundStatus.FAILED:
        _new(tx, payment, event.amount, sources, Origin.PROVIDER, f"made at {event.provider}", tx.actor, None, event.object, to, event.why)
        return
    refund = _new(tx, payment, event.amount, sources, Origin.PROVIDER, f"made at {event.provider}", tx.actor, None, event.object,
                  RefundStatus.SUBMITTED, event.why)
    _book(tx, refund, payment, receipt)
    if to is RefundStatus.SUCCEEDED:
        _finish(tx, refund, payment, receipt, to, event.object, event.why)

