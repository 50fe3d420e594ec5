"""Stripe: hosted checkout, payment intents, refunds, disputes; API 2026-10-28 through the official package.

Every call that has an effect carries an idempotency key, so asking again is always safe. Webhook signatures are verified
here and not by the package, which takes one that is dated a day ahead and parses the body a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import stripe

from data.settings import Settings
from engine.money import to_minor
from engine.payments import BadEvent, Checkout, EventKind, Movement, Payment, ProviderEvent, ProviderTrouble, WrongAccount
from engine.refunds import RefundAnswer, RefundOrder, RefundStatus
from webhooks.providers import calling, signing
from webhooks.providers.values import (
    MOST_MINOR,
    Values,
    any_currency,
    currency,
    flag,
    group,
    id_of,
    link,
    mark,
    minor,
    needed,
    read,
    text,
    whole,
    word,
    word_if_any,
)

NAME = "stripe"
SIGNATURE_HEADER = "stripe-signature"
SOONEST_END = timedelta(minutes=31)             # Stripe keeps a checkout open for 30 minutes at least, from when it is made
LONGEST = timedelta(hours=23)                   # and for 24 hours at most
stripe.enable_telemetry = False


class StripeProvider:
    """See the module."""

    name = NAME
    signature_is_enough = True

    def __init__(self, settings: Settings) -> None:
        self.secrets, self.account = settings.words_of("stripe_webhook_secret"), settings.stripe_account
        self.site, self.line = settings.site_name, calling.Line(settings.provider_seconds)
        [key] = settings.words_of("stripe_secret_key")
        self.api = stripe.StripeClient(key, base_addresses={"api": settings.stripe_url}, max_network_retries=1,
                                       http_client=stripe.RequestsClient(session=self.line)).v1

    def checkout(self, payment: Payment, return_url: str) -> Checkout:
        """A hosted checkout session."""
        with _asking(effect=True):
            made = self.api.checkout.sessions.create(_session(payment, return_url, self.site),
                                                     {"idempotency_key": f"checkout:{payment.reference}"}).to_dict()
            return Checkout(link(made, "url"), word(made, "id"))

    def read_event(self, headers: Mapping[str, str], body: bytes, now: datetime) -> ProviderEvent:
        """Verify `Stripe-Signature` over the raw body, then parse."""
        signing.verify(headers.get(SIGNATURE_HEADER), body, self.secrets, now)
        return self.parse_event(body)

    def parse_event(self, body: bytes) -> ProviderEvent:
        """An event of ours: sessions, intents, refunds and disputes; any other kind is OTHER."""
        told = read(body)
        account = word_if_any(told, "account")
        if account and account != self.account:
            raise WrongAccount(f"It speaks of {account}.")
        reader = READERS.get(word(told, "type"), _other)
        return reader(word(told, "type"), word(told, "id"), flag(told, "livemode"), needed(needed(told, "data"), "object"))

    def confirm(self, event: ProviderEvent) -> ProviderEvent:
        """The event: its signature says that it is Stripe's, and of this account."""
        return event

    def look_up(self, payment: Payment) -> ProviderEvent | None:
        """What its session says, or, where that was never kept, an intent that carries our reference."""
        with _asking(effect=False):
            if payment.provider_ref:
                session = self.api.checkout.sessions.retrieve(payment.provider_ref, {"expand": ["payment_intent"]}).to_dict()
                return _session_now(session)
            query = f"metadata['reference']:'{payment.reference}' AND status:'succeeded'"
            for found in self.api.payment_intents.search({"query": query, "limit": 1}).data:
                intent = found.to_dict()
                return _intent("payment_intent.succeeded", f"looked-up:{word(intent, 'id')}", flag(intent, "livemode"), intent)
        return None

    def refund(self, order: RefundOrder) -> RefundAnswer:
        """Ask for it under the order's key."""
        marks = {"reference": order.reference, "refund": order.id, "reason": order.reason[:500]}
        asked = _of(order.money) | {"amount": order.amount_minor, "metadata": marks}
        with _asking(effect=True):
            return _answer(self.api.refunds.create(asked, {"idempotency_key": order.key}).to_dict())

    def find_refund(self, order: RefundOrder) -> RefundAnswer | None:
        """The refund of its money that carries our id."""
        with _asking(effect=False):
            listed = self.api.refunds.list(_of(order.money) | {"limit": 100})
            found = (refund.to_dict() for refund in listed.auto_paging_iter())
            return next((_answer(refund) for refund in found if group(refund, "metadata").get("refund") == order.id), None)

    def movements(self, since: datetime, until: datetime) -> Sequence[Movement]:
        """Balance transactions of charges, refunds and disputes, in the currency the payer used."""
        asked: Any = {"created": {"gte": int(since.timestamp()), "lt": int(until.timestamp())}, "limit": 100, "expand": ["data.source"]}
        with _asking(effect=False):
            listed = self.api.balance_transactions.list(asked)
            moved = (_movement(line.to_dict()) for line in listed.auto_paging_iter())
            return [movement for movement in moved if movement is not None]


def _session(payment: Payment, return_url: str, site: str) -> Any:
    """What a checkout session is made of. The same payment gives the same words, as its idempotency key wants."""
    price = {"currency": payment.currency.lower(), "unit_amount": to_minor(payment.money),
             "product_data": {"name": f"{site} {payment.reference}"}}
    marks = {"reference": payment.reference}
    asked = {"mode": "payment", "adaptive_pricing": {"enabled": False},      # what is asked for is paid, in its own currency
             "line_items": [{"quantity": 1, "price_data": price}], "client_reference_id": payment.reference,
             "metadata": marks, "payment_intent_data": {"metadata": marks, "description": payment.reference},
             "success_url": return_url, "cancel_url": return_url}
    end = payment.expires_at + SOONEST_END
    return asked | ({"expires_at": int(end.timestamp())} if end - payment.created_at < LONGEST else {})


def _of(money: str) -> Any:
    """The parameter that names a payer's money: a charge where it has no intent."""
    return {"charge" if money.startswith(("ch_", "py_")) else "payment_intent": money}


@contextmanager
def _asking(effect: bool) -> Iterator[None]:
    """Stripe's errors as ours, with what is known of the call."""
    try:
        with calling.reading(NAME, effect):
            yield
    except stripe.APIConnectionError as error:
        raise calling.unanswered(NAME, error.__cause__, effect) from error
    except stripe.StripeError as error:
        raise _refused(error, effect) from error


def _refused(error: stripe.StripeError, effect: bool) -> ProviderTrouble:
    words = "".join(c for c in str(error.user_message or error.code or "") if c.isprintable())[:200]
    status = error.http_status or 500
    unreadable = 200 <= status < 300            # a yes that nobody can read
    return calling.refused(NAME, 500 if unreadable else status, words, (error.headers or {}).get("retry-after"), effect)


def _event(kind: EventKind, key: str, live: bool, **facts: Any) -> ProviderEvent:
    return ProviderEvent(provider=NAME, key=key, kind=kind, livemode=live, **facts)


def _other(_type: str, key: str, live: bool, _about: Values) -> ProviderEvent:
    return _event(EventKind.OTHER, key, live, reference="", money="", amount_minor=0, currency="")


SESSION_PAID = {"paid": EventKind.SUCCEEDED, "unpaid": EventKind.PROCESSING, "no_payment_required": EventKind.OTHER}
SESSION_KINDS = {"checkout.session.async_payment_succeeded": EventKind.SUCCEEDED,
                 "checkout.session.async_payment_failed": EventKind.FAILED, "checkout.session.expired": EventKind.FAILED}


def _session_event(type_: str, key: str, live: bool, session: Values) -> ProviderEvent:
    """`completed` means that the payer did their part; whether the money is there stands beside it."""
    paid = word(session, "payment_status")
    kind = SESSION_KINDS.get(type_) or SESSION_PAID.get(paid, EventKind.OTHER)
    if kind is EventKind.OTHER:
        return _other(type_, key, live, session)
    return _event(kind, key, live, reference=mark(session, "client_reference_id"),
                  money=id_of(session, "payment_intent") or word(session, "id"), amount_minor=minor(session, "amount_total"),
                  currency=currency(session))


def _session_now(session: Values) -> ProviderEvent | None:
    """An open session says nothing yet; a completed one whose money did not come says so by its intent."""
    state, paid = word(session, "status"), word(session, "payment_status")
    intent = group(session, "payment_intent") if isinstance(session.get("payment_intent"), dict) else {}
    failed = paid == "unpaid" and intent.get("status") in ("requires_payment_method", "canceled")
    if state == "open":
        return None
    type_ = "checkout.session.expired" if state == "expired" or failed else "checkout.session.completed"
    return _session_event(type_, f"looked-up:{word(session, 'id')}:{type_}:{paid}", flag(session, "livemode"), session)


INTENT_KINDS = {"payment_intent.succeeded": (EventKind.SUCCEEDED, "amount_received"),
                "payment_intent.processing": (EventKind.PROCESSING, "amount")}


def _intent(type_: str, key: str, live: bool, intent: Values) -> ProviderEvent:
    """A declined attempt (`payment_failed`) is none of these: the payer tries again on the same page."""
    kind, amount = INTENT_KINDS[type_]
    return _event(kind, key, live, reference=mark(group(intent, "metadata"), "reference"), money=word(intent, "id"),
                  amount_minor=minor(intent, amount), currency=currency(intent))


REFUND_STATES = {"succeeded": RefundStatus.SUCCEEDED, "failed": RefundStatus.FAILED, "canceled": RefundStatus.FAILED}
REFUND_KINDS = {RefundStatus.SUBMITTED: EventKind.REFUND_SUBMITTED, RefundStatus.SUCCEEDED: EventKind.REFUND_SUCCEEDED,
                RefundStatus.FAILED: EventKind.REFUND_FAILED}


def _refund_state(refund: Values) -> RefundStatus:
    return REFUND_STATES.get(text(refund, "status"), RefundStatus.SUBMITTED)


def _refund(_type: str, key: str, live: bool, refund: Values) -> ProviderEvent:
    marks = group(refund, "metadata")
    return _event(REFUND_KINDS[_refund_state(refund)], key, live, reference=mark(marks, "reference"), money=_money(refund),
                  amount_minor=minor(refund), currency=currency(refund), object=word(refund, "id"),
                  refund=mark(marks, "refund"), why=text(refund, "failure_reason") or text(refund, "reason"))


def _answer(refund: Values) -> RefundAnswer:
    return RefundAnswer(word(refund, "id"), _refund_state(refund), text(refund, "failure_reason"))


DISPUTE_KINDS = {"charge.dispute.created": EventKind.DISPUTE_OPENED, "charge.dispute.funds_withdrawn": EventKind.DISPUTE_WITHDRAWN,
                 "charge.dispute.funds_reinstated": EventKind.DISPUTE_REINSTATED}
CLOSED = {"won": EventKind.DISPUTE_WON, "warning_closed": EventKind.DISPUTE_WON, "prevented": EventKind.DISPUTE_WON,
          "lost": EventKind.DISPUTE_LOST}


def _dispute(type_: str, key: str, live: bool, dispute: Values) -> ProviderEvent:
    kind = DISPUTE_KINDS.get(type_) or CLOSED.get(word(dispute, "status"))
    if kind is None:
        raise BadEvent("A closed dispute must be won or lost.")
    return _event(kind, key, live, reference="", money=_money(dispute), amount_minor=minor(dispute), currency=currency(dispute),
                  object=word(dispute, "id"), why=text(dispute, "reason"))


def _money(about: Values) -> str:
    """What the payer's money is called: the intent, or the charge where there was none."""
    found = id_of(about, "payment_intent") or id_of(about, "charge")
    if not found:
        raise BadEvent("payment_intent or charge must be there.")
    return found


Reader = Callable[[str, str, bool, Values], ProviderEvent]
READERS: dict[str, Reader] = {
    "checkout.session.completed": _session_event, **dict.fromkeys(SESSION_KINDS, _session_event), **dict.fromkeys(INTENT_KINDS, _intent),
    "refund.created": _refund, "refund.updated": _refund, "refund.failed": _refund,
    **dict.fromkeys(DISPUTE_KINDS, _dispute), "charge.dispute.closed": _dispute,
}

IN, OUT = 1, -1
SIGNS = {"charge": IN, "payment": IN, "refund": OUT, "payment_refund": OUT, "refund_failure": IN, "payment_failure_refund": OUT,
         "payment_reversal": OUT}


def _movement(line: Values) -> Movement | None:
    """A line about a payer's money; fees, payouts and the like are none."""
    source, type_ = line.get("source"), word(line, "type")
    if not isinstance(source, dict) or (type_ not in SIGNS and source.get("object") != "dispute"):
        return None
    sign = SIGNS.get(type_) or (IN if whole(line, "amount", -MOST_MINOR, MOST_MINOR) > 0 else OUT)
    charge = source.get("object") == "charge"
    money = word(source, "id") if charge and not source.get("payment_intent") else _money(source)
    return Movement(money=money, object=money if charge and sign == IN else word(source, "id"),
                    reference=mark(group(source, "metadata"), "reference"), amount_minor=sign * minor(source),
                    currency=any_currency(source), at=datetime.fromtimestamp(whole(line, "created", 0, 10**11), UTC))
