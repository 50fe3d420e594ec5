"""Start payments and apply what providers say: read, let engine.payments decide, write; one transaction each.

Locks: the money object, the receipt, its payments, then ledger accounts in ascending id, the audit head last. Talks to no
provider: the call to one lies between two transactions, in the sidecar.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.disputes import DisputeStatus
from engine.documents import DocumentKind, issue_job
from engine.errors import IllegalMove, NotFound
from engine.ids import new_id, payment_reference
from engine.ledger import Kind, LedgerName, arrival_postings, unapplied_postings
from engine.money import Money, to_minor
from engine.payments import (
    PATIENCE,
    PAYMENT_KINDS,
    REFERENCE,
    BadEvent,
    Checkout,
    Decision,
    EventKind,
    Known,
    NoProvider,
    Payment,
    PaymentStatus,
    ProviderEvent,
    Purpose,
    Step,
    check_move,
    decide,
)
from engine.policy import allow
from engine.ports import Transaction
from engine.receipts import Receipt, ReceiptStatus
from engine.services.receipts import get_receipt, settle
from engine.users import Action, Person


@dataclass(frozen=True, slots=True)
class StartedPayment:
    """A payment and the address where its payer goes: ours, which leads on to the provider's."""

    payment: Payment
    url: str


def start_payment(tx: Transaction, name: str, by: Person, provider: str = "") -> StartedPayment:
    """Have the pending receipt `name` (id or number) paid at `provider` (default: the first that is offered): a new payment,
    or the one that is still open."""
    provider = offered(tx, provider)
    receipt = tx.receipts.get(get_receipt(tx, name, by).id, lock=True)
    assert receipt is not None
    allow(by, Action.PAY)
    if receipt.status is not ReceiptStatus.PENDING:
        raise IllegalMove(f"Receipt {receipt.number} is {receipt.status}: there is nothing to pay.")
    payment = _open_payment(tx, receipt, provider)
    if payment is None:
        payment = new_payment(tx, provider, Money(receipt.total_micro, receipt.currency), Purpose.RECEIPT, receipt.payer, by, receipt.id)
        tx.payments.add(payment)
        tx.audit.record("payment.started", f"payment:{payment.reference}", receipt=receipt.number, provider=provider,
                        amount_micro=payment.amount_micro, currency=payment.currency)
    return StartedPayment(payment, payment_url(tx, payment))


def offered(tx: Transaction, provider: str = "") -> str:
    """The provider of that name, or the first one; refused when it is not offered here."""
    known = tx.settings.payment_providers
    if not known:
        raise NoProvider("Ask for another way to pay, such as a bank transfer.")
    if provider and provider not in known:
        raise NoProvider(f"{provider!r} is not offered; {', '.join(known)} {'is' if len(known) == 1 else 'are'}.")
    return provider or known[0]


def payment_url(tx: Transaction, payment: Payment) -> str:
    """Where the payer goes: our own address, which leads to the provider's page."""
    return f"{tx.settings.sidecar_url.rstrip('/')}/pay/{payment.reference}"


def _open_payment(tx: Transaction, receipt: Receipt, provider: str) -> Payment | None:
    """The receipt's open payment at `provider`; those whose time is over are closed on the way. Money that is on its way
    anywhere is waited for, not sent twice."""
    found = tx.payments.under_way(receipt.id)
    for payment in found:
        if payment.status is PaymentStatus.PROCESSING and payment.provider != provider:
            raise IllegalMove(f"The money of {payment.reference} is on its way through {payment.provider}.")
        if not payment.open(tx.now):
            expire_payment(tx, payment)
    return next((payment for payment in found if payment.provider == provider and payment.open(tx.now)), None)


def new_payment(tx: Transaction, provider: str, money: Money, purpose: Purpose, wallet: str, by: Person,
                receipt_id: str | None = None) -> Payment:
    """A payment that was not written yet; an amount that no provider can collect is refused."""
    to_minor(money)
    return Payment(
        id=_payment_id(tx), reference=payment_reference(), receipt_id=receipt_id, provider=provider, livemode=tx.settings.livemode,
        amount_micro=money.micro, currency=money.currency, status=PaymentStatus.PENDING, provider_ref=None, checkout_url=None,
        created_by=by.name, created_at=tx.now, expires_at=tx.now + timedelta(minutes=tx.settings.payment_minutes), settled_at=None,
        purpose=purpose, wallet=wallet)


def _payment_id(tx: Transaction) -> str:
    return new_id("pay", int(tx.now.timestamp() * 1000))


def open_payment(tx: Transaction, reference: str) -> Payment:
    """The payment that a payer's link names, still open or not."""
    payment = tx.payments.find(reference) if REFERENCE.fullmatch(reference) else None
    if payment is None:
        raise NotFound(f"No payment {reference!r}.")
    return payment


def still_wanted(tx: Transaction, payment: Payment) -> bool:
    """True while its time is not over and it is not paid: nobody is led to pay what is void, paid otherwise or on its way."""
    if payment.status is not PaymentStatus.PENDING or not payment.open(tx.now):
        return False
    receipt = tx.receipts.get(payment.receipt_id) if payment.receipt_id else None
    return payment.purpose is Purpose.TOPUP or (receipt is not None and receipt.status is ReceiptStatus.PENDING)


def keep_checkout(tx: Transaction, payment: Payment, checkout: Checkout) -> Payment:
    """Remember the provider's checkout; who came first wins, and both payers go to the same page."""
    tx.payments.keep_checkout(payment, checkout.url, checkout.provider_ref)
    return open_payment(tx, payment.reference)


def expire_payments(tx: Transaction) -> int:
    """Close the pending payments whose time is over; how many. Money that still comes for them is taken."""
    overdue = tx.payments.overdue()
    for payment in overdue:
        expire_payment(tx, payment)
    return len(overdue)


def expire_payment(tx: Transaction, payment: Payment) -> None:
    """Close one pending payment whose time is over."""
    check_move(payment.reference, payment.status, PaymentStatus.EXPIRED)
    tx.payments.move(payment, PaymentStatus.EXPIRED)
    tx.audit.record("payment.expired", f"payment:{payment.reference}", provider=payment.provider)


def apply_payment(tx: Transaction, event: ProviderEvent, since: datetime) -> Decision:
    """Apply what a provider says of a payment, however often it says it; `since` is when it was first heard.

    The one way in for the webhook, the return page and the reconciler. Waiting changes nothing and is the caller's to repeat.
    """
    known, receipt = _locked(tx, event)
    decision = decide(event, known, tx.settings.livemode, tx.now - since < PATIENCE)
    if decision.step is Step.IGNORE and event.kind in PAYMENT_KINDS:
        _note(tx, event, "ignored", decision)
    elif decision.step is Step.CONTRADICT:
        _note(tx, event, "contradicted", decision)
    elif decision.step is Step.KEEP:
        return _keep(tx, event, known, decision)
    elif decision.step in (Step.FAIL, Step.PROCESS) and known.payment is not None:
        _move(tx, known.payment, PaymentStatus(decision.step), event, decision)
    elif decision.step in (Step.SETTLE, Step.CREDIT):
        _use(tx, event, known, receipt, decision)
    return decision


def _locked(tx: Transaction, event: ProviderEvent) -> tuple[Known, Receipt | None]:
    """What we know of the event's payment and money, locked in order."""
    if event.kind is EventKind.SUCCEEDED:
        if not event.money:
            raise BadEvent("It speaks of money without naming it.")
        tx.payments.hold_money(event.provider, event.livemode, event.money)
    found = tx.payments.match(event.reference, event.provider, event.livemode) if event.reference else None
    receipt = tx.receipts.get(found.receipt_id, lock=True) if found and found.receipt_id else None
    payment = tx.payments.match(event.reference, event.provider, event.livemode, lock=True) if found else None
    holder = tx.payments.of_money(event.provider, event.livemode, event.money) if event.kind is EventKind.SUCCEEDED else None
    return Known(payment, receipt.status if receipt else None, holder, holder is not None and bound(tx, holder)), receipt


def bound(tx: Transaction, payment: Payment) -> bool:
    """True when money that is nobody's yet is on its way back, or disputed, or lost: then it stays nobody's."""
    return payment.status is PaymentStatus.UNAPPLIED and (
        any(refund.live for refund in tx.refunds.of_payment(payment.id))
        or any(dispute.status is not DisputeStatus.WON for dispute in tx.disputes.of_payment(payment.id)))


def _use(tx: Transaction, event: ProviderEvent, known: Known, receipt: Receipt | None, decision: Decision) -> None:
    """Money that is somebody's: into the ledger, for the receipt or the wallet or both."""
    assert known.payment is not None
    kept = known.holder is not None
    taker = known.holder or (_another(tx, known.payment, event) if known.payment.received_micro else known.payment)
    taker = replace(taker, purpose=known.payment.purpose, receipt_id=known.payment.receipt_id, wallet=known.payment.wallet,
                    amount_micro=known.payment.amount_micro)
    paid = paid_by(taker, event, decision, tx.now)
    tx.payments.take(paid)
    tx.outbox.add(*issue_job(DocumentKind.PAYMENT_RECEIPT, paid.id))
    tell_money(tx, paid, event, decision)
    source = LedgerName(Kind.UNAPPLIED if kept else Kind.CLEARING, event.provider, event.currency)
    postings = arrival_postings(source, receipt.payer if receipt else "", paid.settled_micro, paid.wallet, paid.credited_micro)
    key = f"{'assign' if kept else 'pay'}:{paid.provider}:{paid.reference}"
    if paid.settled_micro and receipt is not None:
        settle(tx, receipt, key, postings, tx.actor, why_paid(paid, decision))
    elif not tx.ledger.post(key, why_paid(paid, decision), postings):
        raise IllegalMove(f"The money {key} was posted before.")


def paid_by(payment: Payment, event: ProviderEvent, decision: Decision, now: datetime) -> Payment:
    """The payment once the event's money is its own."""
    to = PaymentStatus(decision.step)
    check_move(payment.reference, payment.status, to)
    return replace(payment, status=to, settled_at=now, money_ref=event.money, received_micro=event.amount.micro, note=decision.why)


def why_paid(payment: Payment, decision: Decision) -> str:
    """What stands in the ledger and in the receipt's history."""
    return f"{payment.provider} payment {payment.reference}: {decision.why}"


def _another(tx: Transaction, payment: Payment, event: ProviderEvent) -> Payment:
    """A row for more money under the reference of a payment that has its money already."""
    return _stray(tx, event, payment.purpose, payment.receipt_id, payment.wallet, payment.amount_micro)


def _stray(tx: Transaction, event: ProviderEvent, purpose: Purpose, receipt_id: str | None, wallet: str, amount_micro: int,
           status: PaymentStatus = PaymentStatus.EXPIRED, received_micro: int = 0, note: str = "") -> Payment:
    """Write a payment that nobody started: money that came by itself."""
    made = Payment(
        id=_payment_id(tx), reference=payment_reference(), receipt_id=receipt_id, provider=event.provider, livemode=event.livemode,
        amount_micro=amount_micro, currency=event.currency, status=status, provider_ref=None, checkout_url=None, created_by=tx.actor,
        created_at=tx.now, expires_at=tx.now, settled_at=None, purpose=purpose, wallet=wallet,
        money_ref=event.money if received_micro else None, received_micro=received_micro, note=note)
    tx.payments.add(made)
    return made


def _keep(tx: Transaction, event: ProviderEvent, known: Known, decision: Decision) -> Decision:
    """Money that is nobody's yet: a payment row of its own, unapplied."""
    if known.holder is not None:
        return replace(decision, step=Step.NOTHING, why=f"{decision.why}; it is kept as unapplied already")
    kept = _stray(tx, event, Purpose.TOPUP, None, "", event.amount.micro, PaymentStatus.UNAPPLIED, event.amount.micro, decision.why)
    tx.ledger.post(f"pay:{kept.provider}:{kept.reference}", f"Unapplied: {decision.why}",
                   unapplied_postings(event.provider, event.currency, event.amount.micro))
    tell_money(tx, kept, event, decision)
    return decision


def _move(tx: Transaction, payment: Payment, to: PaymentStatus, event: ProviderEvent, decision: Decision) -> None:
    check_move(payment.reference, payment.status, to)
    tx.payments.move(payment, to)
    tx.audit.record(f"payment.{to}", f"payment:{payment.reference}", provider=event.provider, event=event.key,
                    amount_micro=payment.amount_micro, currency=payment.currency, why=decision.why)


def tell_money(tx: Transaction, payment: Payment, event: ProviderEvent, decision: Decision) -> None:
    """What the audit chain keeps of money that came."""
    wallet = {"wallet": payment.wallet, "credited_micro": payment.credited_micro} if payment.credited_micro else {}
    tx.audit.record(f"payment.{payment.status}", f"payment:{payment.reference}", provider=event.provider, event=event.key,
                    amount_micro=payment.received_micro, currency=payment.currency, why=decision.why, **wallet)


def _note(tx: Transaction, event: ProviderEvent, word: str, decision: Decision) -> None:
    tx.audit.record(f"payment.{word}", f"payment:{event.reference or event.money}", provider=event.provider, event=event.key,
                    why=decision.why)
