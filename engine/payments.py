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
REFERENCE = re.compile(r"TXN_[0-9A-Z]{16}", re.ASCII)


class PaymentStatus(StrEnum):
    """Where a payment stands."""

    PENDING = "pending"
    """The payer was sent to the provider."""
    SUCCEEDED = "succeeded"
    """The money came and settled its receipt."""
    FAILED = "failed"
    """The provider says it was declined; a later attempt may still succeed."""
    EXPIRED = "expired"
    """Nobody paid in time; money that comes late is still taken."""
    UNAPPLIED = "unapplied"
    """The money came when its receipt needed none any more: it waits for somebody to decide."""
    REVERTED = "reverted"
    """A manual settlement that was a mistake."""


_UNPAID = frozenset({PaymentStatus.SUCCEEDED, PaymentStatus.UNAPPLIED})
MOVES: dict[PaymentStatus, frozenset[PaymentStatus]] = {
    PaymentStatus.PENDING: _UNPAID | {PaymentStatus.FAILED, PaymentStatus.EXPIRED},
    PaymentStatus.FAILED: _UNPAID,
    PaymentStatus.EXPIRED: _UNPAID,
    PaymentStatus.SUCCEEDED: frozenset({PaymentStatus.REVERTED}),
    PaymentStatus.UNAPPLIED: frozenset(),
    PaymentStatus.REVERTED: frozenset(),
}


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
    """One attempt to have a receipt paid; `amount_micro` of `currency`, named `reference` (TXN_…) to the outside."""

    id: str
    reference: str
    receipt_id: str
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

    @property
    def money(self) -> Money:
        """What was asked for."""
        return Money(self.amount_micro, self.currency)

    def open(self, now: datetime) -> bool:
        """True while its checkout may be used."""
        return self.status is PaymentStatus.PENDING and now < self.expires_at


@dataclass(frozen=True, slots=True)
class Checkout:
    """Where the payer goes, and what the provider calls it."""

    url: str
    provider_ref: str


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
    disputes that took it out are negative; `amount_minor` in minor units of `currency`, fees not counted."""

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
    """The receipt is paid."""
    FAIL = "failed"
    """The payment is marked as declined."""
    KEEP = "unapplied"
    """The payment's own money came, but its receipt needs none: kept as unapplied."""
    KEEP_FOREIGN = "unmatched"
    """Money that is not what we asked for: kept as unapplied, the payment stays as it was."""
    WAIT = "waiting"
    """No such payment yet: ask again soon."""
    NOTHING = "duplicate"
    """All of it is known already."""
    IGNORE = "ignored"
    """It is not for these books."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A step, and why in plain words."""

    step: Step
    why: str


def check_move(reference: str, was: PaymentStatus, to: PaymentStatus) -> None:
    """Refuse a move that the table does not know."""
    if to not in MOVES[was]:
        raise IllegalMove(f"Payment {reference} is {was} and cannot become {to}.")


def decide(event: ProviderEvent, payment: Payment | None, receipt: ReceiptStatus | None, live: bool, patient: bool) -> Decision:
    """What `event` does to `payment` (ours, None when we know none) and its receipt.

    `live` says whether these books hold real money, `patient` whether a payment may still turn up.
    """
    if event.livemode != live:
        return Decision(Step.IGNORE, f"the event is {_mode(event.livemode)}, these books are {_mode(live)}")
    if event.kind not in (EventKind.SUCCEEDED, EventKind.FAILED):
        return Decision(Step.IGNORE, f"nothing is done about {event.kind}")
    if payment is None or receipt is None:
        return _unknown(event, patient)
    if event.kind is EventKind.FAILED:
        return _declined(payment)
    if event.amount != payment.money:
        return Decision(Step.KEEP_FOREIGN, f"{event.amount} came, {payment.money} was asked for")
    if PaymentStatus.SUCCEEDED not in MOVES[payment.status]:
        return Decision(Step.NOTHING, f"payment {payment.reference} is {payment.status} already")
    if receipt is not ReceiptStatus.PENDING:
        return Decision(Step.KEEP, f"the receipt is {receipt} already")
    late = "" if payment.status is PaymentStatus.PENDING else f", though the payment was {payment.status}"
    return Decision(Step.SETTLE, f"{event.amount} came as asked{late}")


def _mode(live: bool) -> str:
    return "live" if live else "a test"


def _unknown(event: ProviderEvent, patient: bool) -> Decision:
    if patient:
        return Decision(Step.WAIT, f"no payment {event.reference} yet")
    if event.kind is EventKind.FAILED:
        return Decision(Step.IGNORE, f"no payment {event.reference} is known, and no money came")
    return Decision(Step.KEEP_FOREIGN, f"{event.amount} came for {event.reference}, which nobody asked for")


def _declined(payment: Payment) -> Decision:
    if payment.status is PaymentStatus.PENDING:
        return Decision(Step.FAIL, f"payment {payment.reference} was declined")
    return Decision(Step.NOTHING, f"payment {payment.reference} is {payment.status} already")


def strict_json(body: bytes, fractions: bool = False) -> dict[str, object]:
    """A JSON object from `body`, read strictly: UTF-8, no duplicate keys, no NaN or Infinity. Fractions are refused, or
    kept as text where a provider may write one beside the money: none ever becomes a number."""
    try:
        value = json.loads(_utf8(body), object_pairs_hook=_unique, parse_constant=_no_constant,
                           parse_float=str if fractions else _no_float)
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
