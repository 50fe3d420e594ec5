"""Fill and use wallets: read, check, write, post, audit; one transaction each.

Locks: the receipt or payment, then ledger accounts in ascending id, the audit head last. Whose wallet somebody may use stands
here and nowhere else; money that comes for a wallet is applied by services/payments.
"""

from __future__ import annotations

from dataclasses import replace

from engine.documents import DocumentKind, issue_job
from engine.errors import IllegalMove, NotAllowed, NotFound
from engine.ledger import Kind, LedgerName, arrival_postings
from engine.money import Money
from engine.payments import FROM_WALLET, Payment, PaymentStatus, Purpose, check_move
from engine.policy import allow
from engine.ports import Transaction
from engine.receipts import Receipt, ReceiptStatus
from engine.services.payments import StartedPayment, bound, expire_payment, new_payment, offered, payment_url
from engine.services.receipts import get_receipt, settle
from engine.users import Action, Person
from engine.wallets import (
    Wallet,
    check_can_pay,
    check_reason,
    check_topup,
    payment_from_wallet,
    project_of,
    project_owner,
    wallet_name,
)


def owners_of(tx: Transaction, person: Person) -> list[str]:
    """The wallets that are `person`'s to use: their own, then those of projects they share."""
    own = [person.payer] if project_of(person.payer) is None else []       # who is billed as project:X owns no project's wallet
    return [*own, *(project_owner(project) for project in tx.wallets.shared_with(person.id))]


def owners_for(tx: Transaction, receipt: Receipt, by: Person) -> list[str]:
    """The wallets that `by` may pay this receipt from: the payer's own for the payer and for finance; a project's for those who
    share it, and for finance where the payer does."""
    projects = set(tx.wallets.shared_with(by.id))
    own = by.payer == receipt.payer
    if by.may(Action.SETTLE):
        own, projects = True, projects | set(tx.wallets.shared_by_payer(receipt.payer))
    payers = [receipt.payer] if own and project_of(receipt.payer) is None else []
    return [*payers, *(project_owner(project) for project in sorted(projects))]


def see_wallet(tx: Transaction, owner: str, by: Person) -> list[Wallet]:
    """What a wallet holds, a currency each; to whoever may not see it, it does not exist."""
    allow(by, Action.SEE_OWN)
    seen = owner in owners_of(tx, by) or (by.may(Action.SEE_ALL) and tx.wallets.known(owner))
    if not seen:
        raise NotFound(f"No wallet {owner!r}.")
    return tx.wallets.of(owner) or [Wallet(owner, currencies_of(tx, owner)[0], 0)]


def currencies_of(tx: Transaction, owner: str) -> list[str]:
    """The currencies a wallet takes, its account's first."""
    return tx.wallets.currencies(owner, tx.now, tx.settings.default_tier, tx.settings.default_currency)


def start_topup(tx: Transaction, owner: str, money: Money, by: Person, provider: str = "") -> StartedPayment:
    """Have `money` collected for a wallet: a new payment, or the open one of the same person, amount and provider."""
    provider = offered(tx, provider)
    _allow_use(tx, owner, by)
    settings = tx.settings
    check_topup(money, settings.topup_minimum_micro, settings.topup_maximum_micro, currencies_of(tx, owner))
    payment = _open_topup(tx, owner, money, by, provider)
    if payment is None:
        payment = new_payment(tx, provider, money, Purpose.TOPUP, owner, by)
        tx.payments.add(payment)
        tx.audit.record("payment.started", f"payment:{payment.reference}", wallet=owner, provider=provider,
                        amount_micro=payment.amount_micro, currency=payment.currency)
    return StartedPayment(payment, payment_url(tx, payment))


def _allow_use(tx: Transaction, owner: str, by: Person) -> None:
    see_wallet(tx, owner, by)
    allow(by, Action.PAY)
    if owner not in owners_of(tx, by) and not by.may(Action.SETTLE):
        raise NotAllowed(f"The wallet of {owner} is not yours to use.")


def _open_topup(tx: Transaction, owner: str, money: Money, by: Person, provider: str) -> Payment | None:
    for payment in tx.payments.topups_under_way(owner):
        same = (payment.money, payment.provider, payment.created_by) == (money, provider, by.name)
        if same and payment.status is PaymentStatus.PENDING:
            if payment.open(tx.now):
                return payment
            expire_payment(tx, payment)
    return None


def get_topup(tx: Transaction, reference: str, by: Person) -> Payment:
    """A top-up by its reference; to whoever may not see its wallet, it does not exist."""
    payment = tx.payments.find(reference)
    if payment is None or payment.purpose is not Purpose.TOPUP or not payment.wallet:
        raise NotFound(f"No top-up {reference!r}.")
    see_wallet(tx, payment.wallet, by)
    return payment


def pay_from_wallet(tx: Transaction, name: str, owner: str, by: Person) -> Receipt:
    """Pay the pending receipt `name` (id or number) from a wallet, all of it or nothing."""
    receipt = tx.receipts.get(get_receipt(tx, name, by).id, lock=True)
    assert receipt is not None
    allow(by, Action.PAY)
    if owner not in owners_for(tx, receipt, by):
        raise NotAllowed(f"Receipt {receipt.number} cannot be paid from the wallet of {owner} by you.")
    if receipt.status is not ReceiptStatus.PENDING:
        raise IllegalMove(f"Receipt {receipt.number} is {receipt.status}: there is nothing to pay.")
    price = Money(receipt.total_micro, receipt.currency)
    postings = payment_from_wallet(wallet_name(owner, receipt.currency), receipt.payer, price.micro)
    tx.ledger.lock([posting.account for posting in postings])
    check_can_pay(tx.wallets.get(owner, receipt.currency), price)
    payment = _paid(tx, receipt, owner, by)
    tx.payments.add(payment)
    tx.outbox.add(*issue_job(DocumentKind.PAYMENT_RECEIPT, payment.id))
    return settle(tx, receipt, f"pay:{FROM_WALLET}:{payment.reference}", postings, by.name, f"from the wallet of {owner}")


def _paid(tx: Transaction, receipt: Receipt, owner: str, by: Person) -> Payment:
    asked = new_payment(tx, FROM_WALLET, Money(receipt.total_micro, receipt.currency), Purpose.RECEIPT, owner, by, receipt.id)
    return replace(asked, status=PaymentStatus.SUCCEEDED, settled_at=tx.now, expires_at=tx.now, received_micro=asked.amount_micro,
                   note=f"paid from the wallet of {owner}")


def assign_unapplied(tx: Transaction, reference: str, owner: str, reason: str, by: Person) -> Payment:
    """Put money that came for nobody into the wallet of whose it is."""
    allow(by, Action.SETTLE)
    payment = tx.payments.lock(reference)
    if payment is None:
        raise NotFound(f"No payment {reference!r}.")
    check_move(reference, payment.status, PaymentStatus.CREDITED)
    if payment.status is not PaymentStatus.UNAPPLIED:
        raise IllegalMove(f"Payment {reference} is {payment.status}: no money of it waits for somebody.")
    if bound(tx, payment):
        raise IllegalMove(f"Payment {reference} was given back in part or whole, or is disputed: what is left of it can be given back too.")
    if not tx.wallets.known(owner):
        raise NotFound(f"Nobody named {owner!r} is billed here or signs in.")
    note = f"{payment.note}; assigned to {owner} by {by.name}: {check_reason(reason)}"
    given = replace(payment, status=PaymentStatus.CREDITED, wallet=owner, settled_at=tx.now, note=note)
    tx.payments.take(given)
    tx.outbox.add(*issue_job(DocumentKind.PAYMENT_RECEIPT, given.id))
    tx.ledger.post(f"assign:{given.provider}:{reference}", f"Found to be of {owner}: {reason.strip()}",
                   arrival_postings(LedgerName(Kind.UNAPPLIED, given.provider, given.currency), "", 0, owner, given.received_micro))
    tx.audit.record("payment.assigned", f"payment:{reference}", wallet=owner, amount_micro=given.received_micro,
                    currency=given.currency, reason=reason.strip())
    return given
