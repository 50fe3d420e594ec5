"""Payments: what we asked a provider to collect, what it tells us, and the decision between the two.

A provider's event is a hint. Amount, currency, mode and reference are compared with our own row, and money that does
not fit is kept in sight, never dropped. Pure: knows no table, no clock, no network.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar

from engine.errors import DomainError, IllegalMove
from engine.money import Money, from_minor
from engine.receipts import ReceiptStatus

PATIENCE = timedelta(minutes=2)             # an event may come before the payment it speaks of
SIGNATURE_TOLERANCE = timedelta(seconds=300)
FROM_WALLET = "wallet"                      # the provider of a payment that a wallet made
REFERENCE = re.compile(r"TXN_[0-9A-Z]{16}", re.ASCII)


class PaymentStatus(StrEnum):
    """Where a payment stands."""

    PENDING = "pending"
    """The payer was sent to the provider."""
    PROCESSING = "processing"
    """The payer did their part and the provider waits for the money: open however long that takes."""
    SUCCEEDED = "succeeded"
    """The money came and did what it was asked for: it settled its receipt, or is in the wallet."""
    CREDITED = "credited"
    """The money came, its receipt did not need it or it was too little: all of it is in the wallet."""
    FAILED = "failed"
    """The provider says it was declined; money that comes all the same is still taken."""
    EXPIRED = "expired"
    """Nobody paid in time; money that comes late is still taken."""
    UNAPPLIED = "unapplied"
    """Money that came and fits nobody: it waits for somebody to decide."""
    REVERTED = "reverted"
    """A manual settlement that was a mistake."""


_CAME = frozenset({PaymentStatus.SUCCEEDED, PaymentStatus.CREDITED, PaymentStatus.UNAPPLIED})
MOVES: dict[PaymentStatus, frozenset[PaymentStatus]] = {
    PaymentStatus.PENDING: _CAME | {PaymentStatus.PROCESSING, PaymentStatus.FAILED, PaymentStatus.EXPIRED},
    PaymentStatus.PROCESSING: _CAME | {PaymentStatus.FAILED},
    PaymentStatus.FAILED: _CAME,                # not processing: words come in any order, and an old one would hold it open for good
    PaymentStatus.EXPIRED: _CAME | {PaymentStatus.PROCESSING},
    PaymentStatus.SUCCEEDED: frozenset({PaymentStatus.REVERTED}),
    PaymentStatus.CREDITED: frozenset(),
    PaymentStatus.UNAPPLIED: frozenset({PaymentStatus.SUCCEEDED, PaymentStatus.CREDITED}),
    PaymentStatus.REVERTED: frozenset(),
}


class Purpose(StrEnum):
    """What a payment is for."""

    RECEIPT = "receipt"
    """It pays a receipt."""
    TOPUP = "topup"
    """It fills a wallet. So does money that nobody asked for, once it is known whose it is."""


class EventKind(StrEnum):
    """What a provider tells us, in our words."""

    SUCCEEDED = "payment.succeeded"
    """The money is there."""
    FAILED = "payment.failed"
    """It was declined, or its time at the provider is over."""
    PROCESSING = "payment.processing"
    """The payer did their part; the money is on its way (a bank transfer, a wallet that confirms later)."""
    REFUND_SUBMITTED = "refund.submitted"
    """A refund is under way; `object` names it."""
    REFUND_SUCCEEDED = "refund.succeeded"
    """A refund arrived."""
    REFUND_FAILED = "refund.failed"
    """A refund did not arrive, perhaps after it was said to have succeeded."""
    DISPUTE_OPENED = "dispute.opened"
    """The payer's bank asks for the money back; `object` names the dispute. No money moved yet."""
    DISPUTE_WITHDRAWN = "dispute.withdrawn"
    """The provider took the disputed money from us."""
    DISPUTE_REINSTATED = "dispute.reinstated"
    """The provider gave the disputed money back to us."""
    DISPUTE_WON = "dispute.won"
    """Closed in our favour, or taken back."""
    DISPUTE_LOST = "dispute.lost"
    """Closed against us."""
    OTHER = "other"
    """Something these books do nothing about: kept, and marked processed."""


@dataclass(frozen=True, slots=True)
class Payment:
    """One attempt to have a receipt paid or a wallet filled; `amount_micro` of `currency`, named `reference` (TXN_…) to the outside.

    `wallet` is the owner of the wallet that gets what the receipt does not need (or that paid it, where the provider is
    `wallet`), empty when nobody is known. `received_micro` came under the provider's own name `money_ref`; `note` says why
    the money is where it is."""

    id: str
    reference: str
    receipt_id: str | None
    provider: str
    livemode: bool
    amount_micro: int
    currency: str
    status: PaymentStatus
    provider_ref: str | None
    checkout_url: str | None
    created_by: str
    created_at: datetime
    expires_at: datetime
    settled_at: datetime | None
    purpose: Purpose = Purpose.RECEIPT
    wallet: str = ""
    money_ref: str | None = None
    received_micro: int = 0
    note: str = ""

    @property
    def money(self) -> Money:
        """What was asked for."""
        return Money(self.amount_micro, self.currency)

    @property
    def received(self) -> Money:
        """What came; zero until it did."""
        return Money(self.received_micro, self.currency)

    @property
    def settled_micro(self) -> int:
        """The part of what came that settled a receipt."""
        return self.amount_micro if self.status is PaymentStatus.SUCCEEDED and self.purpose is Purpose.RECEIPT else 0

    @property
    def credited_micro(self) -> int:
        """The part of what came that went to the wallet."""
        came = self.status in (PaymentStatus.SUCCEEDED, PaymentStatus.CREDITED) and self.provider != FROM_WALLET
        return self.received_micro - self.settled_micro if came else 0

    @property
    def under_way(self) -> bool:
        """True while the provider has not said how it ended."""
        return self.status in (PaymentStatus.PENDING, PaymentStatus.PROCESSING)

    def open(self, now: datetime) -> bool:
        """True while its checkout may be used, or its money is on its way."""
        return self.status is PaymentStatus.PROCESSING or (self.status is PaymentStatus.PENDING and now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Checkout:
    """Where the payer goes, and what the provider calls it."""

    url: str
    provider_ref: str


@dataclass(frozen=True, slots=True, order=True)
class MoneyName:
    """What a provider calls money that it collected, in one mode."""

    provider: str
    livemode: bool
    money: str


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """What a provider said, its signature proven. `key` names the event, `money` the money object behind it (an
    event may come twice, and two events may speak of the same money); `amount_minor` in minor units of `currency`.

    `reference` is ours (TXN_…), empty where the provider does not repeat it: then `money` finds the payment. Refunds and
    disputes are named by `object` (the provider's own id, empty until `confirm` asked for it where a webhook leaves it out)
    and speak of their own amount; `refund` is our own refund's id where the provider repeats it, and `why` its reason in its
    own words."""

    provider: str
    key: str
    kind: EventKind
    livemode: bool
    reference: str
    money: str
    amount_minor: int
    currency: str
    object: str = ""
    refund: str = ""
    why: str = ""

    @property
    def amount(self) -> Money:
        """The amount it names; an unknown currency is refused."""
        return from_minor(self.amount_minor, self.currency)

    @property
    def money_name(self) -> MoneyName:
        """The money it speaks of."""
        return MoneyName(self.provider, self.livemode, self.money)


class Unwelcome(DomainError):
    """The webhook is not taken."""

    def __init__(self, detail: str = "", counted: str = "malformed") -> None:
        super().__init__(detail)
        self.counted = counted                  # what the door counts it as, in one word


class BadSignature(Unwelcome):
    """The signature does not fit."""

    code, status = "bad_signature", 401

    def __init__(self, detail: str = "", counted: str = "forged") -> None:
        super().__init__(detail, counted)


class BadEvent(Unwelcome):
    """The event cannot be read."""

    code: ClassVar[str] = "bad_event"
    status: ClassVar[int] = 400


class WrongMode(Unwelcome):
    """The event is of the other mode: live and test money are kept apart."""

    code, status = "wrong_mode", 422

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, "wrong_mode")


class WrongAccount(Unwelcome):
    """The event is about another account."""

    code, status = "wrong_account", 422

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, "wrong_account")


class Outcome(StrEnum):
    """What is known of a call to a provider that went wrong."""

    NOT_DONE = "not_done"
    """It did nothing: asking again helps."""
    REFUSED = "refused"
    """It says no: asking again does not help."""
    UNKNOWN = "unknown"
    """Perhaps it did it: ask again with the same key where keys are known, else look first."""


class ProviderTrouble(DomainError):
    """The payment provider did not do it."""

    code: ClassVar[str] = "provider_trouble"
    status: ClassVar[int] = 502

    def __init__(self, detail: str, outcome: Outcome, retry_after_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Movement:
    """One movement of money in a provider's own books, for comparing them with ours: what came in is positive, refunds and
    disputes that took it out are negative; `amount_minor` in minor units of `currency`, fees not counted. `object` is what
    moved it, a refund or a dispute, or `money` itself where a payer paid: a refund that comes back is no payment."""

    money: str
    object: str
    reference: str
    amount_minor: int
    currency: str
    at: datetime


class NoProvider(DomainError):
    """Payments are not set up here."""

    code, status = "no_provider", 409


class Step(StrEnum):
    """What an event leads to."""

    SETTLE = "succeeded"
    """The receipt is paid, or the wallet is filled as asked; what is over goes to the wallet."""
    CREDIT = "credited"
    """The receipt needs none, or too little came: all of it goes to the wallet."""
    PROCESS = "processing"
    """The money is on its way: the payment stays open."""
    FAIL = "failed"
    """The payment is marked as declined."""
    KEEP = "unapplied"
    """Money that fits nobody: kept as unapplied until somebody decides."""
    CONTRADICT = "contradicted"
    """Money that is known already, told with another amount: nothing is posted, somebody must look."""
    WAIT = "waiting"
    """No such payment yet: ask again soon."""
    NOTHING = "duplicate"
    """All of it is known already."""
    IGNORE = "ignored"
    """It is not for these books."""
    BOOK = "booked"
    """A refund or a dispute was taken into the books."""
    ORPHAN = "unmatched"
    """It speaks of money that has not come: applied when that comes, and somebody must look if it never does."""


ALARMS = frozenset({Step.KEEP, Step.CONTRADICT, Step.ORPHAN})        # somebody must look
PAYMENT_KINDS = (EventKind.SUCCEEDED, EventKind.FAILED, EventKind.PROCESSING)


@dataclass(frozen=True, slots=True)
class Decision:
    """A step, and why in plain words."""

    step: Step
    why: str


@dataclass(frozen=True, slots=True)
class Known:
    """What our books know of the payment an event speaks of: the payment that asked (None when we know none), its receipt's
    state (None for a top-up), the payment that holds the event's money already, and whether that is `bound`: on its way back, or
    disputed."""

    payment: Payment | None = None
    receipt: ReceiptStatus | None = None
    holder: Payment | None = None
    bound: bool = False


def check_move(reference: str, was: PaymentStatus, to: PaymentStatus) -> None:
    """Refuse a move that the table does not know."""
    if to not in MOVES[was]:
        raise IllegalMove(f"Payment {reference} is {was} and cannot become {to}.")


def decide(event: ProviderEvent, known: Known, live: bool, patient: bool) -> Decision:
    """What `event` does to what we know of it.

    `live` says whether these books hold real money, `patient` whether a payment may still turn up.
    """
    if event.livemode != live:
        return Decision(Step.IGNORE, f"the event is {_mode(event.livemode)}, these books are {_mode(live)}")
    if event.kind not in PAYMENT_KINDS:
        return Decision(Step.IGNORE, f"nothing is done about {event.kind}")
    if event.kind is EventKind.SUCCEEDED and known.holder is not None:
        return _told_before(event, known.holder, known)
    if known.payment is None:
        return _unknown(event, patient)
    if event.kind is EventKind.SUCCEEDED:
        return _came(event, known.payment, known.receipt)
    return _on_its_way(known.payment) if event.kind is EventKind.PROCESSING else _declined(known.payment)


def _mode(live: bool) -> str:
    return "live" if live else "a test"


def _told_before(event: ProviderEvent, holder: Payment, known: Known) -> Decision:
    """The same money again: at most it is now known whose it is."""
    if event.amount != holder.received:
        return Decision(Step.CONTRADICT, f"{event.amount} is said of money that was {holder.received} before")
    if holder.status is not PaymentStatus.UNAPPLIED or known.payment is None or known.payment.id == holder.id:
        return Decision(Step.NOTHING, f"payment {holder.reference} is {holder.status} already")
    if known.bound:
        return Decision(Step.NOTHING, f"the money of {holder.reference} was given back or is disputed: it is used for nothing else")
    return _came(event, known.payment, known.receipt)


def _unknown(event: ProviderEvent, patient: bool) -> Decision:
    if patient:
        return Decision(Step.WAIT, f"no payment {event.reference} yet")
    if event.kind is not EventKind.SUCCEEDED:
        return Decision(Step.IGNORE, f"no payment {event.reference} is known, and no money came")
    return Decision(Step.KEEP, f"{event.amount} came for {event.reference or 'no reference'}, which nobody asked for")


def _came(event: ProviderEvent, payment: Payment, receipt: ReceiptStatus | None) -> Decision:
    """Money for a payment we know."""
    if event.currency != payment.currency:
        return Decision(Step.KEEP, f"{event.amount} came for {payment.reference}, where {payment.money} was asked for")
    if not payment.wallet:
        return Decision(Step.KEEP, f"{event.amount} came for {payment.reference}, which is nobody's")
    needed = receipt is None or receipt is ReceiptStatus.PENDING
    if needed and (payment.purpose is Purpose.TOPUP or event.amount.micro >= payment.amount_micro):
        return Decision(Step.SETTLE, f"{event.amount} came {_as_asked(event, payment)}{_late(payment)}")
    why = f"{payment.money} was asked for" if needed else f"the receipt is {receipt} already"
    return Decision(Step.CREDIT, f"{event.amount} came, {why}: it is in the wallet of {payment.wallet}")


def _as_asked(event: ProviderEvent, payment: Payment) -> str:
    if event.amount == payment.money:
        return "as asked"
    where = "the rest is" if payment.purpose is Purpose.RECEIPT else "it is"
    return f"where {payment.money} was asked for: {where} in the wallet of {payment.wallet}"


def _late(payment: Payment) -> str:
    if payment.received_micro:
        return f", after {payment.received} before"
    return "" if payment.under_way else f", though the payment was {payment.status}"


def _on_its_way(payment: Payment) -> Decision:
    if PaymentStatus.PROCESSING in MOVES[payment.status]:
        return Decision(Step.PROCESS, f"the money of {payment.reference} is on its way")
    return Decision(Step.NOTHING, f"payment {payment.reference} is {payment.status} already")


def _declined(payment: Payment) -> Decision:
    if payment.under_way:
        return Decision(Step.FAIL, f"payment {payment.reference} was declined")
    return Decision(Step.NOTHING, f"payment {payment.reference} is {payment.status} already")


def strict_json(body: bytes, fractions: bool = False) -> dict[str, object]:
    """A JSON object from `body`, read strictly: UTF-8, no duplicate keys, no NaN or Infinity. Fractions are refused, or
    kept as text where a provider may write one beside the money: none ever becomes a number."""
    try:
        value = (_WITH_FRACTIONS if fractions else _WHOLE).decode(_utf8(body))
    except BadEvent:
        raise
    except RecursionError:
        raise BadEvent("It is nested too deeply.", "too_deep") from None
    except ValueError as error:                     # JSONDecodeError is one, and so is an integer of 5,000 digits
        raise BadEvent(f"It is no JSON: {str(error)[:120]}.") from None
    if not isinstance(value, dict):
        raise BadEvent("It is no JSON object.")
    return value


def _utf8(body: bytes) -> str:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadEvent(f"It is no UTF-8: {error.reason} at byte {error.start}.", "not_utf8") from None
    if "\x00" in text:
        raise BadEvent("It is no UTF-8: there is a zero byte in it.", "not_utf8")     # as UTF-16 has, where its bytes happen to fit
    return text


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadEvent("A key stands in it twice.", "duplicate_key")
    return found


def _no_constant(text: str) -> object:
    raise BadEvent(f"{text} is no number.", "not_a_number")


def _no_float(text: str) -> object:
    raise BadEvent(f"{text[:40]} is no whole number.", "not_a_number")


_WHOLE = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_no_float)
_WITH_FRACTIONS = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=str)
