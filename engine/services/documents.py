"""Hand out documents: read what happened, freeze it as facts, number it, write it; one transaction each.

Issued after the commit it is about, by the outbox (`document.issue`), or by whoever asks first; however often it is asked,
there is one document with one number. All but receipts are numbered by series of their own and year, without gaps: the
number is taken in the transaction that writes the document. Locks: the subject, then the number series.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import polars as pl

from engine.documents import (
    Detail,
    Document,
    DocumentKind,
    Facts,
    Issuer,
    Tax,
    broken_down,
    credit_note,
    debit_note,
    moved_wallet,
    payment_receipt,
    ways_to_pay,
)
from engine.errors import IllegalMove, NotFound
from engine.ledger import Kind
from engine.mail import send_job
from engine.money import Money
from engine.payments import Payment, PaymentStatus
from engine.ports import Site, Transaction
from engine.receipt_lines import CREDIT_OF, CREDIT_OF_PAYMENT, CREDIT_OF_WALLET, PAYMENT_OF, TOPUP_OF, Line, receipt_lines
from engine.receipts import Receipt
from engine.refunds import Refund, RefundStatus
from engine.services.receipts import get_receipt
from engine.services.wallets import owners_of, see_wallet
from engine.users import Action, Person
from engine.wallets import project_of

Numbered = tuple[str, int, int]         # series, year, sequence


def issue_document(tx: Transaction, kind: DocumentKind, subject: str) -> Document:
    """The document of that kind about `subject` (id of a receipt, payment or refund): made now, unless it was made before."""
    tx.documents.hold(kind, subject)
    found = tx.documents.of_subject(kind, subject)
    return found or _MAKERS[kind](tx, subject)


def issue_and_send(tx: Transaction, kind: DocumentKind, subject: str) -> Document:
    """Issue it and queue it for the people whose usage is its payer's, who have an address and are not shut out. A receipt that
    asks for nothing is not mailed."""
    document = issue_document(tx, kind, subject)
    if document.facts.total_micro:
        for person in tx.users.everybody():
            if person.payer == document.payer and person.email and not person.disabled:
                tx.outbox.add(*send_job(document.number, person.email, person.language))
    return document


def receipt_document(tx: Transaction, name: str, by: Person) -> tuple[Document, Receipt]:
    """The document of the receipt `name` (id or number) and where the receipt stands; to whoever may not see it, it does not
    exist."""
    receipt = get_receipt(tx, name, by)
    return issue_document(tx, DocumentKind.RECEIPT, receipt.id), receipt


def get_document(tx: Transaction, number: str, by: Person) -> Document:
    """A document by its number; to whoever may not see it, it does not exist."""
    found = tx.documents.get(number)
    if found is None or not (by.may(Action.SEE_ALL) or found.payer in whose(tx, by)):
        raise NotFound(f"No document {number!r}.")
    return found


def list_documents(tx: Transaction, by: Person) -> list[Document]:
    """The documents a person may see, newest first."""
    return tx.documents.all(None if by.may(Action.SEE_ALL) else whose(tx, by))


def whose(tx: Transaction, by: Person) -> list[str]:
    """Whose documents are `by`'s to read: their own, and those of wallets they share. Who is billed under the name that a project's
    wallet has is not its member."""
    taken = tx.wallets.project(project_of(by.payer) or "") is not None
    return list(dict.fromkeys([*([] if taken else [by.payer]), *owners_of(tx, by)]))


def documents_about(tx: Transaction, name: str, by: Person) -> list[Document]:
    """What was handed out about the money of the receipt `name`: payment receipts, credit and debit notes, oldest first. The
    receipt itself is not among them."""
    receipt = get_receipt(tx, name, by)
    subjects = [payment.id for payment in tx.payments.of_receipt(receipt.id)] + [one.id for one in tx.refunds.of_receipt(receipt.id)]
    return tx.documents.about(subjects)


def documents_of_wallet(tx: Transaction, owner: str, by: Person) -> list[Document]:
    """What was handed out about money that came into a wallet, paid a receipt from it or went back out of it, newest first."""
    see_wallet(tx, owner, by)
    return [document for document in tx.documents.all([owner]) if moved_wallet(document.facts, owner)]


def issuer(site: Site) -> Issuer:
    """Who issues, as the settings say now."""
    return Issuer(site.site_name, site.site_address, site.site_tax_id)


def receipt_facts(tx: Transaction, receipt: Receipt) -> Facts:
    """A receipt as it is handed out: lines by meter, job by job, what is owed until when, and how to pay it."""
    site, jobs = tx.settings, tx.documents.by_job(receipt.id)
    runs, months = jobs.filter(pl.col("month").is_null()), jobs.filter(pl.col("month").is_not_null())
    lines = receipt_lines(tx.documents.by_meter(receipt.id).filter(kind="usage").iter_rows(named=True), months.iter_rows(named=True),
                          runs.filter(kind="adjustment").iter_rows(named=True), {card.name: card for card in tx.rates.book()},
                          receipt.currency, receipt.subtotal_micro)
    details = [_detail(job, site) for job in runs.iter_rows(named=True)]
    days = [job["end_at"].astimezone(site.zone).date() for job in jobs.filter(kind="usage").iter_rows(named=True)]
    total = Money(receipt.total_micro, receipt.currency)
    return Facts(
        DocumentKind.RECEIPT, receipt.number, receipt.issued_at.astimezone(site.zone).date(), receipt.currency, issuer(site),
        receipt.payer, receipt.total_micro, receipt.subtotal_micro, receipt.rounding_micro, _tax(receipt, receipt.tax_included),
        due=receipt.due_at.astimezone(site.zone).date() if total.micro else None, period=(min(days), max(days)) if days else None,
        lines=tuple(lines), details=broken_down(details),
        ways_to_pay=ways_to_pay(total, receipt.number, site.promptpay_id, site.bank_iban, site.bank_bic,
                                site.bank_account_name or site.site_name))


def _detail(job: dict[str, Any], site: Site) -> Detail:
    on: date = job["end_at"].astimezone(site.zone).date()
    return Detail(on, job["cost_micro"], job["cpu_core_seconds"], job["gpu_seconds"], job["mem_mib_seconds"], job["job_id"],
                  job["job_name"], job["account_name"])


def _tax(receipt: Receipt, included: bool) -> Tax:
    return Tax(receipt.tax_name, receipt.tax_ppm, receipt.tax_micro, included) if receipt.tax_ppm else Tax()


def _of_receipt(tx: Transaction, subject: str) -> Document:
    receipt = tx.receipts.get(subject)
    if receipt is None:
        raise NotFound(f"No receipt {subject!r}.")
    return _keep(tx, receipt.id, receipt_facts(tx, receipt), tx.documents.numbered(receipt.id))


def _of_payment(tx: Transaction, subject: str) -> Document:
    payment = tx.payments.by_id(subject)
    if payment is None:
        raise NotFound(f"No payment {subject!r}.")
    if payment.status not in (PaymentStatus.SUCCEEDED, PaymentStatus.CREDITED):
        raise IllegalMove(f"Payment {payment.reference} is {payment.status}: there is no receipt for it.")
    numbered = _next(tx, tx.settings.payment_receipt_series)
    return _keep(tx, payment.id, _payment_facts(tx, payment, number_text(numbered)), numbered)


def _payment_facts(tx: Transaction, payment: Payment, number: str) -> Facts:
    """What of the money paid a receipt, which contains its tax, on top or not; the rest is in a wallet."""
    receipt = tx.receipts.get(payment.receipt_id) if payment.settled_micro and payment.receipt_id else None
    on = (payment.settled_at or tx.now).astimezone(tx.settings.zone).date()
    about = {"provider": payment.provider, "reference": payment.reference}
    lines = [Line(PAYMENT_OF, payment.settled_micro, of=receipt.number)] if receipt else []
    lines += [Line(TOPUP_OF, payment.credited_micro, of=payment.wallet)] if payment.credited_micro else []
    return payment_receipt(number, on, issuer(tx.settings), receipt.payer if receipt else payment.wallet, payment.currency, lines, about,
                           _tax(receipt, included=True) if receipt else Tax())


def _of_refund(tx: Transaction, subject: str) -> Document:
    refund = tx.refunds.get(subject)
    if refund is None:
        raise NotFound(f"No refund {subject!r}.")
    if refund.status is not RefundStatus.SUCCEEDED:
        raise IllegalMove(f"Refund {refund.id} is {refund.status}: there is no credit note for it.")
    numbered = _next(tx, tx.settings.credit_note_series)
    return _keep(tx, refund.id, _refund_facts(tx, refund, number_text(numbered)), numbered)


def _of_failed_refund(tx: Transaction, subject: str) -> Document:
    """What takes the refund's credit note back. Whoever issues that at this moment is waited for."""
    tx.documents.hold(DocumentKind.CREDIT_NOTE, subject)
    refund, credited = tx.refunds.get(subject), tx.documents.of_subject(DocumentKind.CREDIT_NOTE, subject)
    if refund is None:
        raise NotFound(f"No refund {subject!r}.")
    if refund.status is not RefundStatus.FAILED or credited is None:
        raise IllegalMove(f"Refund {refund.id} is {refund.status} and has {credited.number if credited else 'no credit note'}: there is "
                          "nothing to take back.")
    numbered = _next(tx, tx.settings.debit_note_series)
    on = (refund.settled_at or tx.now).astimezone(tx.settings.zone).date()
    facts = debit_note(number_text(numbered), on, issuer(tx.settings), credited.facts, refund.why or refund.reason)
    return _keep(tx, refund.id, facts, numbered)


def _refund_facts(tx: Transaction, refund: Refund, number: str) -> Facts:
    """What was given back, of what, and the tax in it as the ledger took it back."""
    payment = tx.payments.by_id(refund.payment_id)
    assert payment is not None
    receipt = tx.receipts.get(payment.receipt_id) if refund.from_receipt_micro and payment.receipt_id else None
    elsewhere = refund.from_unapplied_micro + refund.from_write_off_micro
    lines = [Line(CREDIT_OF, refund.from_receipt_micro, of=receipt.number)] if receipt else []
    lines += [Line(CREDIT_OF_WALLET, refund.from_wallet_micro, of=payment.wallet)] if refund.from_wallet_micro else []
    lines += [Line(CREDIT_OF_PAYMENT, elsewhere, of=payment.reference)] if elsewhere else []
    taxed = sum(posting.amount_micro for posting in tx.ledger.postings(f"refund:{refund.id}") if posting.account.kind is Kind.TAX)
    tax = Tax(receipt.tax_name, receipt.tax_ppm, taxed, included=True) if receipt and receipt.tax_ppm else Tax()
    on = (refund.settled_at or tx.now).astimezone(tx.settings.zone).date()
    about = {"provider": refund.provider, "reference": payment.reference, "reason": refund.reason}
    return credit_note(number, on, issuer(tx.settings), receipt.payer if receipt else payment.wallet, refund.currency, lines, about, tax)


def number_text(numbered: Numbered) -> str:
    """`PR-2026-000001`."""
    series, year, sequence = numbered
    return f"{series}-{year}-{sequence:06d}"


def _next(tx: Transaction, series: str) -> Numbered:
    """The next number of the series, of the site's year; given back when the transaction fails."""
    year = tx.now.astimezone(tx.settings.zone).year
    return series, year, tx.receipts.next_sequence(series, year)


def _keep(tx: Transaction, subject: str, facts: Facts, numbered: Numbered) -> Document:
    document = Document(facts.number, subject, facts.payer, facts, tx.now)
    tx.documents.add(document, *numbered)
    tx.audit.record("document.issued", f"document:{document.number}", kind=str(document.kind), about=subject, payer=document.payer,
                    total_micro=facts.total_micro, currency=facts.currency)
    return document


_MAKERS: dict[DocumentKind, Callable[[Transaction, str], Document]] = {
    DocumentKind.RECEIPT: _of_receipt, DocumentKind.PAYMENT_RECEIPT: _of_payment,
    DocumentKind.CREDIT_NOTE: _of_refund, DocumentKind.DEBIT_NOTE: _of_failed_refund}
