"""Make, settle and void receipts: read, let engine.receipts decide, write, post, audit; one transaction each.

The rate book is held first, so that no card is published between a price and its receipt. A payer's receipts are made
one after the other (the payer row is locked), then runs in ascending key, then the number series, then ledger accounts
in ascending id, the audit head last.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from engine.documents import DocumentKind, issue_job
from engine.errors import IllegalMove, NotFound
from engine.ids import new_id
from engine.ledger import Posting, payment_postings, receipt_postings, reversed_postings
from engine.policy import allow, allow_payer
from engine.ports import Transaction
from engine.receipts import Draft, Receipt, ReceiptStatus, check_move, draft
from engine.services.commitments import open_months
from engine.services.usage import reprice
from engine.users import Action, Person


def preview_receipt(tx: Transaction, payer: str, before: datetime, by: Person) -> Draft:
    """What a receipt for `payer` over the jobs that ended before `before` would say. Nothing is written."""
    allow_payer(by, payer, own=Action.SEE_OWN, others=Action.SEE_ALL)
    return _drafted(tx, payer, before)


def create_receipt(tx: Transaction, payer: str, before: datetime, by: Person) -> Receipt:
    """Bill every unbilled job of `payer` that ended before `before`, and what months that were over by then are short of
    their minimum; rates, tier and tax are locked from here on.

    Refused with NothingToBill when there is neither, which is also what the second of two at once hears.
    """
    allow_payer(by, payer, own=Action.BILL_OWN, others=Action.BILL_ALL)
    tx.rates.hold()
    if tx.payers.lock(payer) is None:
        raise NotFound(f"Nobody named {payer!r} has used anything.")
    made = _drafted(tx, payer, before, lock=True)
    receipt = _issue(tx, payer, before, made, by)
    _post(tx, receipt, made)
    tx.audit.record("receipt.created", f"receipt:{receipt.id}", number=receipt.number, payer=payer, lines=receipt.lines,
                    total_micro=receipt.total_micro, currency=receipt.currency)
    tx.outbox.add(*issue_job(DocumentKind.RECEIPT, receipt.id))
    if receipt.total_micro == 0:
        return _move(tx, receipt, ReceiptStatus.PAID, by.name, "nothing to pay")
    return receipt


def payers_to_bill(tx: Transaction, before: datetime) -> list[str]:
    """Who has something to bill up to `before`: jobs, corrections, or months short of their minimum."""
    return sorted({*tx.receipts.payers_with_open_runs(before), *(due.of.payer for due in open_months(tx, before))})


def _drafted(tx: Transaction, payer: str, before: datetime, lock: bool = False) -> Draft:
    runs = tx.receipts.open_runs(payer, before, lock=lock)
    return draft(runs, tx.settings.tax_ppm, open_months(tx, before, payer), tx.settings.tax_included)


def _issue(tx: Transaction, payer: str, before: datetime, made: Draft, by: Person) -> Receipt:
    settings, year = tx.settings, tx.now.astimezone(tx.settings.zone).year
    sequence = tx.receipts.next_sequence(settings.receipt_series, year)
    receipt = Receipt(
        id=new_id("rcpt", int(tx.now.timestamp() * 1000)), number=f"{settings.receipt_series}-{year}-{sequence:06d}",
        payer=payer, tier=made.tier, currency=made.currency, status=ReceiptStatus.PENDING, ended_before=before,
        lines=len(made.lines), subtotal_micro=made.subtotal_micro, tax_name=settings.tax_name if settings.tax_ppm else "",
        tax_ppm=settings.tax_ppm, tax_micro=made.tax_micro, rounding_micro=made.rounding_micro, total_micro=made.total_micro,
        issued_at=tx.now, issued_by=by.name, due_at=tx.now + timedelta(days=settings.receipt_due_days), paid_at=None,
        tax_included=made.tax_included)
    tx.receipts.add(receipt, settings.receipt_series, year, sequence, made.lines)
    return receipt


def _post(tx: Transaction, receipt: Receipt, made: Draft) -> None:
    postings = receipt_postings(receipt.payer, receipt.currency, made.net_income_micro, made.tax_micro,
                                made.line_rounding_micro + made.rounding_micro)
    tx.ledger.post(f"receipt:{receipt.id}", f"Receipt {receipt.number}", postings)


def void_receipt(tx: Transaction, name: str, reason: str, by: Person) -> Receipt:
    """Take back a pending receipt: its lines stay, its jobs are free to be billed again."""
    allow(by, Action.VOID)
    tx.rates.hold()
    receipt = _locked(tx, name)
    check_move(receipt.number, receipt.status, ReceiptStatus.VOID)
    _need_reason(reason)
    tx.ledger.post(f"receipt-void:{receipt.id}", f"Void of receipt {receipt.number}",
                   reversed_postings(tx.ledger.postings(f"receipt:{receipt.id}")))
    tx.audit.record("receipt.voided", f"receipt:{receipt.id}", number=receipt.number, reason=reason)
    void = _move(tx, receipt, ReceiptStatus.VOID, by.name, reason)
    reprice(tx, payer=receipt.payer)                 # freed jobs cost what tier and cards say now
    return void


def settle(tx: Transaction, receipt: Receipt, key: str, postings: list[Posting], actor: str, reason: str) -> Receipt:
    """Post the money under `key` and move a pending receipt to paid. Who may, and why, the caller has checked."""
    check_move(receipt.number, receipt.status, ReceiptStatus.PAID)
    if not tx.ledger.post(key, memo_of(receipt), postings):
        raise IllegalMove(f"The money {key} was posted before.")
    tell_paid(tx, receipt, key, reason)
    return _move(tx, receipt, ReceiptStatus.PAID, actor, reason)


def memo_of(receipt: Receipt) -> str:
    """What the ledger says of its payment."""
    return f"Payment of receipt {receipt.number}"


def tell_paid(tx: Transaction, receipt: Receipt, key: str, reason: str) -> None:
    """What the audit chain keeps of its payment."""
    tx.audit.record("receipt.paid", f"receipt:{receipt.id}", number=receipt.number, key=key, reason=reason)


def mark_paid(tx: Transaction, name: str, reason: str, by: Person) -> Receipt:
    """Settle a receipt by other means (cash, transfer), with the reason that says which."""
    allow(by, Action.SETTLE)
    receipt = _locked(tx, name)
    if receipt.status is not ReceiptStatus.PENDING:             # a refunded one is paid again only when its refund comes back
        raise IllegalMove(f"Receipt {receipt.number} is {receipt.status}: there is nothing to pay.")
    _need_reason(reason)
    payment = tx.payments.add_manual(receipt, by.name, tx.now)
    made = tx.payments.find(payment)
    assert made is not None
    tx.outbox.add(*issue_job(DocumentKind.PAYMENT_RECEIPT, made.id))
    return settle(tx, receipt, f"pay:manual:{payment}",
                  payment_postings("manual", receipt.payer, receipt.currency, receipt.total_micro), by.name, reason)


def revert_paid(tx: Transaction, name: str, reason: str, by: Person) -> Receipt:
    """Take back a manual settlement that was a mistake; one that a provider made needs a refund instead."""
    allow(by, Action.SETTLE)
    receipt = _locked(tx, name)
    check_move(receipt.number, receipt.status, ReceiptStatus.PENDING)
    _need_reason(reason)
    if any(refund.live for refund in tx.refunds.of_receipt(receipt.id)):
        raise IllegalMove(f"What was paid for receipt {receipt.number} was given back in part or whole.")
    payment = tx.payments.revert_manual(receipt.id)
    if payment is None:
        raise IllegalMove(f"Receipt {receipt.number} was paid through a provider: refund it instead.")
    tx.ledger.post(f"revert:manual:{payment}", f"Reverted payment of receipt {receipt.number}",
                   reversed_postings(tx.ledger.postings(f"pay:manual:{payment}")))
    tx.audit.record("receipt.reverted", f"receipt:{receipt.id}", number=receipt.number, reason=reason)
    return _move(tx, receipt, ReceiptStatus.PENDING, by.name, reason)


def get_receipt(tx: Transaction, name: str, by: Person) -> Receipt:
    """A receipt by id or number; to whoever may not see it, it does not exist."""
    receipt = tx.receipts.get(name)
    if receipt is None or not (by.payer == receipt.payer or by.may(Action.SEE_ALL)):
        raise NotFound(f"No receipt {name!r}.")
    return receipt


def _locked(tx: Transaction, name: str) -> Receipt:
    found = tx.receipts.get(name)
    if found is None:
        raise NotFound(f"No receipt {name!r}.")
    tx.payers.lock(found.payer)
    receipt = tx.receipts.get(found.id, lock=True)
    assert receipt is not None
    return receipt


def _move(tx: Transaction, receipt: Receipt, to: ReceiptStatus, actor: str, reason: str) -> Receipt:
    tx.receipts.move(receipt, to, actor, reason, tx.now)
    moved = tx.receipts.get(receipt.id)
    assert moved is not None
    return moved


def _need_reason(reason: str) -> None:
    if not reason.strip():
        raise IllegalMove("Say why: the reason stays in the receipt's history.")
