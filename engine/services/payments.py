"""Start payments and apply what providers say: read, let engine.payments decide, write; one transaction each.

Locks: the receipt, then its payments, then ledger accounts in ascending id, the audit head last. Talks to no
provider: the call to one lies between two transactions, in the sidecar.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.errors import IllegalMove, NotFound
from engine.ids import new_id, payment_reference
from engine.ledger import Kind, LedgerName, Posting, balanced, payment_postings, unapplied_postings
from engine.money import Money, to_minor
from engine.payments import (
    PATIENCE,
    REFERENCE,
    Checkout,
    Decision,
    NoProvider,
    Payment,
    PaymentStatus,
    ProviderEvent,
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


def start_payment(tx: Transaction, name: str, by: Person) -> StartedPayment:
    """Have the pending receipt `name` (id or number) paid: a new payment, or the one that is still open."""
    if not tx.settings.payment_provider:
        raise NoProvider("Ask for another way to pay, such as a bank transfer.")
    receipt = tx.receipts.get(get_receipt(tx, name, by).id, lock=True)
    assert receipt is not None
    allow(by, Action.PAY)
    if receipt.status is not ReceiptStatus.PENDING:
        raise IllegalMove(f"Receipt {receipt.number} is {receipt.status}: there is nothing to pay.")
    payment = _open_payment(tx, receipt) or _new_payment(tx, receipt, by)
    return StartedPayment(payment, f"{tx.settings.sidecar_url.rstrip('/')}/pay/{payment.reference}")


def _open_payment(tx: Transaction, receipt: Receipt) -> Payment | None:
    """The receipt's open payment at today's provider; one whose time is over is closed on the way."""
    found = tx.payments.open_of(receipt.id, tx.settings.payment_provider)
    if found is not None and not found.open(tx.now):
        _expire(tx, found)
        return None
    return found


def _new_payment(tx: Transaction, receipt: Receipt, by: Person) -> Payment:
    to_minor(Money(receipt.total_micro, receipt.currency))          # what no provider can collect is refused here
    payment = Payment(
        id=new_id("pay", int(tx.now.timestamp() * 1000)), reference=payment_reference(), receipt_id=receipt.id,
        provider=tx.settings.payment_provider, livemode=tx.settings.livemode, amount_micro=receipt.total_micro,
        currency=receipt.currency, status=PaymentStatus.PENDING, provider_ref=None, checkout_url=None, created_by=by.name,
        created_at=tx.now, expires_at=tx.now + timedelta(minutes=tx.settings.payment_minutes), settled_at=None)
    tx.payments.add(payment)
    tx.audit.record("payment.started", f"payment:{payment.reference}", receipt=receipt.number, provider=payment.provider,
                    amount_micro=payment.amount_micro, currency=payment.currency)
    return payment


def open_payment(tx: Transaction, reference: str) -> Payment:
    """The payment that a payer's link names, still open or not."""
    payment = tx.payments.find(reference) if REFERENCE.fullmatch(reference) else None
    if payment is None:
        raise NotFound(f"No payment {reference!r}.")
    return payment


def still_wanted(tx: Transaction, payment: Payment) -> bool:
    """True while its time is not over and its receipt is owed: nobody is led to pay what is void or paid otherwise."""
    receipt = tx.receipts.get(payment.receipt_id)
    return payment.open(tx.now) and receipt is not None and receipt.status is ReceiptStatus.PENDING


def keep_checkout(tx: Transaction, payment: Payment, checkout: Checkout) -> Payment:
    """Remember the provider's checkout; who came first wins, and both payers go to the same page."""
    tx.payments.keep_checkout(payment, checkout.url, checkout.provider_ref)
    return open_payment(tx, payment.reference)


def expire_payments(tx: Transaction) -> int:
    """Close the pending payments whose time is over; how many. Money that still comes for them is taken."""
    overdue = tx.payments.overdue()
    for payment in overdue:
        _expire(tx, payment)
    return len(overdue)


def _expire(tx: Transaction, payment: Payment) -> None:
    check_move(payment.reference, payment.status, PaymentStatus.EXPIRED)
    tx.payments.move(payment, PaymentStatus.EXPIRED)
    tx.audit.record("payment.expired", f"payment:{payment.reference}", provider=payment.provider)


def apply_payment(tx: Transaction, event: ProviderEvent, since: datetime) -> Decision:
    """Apply what a provider says, however often it says it; `since` is when it was first heard.

    The one way in for the webhook, the return page and the reconciler. Waiting changes nothing and is the caller's to repeat.
    """
    payment, receipt = _locked(tx, event)
    decision = decide(event, payment, receipt.status if receipt else None, tx.settings.livemode, tx.now - since < PATIENCE)
    if decision.step is Step.KEEP_FOREIGN:
        return _keep_foreign(tx, event, decision)
    if decision.step is Step.IGNORE:
        tx.audit.record("payment.ignored", f"payment:{event.reference}", provider=event.provider, event=event.key,
                        why=decision.why)
    if payment is None or receipt is None:
        return decision
    if decision.step is Step.FAIL:
        _move(tx, payment, PaymentStatus.FAILED, event, decision)
    elif decision.step is Step.KEEP:
        _keep(tx, payment, event, decision)
    elif decision.step is Step.SETTLE:
        _settle(tx, payment, receipt, event, decision)
    return decision


def _locked(tx: Transaction, event: ProviderEvent) -> tuple[Payment | None, Receipt | None]:
    """Our payment and its receipt, locked, receipt first; (None, None) when we know none."""
    found = tx.payments.match(event.reference, event.provider, event.livemode)
    if found is None:
        return None, None
    receipt = tx.receipts.get(found.receipt_id, lock=True)
    return tx.payments.match(event.reference, event.provider, event.livemode, lock=True), receipt


def _settle(tx: Transaction, payment: Payment, receipt: Receipt, event: ProviderEvent, decision: Decision) -> None:
    postings = payment_postings(event.provider, receipt.payer, payment.currency, payment.amount_micro)
    if kept := tx.ledger.postings(_foreign_key(event)):             # it came before we knew it, and was kept: take it from there
        postings = _from_unapplied(kept, receipt.payer)
    _move(tx, payment, PaymentStatus.SUCCEEDED, event, decision)
    settle(tx, receipt, _key(payment), postings, tx.actor, f"{event.provider} payment {payment.reference}: {decision.why}")


def _keep(tx: Transaction, payment: Payment, event: ProviderEvent, decision: Decision) -> None:
    if not tx.ledger.postings(_foreign_key(event)):         # else it came before we knew it, and is kept already
        tx.ledger.post(_key(payment), f"Unapplied: {decision.why}",
                       unapplied_postings(event.provider, payment.currency, payment.amount_micro))
    _move(tx, payment, PaymentStatus.UNAPPLIED, event, decision)


def _keep_foreign(tx: Transaction, event: ProviderEvent, decision: Decision) -> Decision:
    posted = tx.ledger.post(_foreign_key(event), f"Unapplied: {decision.why}",
                            unapplied_postings(event.provider, event.currency, event.amount.micro))
    if not posted:
        return replace(decision, step=Step.NOTHING, why=f"{decision.why}; it is kept as unapplied already")
    tx.audit.record("payment.unapplied", f"payment:{event.reference}", provider=event.provider, event=event.key,
                    amount_micro=event.amount.micro, currency=event.currency, why=decision.why)
    return decision


def _move(tx: Transaction, payment: Payment, to: PaymentStatus, event: ProviderEvent, decision: Decision) -> None:
    check_move(payment.reference, payment.status, to)
    tx.payments.move(payment, to, settled_at=tx.now if to is PaymentStatus.SUCCEEDED else None)
    tx.audit.record(f"payment.{to}", f"payment:{payment.reference}", provider=event.provider, event=event.key,
                    amount_micro=payment.amount_micro, currency=payment.currency, why=decision.why)


def _key(payment: Payment) -> str:
    return f"pay:{payment.provider}:{payment.reference}"


def _foreign_key(event: ProviderEvent) -> str:
    """The money object of an amount we did not ask for: the same money told twice is posted once."""
    return f"unapplied:{event.provider}:{event.money}:{event.amount_minor}:{event.currency}"


def _from_unapplied(kept: list[Posting], payer: str) -> list[Posting]:
    unapplied = next(posting for posting in kept if posting.account.kind is Kind.UNAPPLIED)
    owed = LedgerName(Kind.RECEIVABLE, payer, unapplied.account.currency)
    return balanced([Posting(unapplied.account, -unapplied.amount_micro), Posting(owed, unapplied.amount_micro)])
