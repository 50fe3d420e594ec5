"""Paystack: hosted checkout, verification by reference, refunds, disputes.

It knows no idempotency keys: a second checkout under a reference is refused by Paystack itself, a refund is looked for before
it is asked for. Its webhooks carry no time and leave out what a refund is called, so each is confirmed by a question.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from data.settings import Settings
from engine.money import to_minor
from engine.payments import BadEvent, BadSignature, Checkout, EventKind, Movement, Outcome, Payment, ProviderEvent, ProviderTrouble
from engine.refunds import RefundAnswer, RefundOrder, RefundStatus
from webhooks.providers import calling, signing
from webhooks.providers.values import (
    Values,
    any_currency,
    currency,
    each_once,
    group,
    instant,
    items,
    link,
    minor,
    needed,
    number_word,
    read,
    text,
    word,
)

NAME = "paystack"
SIGNATURE_HEADER = "x-paystack-signature"
PAGE = 100
PAID_WITHIN, REFUNDED_WITHIN, RESOLVED_WITHIN = timedelta(days=3), timedelta(days=30), timedelta(days=90)
_OURS = re.compile(r"TXN-([0-9A-Z]{16})", re.ASCII)
_REFUND = re.compile(r"\brfnd_[0-9A-Za-z]+", re.ASCII)


class PaystackProvider:
    """See the module."""

    name = NAME
    signature_is_enough = False

    def __init__(self, settings: Settings) -> None:
        self.secrets, self.email = settings.words_of("paystack_secret_key"), settings.paystack_email
        self.domain = "live" if self.secrets[0].startswith("sk_live_") else "test"
        headers = {"authorization": f"Bearer {self.secrets[0]}", "content-type": "application/json"}
        self.api = calling.Api(NAME, settings.paystack_url, headers, settings.provider_seconds)

    def checkout(self, payment: Payment, return_url: str) -> Checkout:
        """Initialise a transaction; the same reference a second time is refused there, and its page is not told again."""
        made = self.api.post("/transaction/initialize", email=self.email, amount=str(to_minor(payment.money)),
                             currency=payment.currency, reference=_theirs(payment.reference), callback_url=return_url,
                             metadata={"reference": payment.reference})
        with calling.reading(NAME, effect=True):
            data = needed(made, "data")
            return Checkout(link(data, "authorization_url"), payment.reference)

    def read_event(self, headers: Mapping[str, str], body: bytes, now: datetime) -> ProviderEvent:
        """Verify `x-paystack-signature`, HMAC-SHA512 of the raw body under the secret key, then parse. It carries no time."""
        given = headers.get(SIGNATURE_HEADER)
        if not given:
            raise BadSignature("There is none.", "unsigned")
        signing.one_of([given], [hmac.new(secret.encode(), body, hashlib.sha512).hexdigest() for secret in self.secrets])
        return self.parse_event(body)

    def parse_event(self, body: bytes) -> ProviderEvent:
        """Charges, refunds and disputes; any other kind is OTHER. What has no id is named after its body."""
        told = read(body)
        type_, data = word(told, "event"), {"domain": self.domain, **needed(told, "data")}     # the key that signed has a mode too
        named = number_word(data, "id") if data.get("id") is not None else hashlib.sha256(body).hexdigest()
        reader = READERS.get(type_, _other)
        return reader(type_, f"{type_}:{named}", data)

    def confirm(self, event: ProviderEvent) -> ProviderEvent:
        """A charge as Paystack has it now; a refund with its name, which the webhook leaves out."""
        if event.kind is EventKind.SUCCEEDED:
            return _as_told(event, needed(self.api.get(f"/transaction/{event.money}"), "data"))
        return self._named(event) if event.kind in REFUND_STATES_OF else event

    def look_up(self, payment: Payment) -> ProviderEvent | None:
        """What verification says of our reference."""
        found = self._verified(payment.reference)
        kind = STATES.get(text(found, "status")) if found else None
        with calling.reading(NAME, effect=False):
            return _charge(kind, f"looked-up:{number_word(found, 'id')}:{kind}", found) if found and kind else None

    def refund(self, order: RefundOrder) -> RefundAnswer:
        """Look whether it is known, then ask. Whoever asks must not ask twice at once: Paystack has no keys."""
        if found := self.find_refund(order):
            return found
        made = self.api.post("/refund", transaction=order.money, amount=order.amount_minor, currency=order.currency,
                             merchant_note=f"{order.id} {order.reason}"[:200])
        with calling.reading(NAME, effect=True):
            return _answer(needed(made, "data"))

    def find_refund(self, order: RefundOrder) -> RefundAnswer | None:
        """The refund of its transaction whose note carries our id."""
        with calling.reading(NAME, effect=False):
            return next((_answer(refund) for refund in self._refunds(order.money) if _refund_of(refund) == order.id), None)

    def movements(self, since: datetime, until: datetime) -> Sequence[Movement]:
        """Transactions that were paid, refunds that were processed, disputes that were lost."""
        with calling.reading(NAME, effect=False):
            moved = [*map(_paid, self._pages("/transaction", since - PAID_WITHIN, until)),
                     *map(_refunded, self._pages("/refund", since - REFUNDED_WITHIN, until)),
                     *map(_lost, self._pages("/dispute", since - RESOLVED_WITHIN, until))]
            return sorted((one for one in moved if one and since <= one.at < until), key=lambda one: one.at)

    def _verified(self, reference: str) -> Values:
        """The transaction of that name, nothing where there is none."""
        try:
            return needed(self.api.get(f"/transaction/verify/{_theirs(reference)}"), "data")
        except ProviderTrouble as trouble:
            if trouble.outcome is Outcome.REFUSED and "not found" in trouble.detail.lower():
                return {}
            raise

    def _refunds(self, transaction: str) -> Iterator[Values]:
        return (refund for refund in self._pages("/refund", transaction=transaction) if _transaction_of(refund) == transaction)

    def _pages(self, path: str, since: datetime | None = None, until: datetime | None = None, **query: str) -> Iterator[Values]:
        """Every page of a list, each object once."""
        return each_once(self._told(path, since, until, **query))

    def _told(self, path: str, since: datetime | None, until: datetime | None, **query: str) -> Iterator[Values]:
        span = {"from": f"{since:%Y-%m-%dT%H:%M:%S.000Z}", "to": f"{until:%Y-%m-%dT%H:%M:%S.999Z}"} if since and until else {}
        page, more = 1, True
        while more:
            told = self.api.get(path, perPage=PAGE, page=page, **query, **span)
            found = items(told, "data")
            yield from found
            page, more = page + 1, len(found) == PAGE

    def _named(self, event: ProviderEvent) -> ProviderEvent:
        """The refund that the event speaks of, as it stands now: of this amount, rather in the state it tells, the newest."""
        with calling.reading(NAME, effect=False):
            transaction = self._verified(event.reference)
        if not transaction:
            raise BadEvent(f"paystack knows no transaction {event.reference}.")
        with calling.reading(NAME, effect=False):
            money = number_word(transaction, "id")
            fit = [refund for refund in self._refunds(money) if minor(refund) == event.amount_minor]
            if not fit:
                raise ProviderTrouble(f"paystack shows no such refund of {event.reference} yet.", Outcome.NOT_DONE)
            meant = max(fit, key=lambda refund: (_state(refund) is REFUND_STATES_OF[event.kind], instant(refund, *TOUCHED),
                                                 int(number_word(refund, "id"))))
            kind = next(kind for kind, state in REFUND_STATES_OF.items() if state is _state(meant))
            return replace(event, kind=kind, money=money, object=number_word(meant, "id"), refund=_refund_of(meant),
                           why=_answer(meant).why)


def _theirs(reference: str) -> str:
    """Paystack takes letters, digits and - . = only."""
    return reference.replace("_", "-")


def _ours(values: Values, name: str = "reference") -> str:
    """Our own form again; a reference that somebody else made stays as it is, without what is no word."""
    found = text(values, name)
    match = _OURS.fullmatch(found)
    return f"TXN_{match[1]}" if match else re.sub(r"[^A-Za-z0-9_.:=-]", "", found)[:128]


def _live(values: Values) -> bool:
    domain = values.get("domain")
    if domain not in ("live", "test"):
        raise BadEvent("domain must be live or test.")
    return domain == "live"


def _other(_type: str, key: str, data: Values) -> ProviderEvent:
    return ProviderEvent(provider=NAME, key=key, kind=EventKind.OTHER, livemode=_live(data), reference="", money="", amount_minor=0,
                         currency="")


STATES = {"success": EventKind.SUCCEEDED, "failed": EventKind.FAILED, "reversed": EventKind.FAILED,      # the money went back
          "pending": EventKind.PROCESSING, "processing": EventKind.PROCESSING, "queued": EventKind.PROCESSING}
CAME = ("success", "reversed")


def _charge(kind: EventKind, key: str, data: Values) -> ProviderEvent:
    return ProviderEvent(provider=NAME, key=key, kind=kind, livemode=_live(data), reference=_ours(data),
                         money=number_word(data, "id"), amount_minor=minor(data), currency=currency(data))


def _success(_type: str, key: str, data: Values) -> ProviderEvent:
    return _charge(EventKind.SUCCEEDED, key, data)


def _as_told(event: ProviderEvent, data: Values) -> ProviderEvent:
    """The event with Paystack's own figures. A success that it does not show yet is waited for."""
    with calling.reading(NAME, effect=False):
        if text(data, "status") not in CAME:
            raise ProviderTrouble(f"paystack calls {event.reference} {text(data, 'status')}, not paid.", Outcome.NOT_DONE)
        return _charge(event.kind, event.key, data)


REFUND_STATES = {"processed": RefundStatus.SUCCEEDED, "failed": RefundStatus.FAILED}
REFUND_KINDS = {"refund.pending": EventKind.REFUND_SUBMITTED, "refund.processing": EventKind.REFUND_SUBMITTED,
                "refund.needs-attention": EventKind.REFUND_SUBMITTED, "refund.processed": EventKind.REFUND_SUCCEEDED,
                "refund.failed": EventKind.REFUND_FAILED}
REFUND_STATES_OF = {EventKind.REFUND_SUBMITTED: RefundStatus.SUBMITTED, EventKind.REFUND_SUCCEEDED: RefundStatus.SUCCEEDED,
                    EventKind.REFUND_FAILED: RefundStatus.FAILED}
TOUCHED = ("updated_at", "updatedAt", "created_at", "createdAt")


def _refund(type_: str, key: str, data: Values) -> ProviderEvent:
    return ProviderEvent(provider=NAME, key=key, kind=REFUND_KINDS[type_], livemode=_live(data),
                         reference=_ours(data, "transaction_reference"), money="", amount_minor=minor(data), currency=currency(data))


def _state(refund: Values) -> RefundStatus:
    return REFUND_STATES.get(text(refund, "status"), RefundStatus.SUBMITTED)


def _answer(refund: Values) -> RefundAnswer:
    state = _state(refund)
    return RefundAnswer(number_word(refund, "id"), state, "paystack says that it failed" if state is RefundStatus.FAILED else "")


def _refund_of(refund: Values) -> str:
    """Our own refund's id in its note; empty where somebody made it at Paystack's dashboard."""
    found = _REFUND.search(text(refund, "merchant_note"))
    return found[0] if found else ""


def _transaction_of(about: Values) -> str:
    """The transaction's id, whether it was expanded or not."""
    expanded = isinstance(about.get("transaction"), dict)
    return number_word(group(about, "transaction"), "id") if expanded else number_word(about, "transaction")


ACCEPTED = ("merchant-accepted", "auto-accepted")


def _dispute(type_: str, key: str, data: Values) -> ProviderEvent:
    """A reminder is none of ours; a resolved one was accepted, which takes the money, or declined."""
    lost, transaction = text(data, "resolution") in ACCEPTED, needed(data, "transaction")
    kind = EventKind.DISPUTE_OPENED if type_.endswith("create") else EventKind.DISPUTE_LOST if lost else EventKind.DISPUTE_WON
    amount = data if data.get("refund_amount") else {"refund_amount": transaction.get("amount")}
    return ProviderEvent(provider=NAME, key=key, kind=kind, livemode=_live(data), reference=_ours(transaction),
                         money=number_word(transaction, "id"), amount_minor=minor(amount, "refund_amount"),
                         currency=currency(data if data.get("currency") else transaction), object=number_word(data, "id"),
                         why=text(data, "category"))


Reader = Callable[[str, str, Values], ProviderEvent]
READERS: dict[str, Reader] = {"charge.success": _success, **dict.fromkeys(REFUND_KINDS, _refund),
                              "charge.dispute.create": _dispute, "charge.dispute.resolve": _dispute}


def _paid(data: Values) -> Movement | None:
    return _moved(data, data, 1, "paid_at", "paidAt") if text(data, "status") in CAME else None


def _refunded(refund: Values) -> Movement | None:
    return _moved(refund, {}, -1, "refunded_at", *TOUCHED) if _state(refund) is RefundStatus.SUCCEEDED else None


def _lost(dispute: Values) -> Movement | None:
    if text(dispute, "resolution") not in ACCEPTED:
        return None
    return _moved({**dispute, "amount": dispute.get("refund_amount")}, group(dispute, "transaction"), -1, "resolvedAt", *TOUCHED)


def _moved(about: Values, transaction: Values, sign: int, *times: str) -> Movement:
    facts: dict[str, Any] = {"amount_minor": sign * minor(about), "currency": any_currency(about), "at": instant(about, *times)}
    money = number_word(transaction, "id") if transaction else _transaction_of(about)
    return Movement(money=money, object=number_word(about, "id"), reference=_ours(transaction), **facts)
