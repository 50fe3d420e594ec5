"""Omise: charges with a redirect source such as PromptPay, refunds, disputes; API 2019-05-29.

It knows no idempotency keys: a charge or a refund is looked for by the mark we left on it before it is asked for. Its webhooks
are signed with a time, and are confirmed by a question besides, as Omise advises.
"""

from __future__ import annotations

import base64
import binascii
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
    flag,
    group,
    id_of,
    instant,
    items,
    link,
    mark,
    minor,
    needed,
    read,
    text,
    word,
)

NAME = "omise"
VERSION = "2019-05-29"
SIGNATURE_HEADER, TIME_HEADER = "omise-signature", "omise-signature-timestamp"
PAGE = 100
CLOCKS = timedelta(minutes=5)                   # how far their clock may be from ours
PAID_WITHIN, CLOSED_WITHIN = timedelta(days=7), timedelta(days=120)
_TIME = re.compile(r"[0-9]{1,12}", re.ASCII)


class OmiseProvider:
    """See the module."""

    name = NAME
    signature_is_enough = False

    def __init__(self, settings: Settings) -> None:
        self.secrets, self.source = [_decoded(word) for word in settings.words_of("omise_webhook_secret")], settings.omise_source
        [key] = settings.words_of("omise_secret_key")
        headers = {"authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode(), "omise-version": VERSION,
                   "content-type": "application/json"}
        self.api = calling.Api(NAME, settings.omise_url, headers, settings.provider_seconds)

    def checkout(self, payment: Payment, return_url: str) -> Checkout:
        """The charge that carries our reference, or a new one; its page, or else the picture of its QR code."""
        with calling.reading(NAME, effect=True):
            charge = self._charge_of(payment) or self.api.post(
                "/charges", amount=to_minor(payment.money), currency=payment.currency, return_uri=return_url,
                source={"type": self.source}, description=payment.reference, metadata={"reference": payment.reference})
            if charge.get("authorize_uri"):
                return Checkout(link(charge, "authorize_uri"), word(charge, "id"))
            picture = needed(needed(needed(charge, "source"), "scannable_code"), "image")
            return Checkout(link(picture, "download_uri"), word(charge, "id"))

    def read_event(self, headers: Mapping[str, str], body: bytes, now: datetime) -> ProviderEvent:
        """Verify `Omise-Signature`, HMAC-SHA256 of `time.body`, several by comma while rotating, then parse."""
        given, at = headers.get(SIGNATURE_HEADER), headers.get(TIME_HEADER, "")
        if not given or not at:
            raise BadSignature("There is none.", "unsigned")
        if not _TIME.fullmatch(at):
            raise BadSignature("Its time must be Unix seconds.")
        signed = at.encode() + b"." + body
        signing.one_of([one.strip() for one in given.split(",")],
                       [hmac.new(secret, signed, hashlib.sha256).hexdigest() for secret in self.secrets])
        signing.fresh(int(at), now)
        return self.parse_event(body)

    def parse_event(self, body: bytes) -> ProviderEvent:
        """Charges, refunds and disputes; any other kind, and a charge that is still pending, is OTHER."""
        told = read(body)
        type_, about = word(told, "key"), needed(told, "data")
        reader = READERS.get(type_.partition(".")[0])
        facts = reader(type_, about) if reader else None
        return ProviderEvent(provider=NAME, key=word(told, "id"), livemode=flag(told, "livemode"), **facts or OTHER)

    def confirm(self, event: ProviderEvent) -> ProviderEvent:
        """The same as Omise has it now; what it does not know is nothing of ours."""
        if event.kind is EventKind.OTHER:
            return event
        path, reader = _place(event)
        try:
            with calling.reading(NAME, effect=False):
                facts = reader(event.kind, self.api.get(path))
        except ProviderTrouble as trouble:
            if _unknown(trouble):
                raise BadEvent(f"omise knows no {path}.") from trouble
            raise
        if facts is None:
            raise ProviderTrouble(f"omise says nothing of {path} yet.", Outcome.NOT_DONE)
        return replace(event, **facts)

    def look_up(self, payment: Payment) -> ProviderEvent | None:
        """What its charge says, found by our reference where its id was never kept."""
        try:
            charge = self.api.get(f"/charges/{payment.provider_ref}") if payment.provider_ref else self._charge_of(payment)
        except ProviderTrouble as trouble:
            if _unknown(trouble):
                return None
            raise
        with calling.reading(NAME, effect=False):
            facts = _charge("", charge) if charge else None
            return ProviderEvent(provider=NAME, key=f"looked-up:{facts['money']}:{facts['kind']}", livemode=flag(charge, "livemode"),
                                 **facts) if charge and facts else None

    def refund(self, order: RefundOrder) -> RefundAnswer:
        """Look whether it is known, then ask. Whoever asks must not ask twice at once: Omise has no keys."""
        if found := self.find_refund(order):
            return found
        marks = {"reference": order.reference, "refund": order.id, "reason": order.reason[:200]}
        made = self.api.post(f"/charges/{order.money}/refunds", amount=order.amount_minor, metadata=marks)
        with calling.reading(NAME, effect=True):
            return _answer(made)

    def find_refund(self, order: RefundOrder) -> RefundAnswer | None:
        """The refund of its charge that carries our id."""
        with calling.reading(NAME, effect=False):
            refunds = self._list(f"/charges/{order.money}/refunds")
            return next((_answer(refund) for refund in refunds if group(refund, "metadata").get("refund") == order.id), None)

    def movements(self, since: datetime, until: datetime) -> Sequence[Movement]:
        """Charges that were paid, refunds, and disputes that were lost."""
        with calling.reading(NAME, effect=False):
            moved = [*map(_paid, self._list("/charges", since - PAID_WITHIN, until)), *map(_refunded, self._list("/refunds", since, until)),
                     *map(_lost, self._list("/disputes", since - CLOSED_WITHIN, until))]
            return sorted((one for one in moved if one and since <= one.at < until), key=lambda one: one.at)

    def _charge_of(self, payment: Payment) -> Values:
        """The charge that carries its reference; nothing where there is none."""
        listed = self._list("/charges", payment.created_at - CLOCKS)
        return next((charge for charge in listed if group(charge, "metadata").get("reference") == payment.reference), {})

    def _list(self, path: str, since: datetime | None = None, until: datetime | None = None) -> Iterator[Values]:
        """Every page of a list, newest first, each object once."""
        return each_once(self._pages(path, since, until))

    def _pages(self, path: str, since: datetime | None, until: datetime | None) -> Iterator[Values]:
        span = {name: f"{at:%Y-%m-%dT%H:%M:%SZ}" for name, at in (("from", since), ("to", until and until + timedelta(seconds=1))) if at}
        offset, more = 0, True
        while more:
            found = items(self.api.get(path, limit=PAGE, offset=offset, order="reverse_chronological", **span), "data")
            yield from found
            offset, more = offset + PAGE, len(found) == PAGE


def _decoded(secret: str) -> bytes:
    try:
        return base64.b64decode(secret, validate=True)
    except binascii.Error:
        raise ValueError("COREHOURS_OMISE_WEBHOOK_SECRET is no base64: copy it as Omise's dashboard shows it") from None


def _unknown(trouble: ProviderTrouble) -> bool:
    return trouble.outcome is Outcome.REFUSED and "not found" in trouble.detail


Facts = dict[str, Any]                          # what an event says beside its own name
OTHER: Facts = {"kind": EventKind.OTHER, "reference": "", "money": "", "amount_minor": 0, "currency": ""}
CHARGE_KINDS = {"successful": EventKind.SUCCEEDED, "failed": EventKind.FAILED, "expired": EventKind.FAILED,
                "reversed": EventKind.FAILED}


def _charge(_type: str, charge: Values) -> Facts | None:
    """Whatever happened to it, its status is what counts; pending says nothing yet."""
    kind = CHARGE_KINDS.get(text(charge, "status"))
    if kind is None:
        return None
    return {"kind": kind, "reference": mark(group(charge, "metadata"), "reference"), "money": word(charge, "id"),
            "amount_minor": minor(charge), "currency": currency(charge), "why": text(charge, "failure_message")}


REFUND_STATES = {"pending": RefundStatus.SUBMITTED, "failed": RefundStatus.FAILED}
REFUND_KINDS = {RefundStatus.SUBMITTED: EventKind.REFUND_SUBMITTED, RefundStatus.SUCCEEDED: EventKind.REFUND_SUCCEEDED,
                RefundStatus.FAILED: EventKind.REFUND_FAILED}


def _state(refund: Values) -> RefundStatus:
    """A refund that exists is done: only the two other states are named."""
    return REFUND_STATES.get(text(refund, "status"), RefundStatus.SUCCEEDED)


def _refund(_type: str, refund: Values) -> Facts:
    marks = group(refund, "metadata")
    return {"kind": REFUND_KINDS[_state(refund)], "reference": mark(marks, "reference"), "money": id_of(refund, "charge"),
            "amount_minor": minor(refund), "currency": currency(refund), "object": word(refund, "id"),
            "refund": mark(marks, "refund")}


def _answer(refund: Values) -> RefundAnswer:
    state = _state(refund)
    return RefundAnswer(word(refund, "id"), state, "omise says that it failed" if state is RefundStatus.FAILED else "")


DISPUTE_KINDS = {"won": EventKind.DISPUTE_WON, "lost": EventKind.DISPUTE_LOST}


def _dispute(type_: str, dispute: Values) -> Facts | None:
    """Opened when it is told so, closed by its status; what happens in between moves nothing."""
    opened = EventKind.DISPUTE_OPENED if type_ in ("dispute.create", EventKind.DISPUTE_OPENED) else None
    kind = opened or DISPUTE_KINDS.get(text(dispute, "status"))
    if kind is None:
        return None
    return {"kind": kind, "reference": "", "money": id_of(dispute, "charge"), "amount_minor": minor(dispute),
            "currency": currency(dispute), "object": word(dispute, "id"), "why": text(dispute, "reason_code")}


Reader = Callable[[str, Values], Facts | None]
READERS: dict[str, Reader] = {"charge": _charge, "refund": _refund, "dispute": _dispute}


def _place(event: ProviderEvent) -> tuple[str, Reader]:
    """Where Omise keeps what the event is about, and who reads it."""
    family = event.kind.partition(".")[0]
    if family == "refund":
        return f"/charges/{event.money}/refunds/{event.object}", _refund
    return (f"/disputes/{event.object}", _dispute) if family == "dispute" else (f"/charges/{event.money}", _charge)


def _paid(charge: Values) -> Movement | None:
    if text(charge, "status") != "successful":
        return None
    return _moved(charge, word(charge, "id"), 1, "paid_at", "created_at")


def _refunded(refund: Values) -> Movement | None:
    return _moved(refund, id_of(refund, "charge"), -1, "created_at") if _state(refund) is RefundStatus.SUCCEEDED else None


def _lost(dispute: Values) -> Movement | None:
    return _moved(dispute, id_of(dispute, "charge"), -1, "closed_at", "created_at") if text(dispute, "status") == "lost" else None


def _moved(about: Values, charge: str, sign: int, *times: str) -> Movement:
    return Movement(money=charge, object=word(about, "id"), reference=mark(group(about, "metadata"), "reference"),
                    amount_minor=sign * minor(about), currency=any_currency(about), at=instant(about, *times))
