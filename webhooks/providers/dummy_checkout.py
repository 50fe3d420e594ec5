"""The dummy provider's hosted checkout: one page, one form, and the webhooks that follow.

Plays an outside company: keeps nothing, is told everything by the signed token, and reaches us only over HTTP.
Its routes exist where the dummy provider is loaded, so never in production.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from secrets import token_hex
from urllib.parse import urlsplit

import requests
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.money import from_minor
from engine.payments import EventKind
from webhooks.html import no_store, page
from webhooks.log import say
from webhooks.providers import signing
from webhooks.providers.dummy import SIGNATURE_HEADER, DummyProvider, Order

PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0)              # seconds before each delivery
LATE_SECONDS = 30.0
MOST_FORM_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook to send: the body, whether it is signed rightly, and how long to hold it back."""

    body: bytes
    honest: bool = True
    after_seconds: float = 0.0


def _event(order: Order, kind: EventKind = EventKind.SUCCEEDED, amount_minor: int = 0, currency: str = "") -> bytes:
    """A webhook; the right amount is the checkout's one charge however often it is pressed, any other is a charge of its own."""
    money = {"money": f"ch_{token_hex(8)}"} if amount_minor or currency else {}
    return json.dumps({
        "id": f"evt_{token_hex(12)}", "type": str(kind), "livemode": False, "created": int(time.time()),
        "data": {"reference": order.reference, "amount_minor": amount_minor or order.amount_minor,
                 "currency": currency or order.currency, **money},
    }).encode()


def _twice(order: Order) -> list[Delivery]:
    body = _event(order)
    return [Delivery(body), Delivery(body), Delivery(_event(order))]


def _other_amount(order: Order) -> list[Delivery]:
    return [Delivery(_event(order, amount_minor=order.amount_minor - 1 or 2))]


# What the form may ask for: word → (label, the webhooks that follow).
ACTIONS: dict[str, tuple[str, Callable[[Order], list[Delivery]]]] = {
    "pay": ("Pay", lambda order: [Delivery(_event(order))]),
    "decline": ("Decline", lambda order: [Delivery(_event(order, EventKind.FAILED))]),
    "twice": ("Send twice", _twice),
    "amount": ("Wrong amount", _other_amount),
    "currency": ("Wrong currency", lambda order: [Delivery(_event(order, currency="USD" if order.currency != "USD" else "THB"))]),
    "forged": ("Bad signature", lambda order: [Delivery(_event(order), honest=False)]),
    "late": ("30 seconds late", lambda order: [Delivery(_event(order), after_seconds=LATE_SECONDS)]),
}


class DummyCheckout:
    """The page and what it sends; `own_url` is where this sidecar listens."""

    def __init__(self, provider: DummyProvider, own_url: str) -> None:
        self.provider, self.own_url = provider, own_url

    def routes(self) -> list[Route]:
        """The page and its form."""
        return [Route("/dummy/checkout", self.show, methods=["GET"]), Route("/dummy/checkout", self.act, methods=["POST"])]

    async def show(self, request: Request) -> Response:
        """The page; the token says what it is about."""
        token = request.query_params.get("token", "")
        order = self.provider.order(token)
        back = urlsplit(order.return_url)
        return page(f"Pay {_amount(order)}", _main(order, token), form_targets=f"{back.scheme}://{back.netloc}")

    async def act(self, request: Request) -> Response:
        """The form was sent: webhooks follow in the background, the payer goes back to the shop."""
        async with request.form(max_files=0, max_fields=4, max_part_size=MOST_FORM_BYTES) as form:
            token, action = str(form.get("token", "")), str(form.get("action", ""))
        order = self.provider.order(token)
        if action in ACTIONS:
            for delivery in ACTIONS[action][1](order):
                threading.Thread(target=self.deliver, args=(delivery,), daemon=True, name="dummy delivery").start()
        return RedirectResponse(order.return_url, status_code=303, headers=no_store())

    def deliver(self, delivery: Delivery) -> bool:
        """Send a webhook until it is answered 200, a few times; True when it was."""
        time.sleep(delivery.after_seconds)
        for pause in PAUSES if delivery.honest else PAUSES[:2]:
            time.sleep(pause)
            try:
                answer = requests.post(f"{self.own_url}/webhooks/{self.provider.name}", data=delivery.body, timeout=10,
                                       headers=self._headers(delivery), allow_redirects=False)
            except requests.RequestException as error:
                say("dummy.unreachable", error=type(error).__name__)
                continue
            if answer.status_code == 200:
                return True
        say("dummy.gave_up")
        return False

    def _headers(self, delivery: Delivery) -> dict[str, str]:
        secret = self.provider.secrets[0] if delivery.honest else "not the secret"
        at = int(datetime.now(UTC).timestamp())
        return {SIGNATURE_HEADER: signing.header(secret, at, delivery.body), "content-type": "application/json"}


def _amount(order: Order) -> str:
    return str(from_minor(order.amount_minor, order.currency))


def _main(order: Order, token: str) -> str:
    faults = "".join(_button(word, ACTIONS[word][0]) for word in ACTIONS if word not in ("pay", "decline"))
    return f"""
<form method="post" action="/dummy/checkout">
<input type="hidden" name="token" value="{escape(token)}">
<section class="card">
<span class="badge">Test provider: no money moves</span>
<h1>You pay</h1>
<p class="amount">{escape(_amount(order))}</p>
<dl><dt>Reference</dt><dd>{escape(order.reference)}</dd></dl>
{_button("pay", f"Pay {_amount(order)}", "primary")}
{_button("decline", "Decline")}
<p class="back"><a href="{escape(order.return_url)}">Back without paying</a></p>
</section>
<details class="card"><summary>Test faults</summary>
<p class="note">Each sends a webhook that something is wrong with.</p>
<div class="faults">{faults}</div>
</details>
</form>"""


def _button(action: str, label: str, kind: str = "") -> str:
    return f'<button name="action" value="{action}" class="{kind}">{escape(label)}</button>'
