"""The dummy provider: plays a payment service on this machine, so that the whole flow can be walked without one.

Its checkout and its desk are pages of this sidecar (dummy_checkout.py, dummy_desk.py), its books a file (dummy_books.py), its
webhooks are signed and sent over HTTP like anybody's. It moves no money and refuses to load in production. docs/payments.md
says how to sign an event by hand.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from urllib.parse import quote

from itsdangerous import BadData, URLSafeSerializer

from data.settings import Settings
from engine.errors import NotFound
from engine.money import to_minor
from engine.payments import BadEvent, Checkout, EventKind, Movement, Payment, ProviderEvent
from engine.refunds import RefundAnswer, RefundOrder, RefundStatus
from webhooks.providers import signing
from webhooks.providers.dummy_books import DummyBooks, Record
from webhooks.providers.dummy_company import NAME, DummyCompany
from webhooks.providers.dummy_post import SIGNATURE_HEADER, DummyPost
from webhooks.providers.values import MOST_MINOR, Values, currency, flag, instant, needed, read, text, whole, word, word_if_any

T = TypeVar("T")
KINDS: dict[object, EventKind] = {str(kind): kind for kind in EventKind if kind is not EventKind.OTHER}
MONEY_KINDS = (EventKind.SUCCEEDED, EventKind.FAILED, EventKind.PROCESSING)     # the others name an object of their own
REFUND_SECONDS = 2.0                            # how long a refund is under way


@dataclass(frozen=True, slots=True)
class Order:
    """What the checkout page is about; it travels in a signed token, so the page remembers nothing."""

    reference: str
    amount_minor: int
    currency: str
    return_url: str


class DummyProvider:
    """See the module."""

    name = NAME
    signature_is_enough = True

    def __init__(self, settings: Settings) -> None:
        if not settings.development:
            raise ValueError("the dummy payment provider does not run in production")
        self.secrets = [word.strip() for word in settings.secret("dummy_webhook_secret").split(",") if word.strip()]
        self.pages = f"{settings.sidecar_url.rstrip('/')}/dummy"
        self.post = DummyPost(self.secrets, settings.sidecar_url.rstrip("/"))
        self.company = DummyCompany(DummyBooks(settings.home), lambda body: self.post.send(body))
        key = hmac.new(self.secrets[0].encode(), b"checkout token", hashlib.sha256).digest()
        self._tokens = URLSafeSerializer(key, salt="dummy checkout", signer_kwargs={"digest_method": hashlib.sha256})

    def checkout(self, payment: Payment, return_url: str) -> Checkout:
        """The page that asks for the payment's amount."""
        order = {"reference": payment.reference, "amount_minor": to_minor(payment.money), "currency": payment.currency,
                 "return_url": return_url}
        made = Checkout(f"{self.pages}/checkout?token={quote(str(self._tokens.dumps(order)))}", f"cs_{payment.reference}")
        return self._asked(lambda: self._kept(made), effect=True)

    def _kept(self, made: Checkout) -> Checkout:
        with self.company.books.open() as held:
            held["checkouts"][made.provider_ref] = made.url
        return made

    def _asked(self, work: Callable[[], T], effect: bool) -> T:
        """A call of its API, which may go wrong as somebody chose at its desk."""
        trouble, does_it = self.company.trouble(effect)
        answer = work() if does_it else None
        if trouble is not None:
            raise trouble
        return answer  # type: ignore[return-value]     # without trouble it was done

    def order(self, token: str) -> Order:
        """What a token of ours says; anything else does not exist."""
        try:
            return Order(**self._tokens.loads(token))
        except (BadData, TypeError):
            raise NotFound("The checkout link is not complete: go back to your receipt and pay again.") from None

    def desk_token(self) -> str:
        """What a form of the desk must bring back."""
        return str(self._tokens.dumps("desk"))

    def read_event(self, headers: Mapping[str, str], body: bytes, now: datetime) -> ProviderEvent:
        """Verify `Dummy-Signature` over the raw body, then parse."""
        signing.verify(headers.get(SIGNATURE_HEADER), body, self.secrets, now)
        return self.parse_event(body)

    def parse_event(self, body: bytes) -> ProviderEvent:
        """`{"id","type","livemode","created","data":{"reference","amount_minor","currency"}}`, every value of its type. The
        money is called what `data.money` says, or like the reference; refunds and disputes have `object`, `refund`, `why`."""
        event = read(body)
        data, kind = needed(event, "data"), _kind(event)
        if "created" in event:
            whole(event, "created", 0, 10**12)
        reference = word(data, "reference")
        object_ = "" if kind in MONEY_KINDS else word(data, "object")
        return ProviderEvent(provider=NAME, key=word(event, "id"), kind=kind, livemode=flag(event, "livemode"),
                             reference=reference, money=word(data, "money") if "money" in data else reference,
                             amount_minor=whole(data, "amount_minor", 1, MOST_MINOR), currency=currency(data), object=object_,
                             refund=word_if_any(data, "refund"), why=text(data, "why"))

    def confirm(self, event: ProviderEvent) -> ProviderEvent:
        """The event: its signature is enough."""
        return event

    def look_up(self, payment: Payment) -> ProviderEvent | None:
        """What came, or was declined, under its reference."""
        held = self._asked(self.company.books.read, effect=False)
        found = [charge for charge in held["charges"].values() if charge["reference"] == payment.reference]
        best = min(found, key=lambda charge: MONEY_KINDS.index(charge["status"]), default=None)
        if best is None:
            return None
        return ProviderEvent(provider=NAME, key=f"looked-up:{best['money']}:{best['status']}", kind=EventKind(best["status"]),
                             livemode=False, reference=best["reference"], money=best["money"], amount_minor=best["amount_minor"],
                             currency=best["currency"])

    def refund(self, order: RefundOrder) -> RefundAnswer:
        """Ask for it under the order's key; how it ends is chosen at the desk."""
        return self._asked(lambda: self._refund(order), effect=True)

    def _refund(self, order: RefundOrder) -> RefundAnswer:
        made = self.company.refund(order.money, order.amount_minor, order.key, order.id)
        ending = threading.Timer(REFUND_SECONDS, self.company.end, [made["object"]])
        ending.daemon = True
        ending.start()
        return _answer(made)

    def find_refund(self, order: RefundOrder) -> RefundAnswer | None:
        """The refund that carries our id."""
        held = self._asked(self.company.books.read, effect=False)
        return next((_answer(one) for one in held["refunds"].values() if one["refund"] == order.id), None)

    def movements(self, since: datetime, until: datetime) -> Sequence[Movement]:
        """The lines of its books."""
        held = self._asked(self.company.books.read, effect=False)
        lines = [_movement(line) for line in held["lines"]]
        return [line for line in lines if since <= line.at < until]


def _answer(refund: Record) -> RefundAnswer:
    return RefundAnswer(refund["object"], RefundStatus(refund["state"]), refund["why"])


def _movement(line: Record) -> Movement:
    return Movement(money=line["money"], object=line["object"], reference=line["reference"], amount_minor=line["amount_minor"],
                    currency=line["currency"], at=instant(line, "at"))


def _kind(values: Values) -> EventKind:
    value = values.get("type")
    if not isinstance(value, str) or value not in KINDS:
        raise BadEvent(f"type must be one of {', '.join(map(str, KINDS))}.")
    return KINDS[value]
