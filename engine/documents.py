"""Documents: what is handed to people on paper, as frozen facts. A receipt, a receipt for a payment, a credit note, and a debit
note that takes one back.

The facts are taken once, when the document is issued, and kept: a later change of the site's name, address or tax does not
change what was handed out. Knows no language, no page and no table; amounts are micro-units of the document's currency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from engine import emv
from engine.errors import DomainError
from engine.money import Money, round_to_minor, to_minor
from engine.payments import FROM_WALLET
from engine.receipt_lines import CREDIT_OF_WALLET, DEBIT_OF, TOPUP_OF, Line

ISSUE = "document.issue"                # the outbox's kind of job that issues one
MOST_JOBS = 400                         # a longer receipt is broken down by day instead of by job


class DocumentKind(StrEnum):
    """What is handed out."""

    RECEIPT = "receipt"
    """What is owed for a time, with its lines."""
    PAYMENT_RECEIPT = "payment_receipt"
    """That money came: for a receipt, or for a wallet."""
    CREDIT_NOTE = "credit_note"
    """That money was given back, and for what."""
    DEBIT_NOTE = "debit_note"
    """That a credit note counts no more: its money came back to us."""


class Language(StrEnum):
    """What a document is written in."""

    ENGLISH = "en"
    THAI = "th"


class BadDocument(DomainError):
    """This document cannot be made."""

    code = "bad_document"


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who issues: as it stands on paper. The address has a line for each line of it."""

    name: str
    address: str = ""
    tax_id: str = ""


@dataclass(frozen=True, slots=True)
class Tax:
    """The tax of a document: `ppm` parts per million of the net amount, contained in the prices or added to them."""

    name: str = ""
    ppm: int = 0
    micro: int = 0
    included: bool = False


@dataclass(frozen=True, slots=True)
class WayToPay:
    """A QR code: its scheme (promptpay, epc), the payload, and whom it pays, in words."""

    scheme: str
    payload: str
    payee: str


@dataclass(frozen=True, slots=True)
class Detail:
    """One job, or one day with its `jobs`. Quantities are base quantities: core-seconds, GPU-seconds, MiB-seconds."""

    on: date
    cost_micro: int
    cpu_core_seconds: int
    gpu_seconds: int
    mem_mib_seconds: int
    job: str = ""
    name: str = ""
    project: str = ""
    jobs: int = 1


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a document says. `on` and `due` are days of the site; `about` holds what is particular to its kind, by word:
    payment and credit note name the `provider`, `reference` and `reason`."""

    kind: DocumentKind
    number: str
    on: date
    currency: str
    issuer: Issuer
    payer: str
    total_micro: int
    subtotal_micro: int = 0
    rounding_micro: int = 0
    tax: Tax = Tax()
    due: date | None = None
    period: tuple[date, date] | None = None
    lines: tuple[Line, ...] = ()
    details: tuple[Detail, ...] = ()
    ways_to_pay: tuple[WayToPay, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """What was handed out: its number, whose it is, and the facts as they were. `subject` is the id of the receipt, payment or
    refund it is about."""

    number: str
    subject: str
    payer: str
    facts: Facts
    issued_at: datetime

    @property
    def kind(self) -> DocumentKind:
        """What it is."""
        return self.facts.kind


def issue_job(kind: DocumentKind, subject: str) -> tuple[str, str, dict[str, object]]:
    """Kind, key and payload of the job that issues a document once what it is about is committed."""
    return ISSUE, f"{kind}:{subject}", {"kind": str(kind), "subject": subject}


def to_json(facts: Facts) -> dict[str, Any]:
    """The facts as JSON values, days as ISO 8601."""
    def plain(value: Any) -> Any:
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, Mapping):
            return {name: plain(one) for name, one in value.items()}
        return [plain(one) for one in value] if isinstance(value, list | tuple) else value
    kept: dict[str, Any] = plain(asdict(facts))
    return kept


def from_json(kept: Mapping[str, Any]) -> Facts:
    """The facts that `to_json` wrote."""
    period = kept["period"]
    return Facts(**{
        **kept, "kind": DocumentKind(kept["kind"]), "on": date.fromisoformat(kept["on"]), "issuer": Issuer(**kept["issuer"]),
        "tax": Tax(**kept["tax"]), "due": date.fromisoformat(kept["due"]) if kept["due"] else None,
        "period": (date.fromisoformat(period[0]), date.fromisoformat(period[1])) if period else None,
        "lines": tuple(Line(**line) for line in kept["lines"]),
        "details": tuple(Detail(**{**detail, "on": date.fromisoformat(detail["on"])}) for detail in kept["details"]),
        "ways_to_pay": tuple(WayToPay(**way) for way in kept["ways_to_pay"])})


def ways_to_pay(total: Money, reference: str, promptpay_id: str, iban: str, bic: str, payee: str) -> tuple[WayToPay, ...]:
    """The QR codes that pay `total`: PromptPay for THB, a SEPA transfer for EUR, where the site has an account for it. What does
    not fit such a code (too much money, too long a name) has none."""
    if total.micro <= 0:
        return ()
    try:
        if total.currency == "THB" and promptpay_id:
            target = emv.promptpay_id(promptpay_id)
            return (WayToPay("promptpay", emv.promptpay(target, to_minor(total), reference), target.digits),)
        if total.currency == "EUR" and iban:
            return (WayToPay("epc", emv.epc(payee, iban, to_minor(total), reference, bic), emv.check_iban(iban)),)
    except emv.BadQr:
        pass
    return ()


def broken_down(details: Sequence[Detail]) -> tuple[Detail, ...]:
    """Job by job, oldest first; by day where that would be more than MOST_JOBS."""
    ordered = sorted(details, key=lambda one: (one.on, one.job))
    if len(ordered) <= MOST_JOBS:
        return tuple(ordered)
    days: dict[date, list[Detail]] = {}
    for detail in ordered:
        days.setdefault(detail.on, []).append(detail)
    return tuple(_day(on, jobs) for on, jobs in days.items())


def _day(on: date, jobs: Sequence[Detail]) -> Detail:
    return Detail(on, sum(one.cost_micro for one in jobs), sum(one.cpu_core_seconds for one in jobs),
                  sum(one.gpu_seconds for one in jobs), sum(one.mem_mib_seconds for one in jobs), jobs=len(jobs))


def payment_receipt(number: str, on: date, issuer: Issuer, payer: str, currency: str, lines: Sequence[Line], about: Mapping[str, str],
                    tax: Tax) -> Facts:
    """That the money of `lines` came (PAYMENT_OF, TOPUP_OF): `about` names provider and reference, `tax` what of it is tax."""
    return _plain(DocumentKind.PAYMENT_RECEIPT, number, on, issuer, payer, currency, lines, about, tax)


def credit_note(number: str, on: date, issuer: Issuer, payer: str, currency: str, lines: Sequence[Line], about: Mapping[str, str],
                tax: Tax) -> Facts:
    """That the money of `lines` was given back (CREDIT_OF, CREDIT_OF_WALLET): `about` names reference and reason, `tax` what of it
    is tax."""
    return _plain(DocumentKind.CREDIT_NOTE, number, on, issuer, payer, currency, lines, about, tax)


def debit_note(number: str, on: date, issuer: Issuer, credited: Facts, why: str) -> Facts:
    """That the credit note `credited` counts no more, tax and all, and `why` in the provider's words."""
    line = Line(DEBIT_OF, credited.total_micro, of=credited.number)
    return _plain(DocumentKind.DEBIT_NOTE, number, on, issuer, credited.payer, credited.currency, [line],
                  {**credited.about, "reason": why}, credited.tax)


def moved_wallet(facts: Facts, owner: str) -> bool:
    """True for a document about money that came into the wallet of `owner`, left it again, or paid from it. A debit note is always
    shown: which of the money it takes back, its credit note says."""
    if facts.kind is DocumentKind.RECEIPT:
        return False
    of_it = any(line.what in (TOPUP_OF, CREDIT_OF_WALLET) and line.of == owner for line in facts.lines)
    return of_it or facts.kind is DocumentKind.DEBIT_NOTE or facts.about.get("provider") == FROM_WALLET


def _plain(kind: DocumentKind, number: str, on: date, issuer: Issuer, payer: str, currency: str, lines: Sequence[Line],
           about: Mapping[str, str], tax: Tax) -> Facts:
    total = sum(line.amount_micro for line in lines)
    if total <= 0 or any(line.amount_micro <= 0 or round_to_minor(line.amount_micro, currency) != line.amount_micro for line in lines):
        raise BadDocument(f"{Money(total, currency)} is no amount that was paid.")
    return Facts(kind, number, on, currency, issuer, payer, total, subtotal_micro=total, tax=tax, lines=tuple(lines), about=dict(about))
