"""The dummy provider: plays a payment service on this machine, so that the whole flow can be walked without one.

Its checkout is a page of this sidecar (dummy_checkout.py); its webhooks are signed and sent over HTTP like anybody's.
It moves no money and refuses to load in production. docs/payments.md says how to sign an event by hand.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from itsdangerous import BadData, URLSafeSerializer

from data.settings import Settings
from engine.errors import NotFound
from engine.money import to_minor
from engine.payments import BadEvent, Checkout, EventKind, Payment, ProviderEvent
from webhooks.providers import signing
from webhooks.providers.values import MOST_MINOR, Values, currency, flag, needed, read, whole, word

NAME = "dummy"
SIGNATURE_HEADER = "dummy-signature"
KINDS = (EventKind.SUCCEEDED, EventKind.FAILED, EventKind.PROCESSING)


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

    def __init__(self, settings: Settings) -> None:
        if not settings.development:
            raise ValueError("the dummy payment provider does not run in production")
        self.secrets = [word.strip() for word in settings.secret("dummy_webhook_secret").split(",") if word.strip()]
        self.checkout_page = f"{settings.sidecar_url.rstrip('/')}/dummy/checkout"
        key = hmac.new(self.secrets[0].encode(), b"checkout token", hashlib.sha256).digest()
        self._tokens = URLSafeSerializer(key, salt="dummy checkout", signer_kwargs={"digest_method": hashlib.sha256})

    def checkout(self, payment: Payment, return_url: str) -> Checkout:
        """The page that asks for the payment's amount."""
        order = {"reference": payment.reference, "amount_minor": to_minor(payment.money), "currency": payment.currency,
                 "return_url": return_url}
        return Checkout(f"{self.checkout_page}?token={quote(str(self._tokens.dumps(order)))}", f"cs_{payment.reference}")

    def order(self, token: str) -> Order:
        """What a token of ours says; anything else does not exist."""
        try:
            return Order(**self._tokens.loads(token))
        except BadData:
            raise NotFound("The checkout link is not complete: go back to your receipt and pay again.") from None

    def read_event(self, headers: Mapping[str, str], body: bytes, now: datetime) -> ProviderEvent:
        """Verify `Dummy-Signature` over the raw body, then parse."""
        signing.verify(headers.get(SIGNATURE_HEADER), body, self.secrets, now)
        return self.parse_event(body)

    def parse_event(self, body: bytes) -> ProviderEvent:
        """`{"id","type","livemode","created","data":{"reference","amount_minor","currency"}}`, every value of its type; the
        money is called what `data.money` says, or like the reference."""
        event = read(body)
        data = needed(event, "data")
        if "created" in event:
            whole(event, "created", 0, 10**12)
        reference = word(data, "reference")
        return ProviderEvent(provider=NAME, key=word(event, "id"), kind=_kind(event), livemode=flag(event, "livemode"),
                             reference=reference, money=word(data, "money") if "money" in data else reference,
                             amount_minor=whole(data, "amount_minor", 1, MOST_MINOR), currency=currency(data))

    def confirm(self, event: ProviderEvent) -> ProviderEvent:
        """The event: its signature is enough."""
        return event


def _kind(values: Values) -> EventKind:
    value = values.get("type")
    if value not in KINDS:
        raise BadEvent(f"type must be one of {', '.join(KINDS)}.")
    return EventKind(value)
