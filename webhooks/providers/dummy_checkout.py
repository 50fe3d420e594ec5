"""The dummy provider's hosted checkout: one page, one form, and the webhooks that follow.

Plays an outside company: it is told everything by the signed token, keeps the company's own books, and reaches us only over
HTTP. Its routes exist where the dummy provider is loaded, so never in production.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from secrets import token_hex
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.money import from_minor
from engine.payments import EventKind
from webhooks.html import no_store, page
from webhooks.providers.dummy import DummyProvider, Order
from webhooks.providers.dummy_company import DummyCompany, hook
from webhooks.providers.dummy_post import Delivery

LATE_SECONDS = 30.0
MOST_FORM_BYTES = 16 * 1024


def _pays(company: DummyCompany, order: Order, told: EventKind = EventKind.SUCCEEDED) -> bytes:
    """The checkout's one charge, however often it is pressed."""
    return company.pay(order.reference, order.amount_minor, order.currency, told=told)


def _pays_other(company: DummyCompany, order: Order, amount_minor: int = 0, currency: str = "") -> list[Delivery]:
    """A charge of its own, over something else than was asked for."""
    money = f"ch_{token_hex(8)}"
    return [Delivery(company.pay(order.reference, amount_minor or order.amount_minor, currency or order.currency, money))]


def _other_currency(company: DummyCompany, order: Order) -> list[Delivery]:
    return _pays_other(company, order, currency="USD" if order.currency != "USD" else "THB")


def _forged(_company: DummyCompany, order: Order) -> list[Delivery]:
    """Nobody paid, and whoever says so cannot sign it."""
    facts = {"reference": order.reference, "amount_minor": order.amount_minor, "currency": order.currency}
    return [Delivery(hook(EventKind.SUCCEEDED, facts), honest=False)]


def _twice(company: DummyCompany, order: Order) -> list[Delivery]:
    body = _pays(company, order)
    return [Delivery(body), Delivery(body), Delivery(_pays(company, order))]


# What the form may ask for: word → (label, the webhooks that follow).
ACTIONS: dict[str, tuple[str, Callable[[DummyCompany, Order], list[Delivery]]]] = {
    "pay": ("Pay", lambda company, order: [Delivery(_pays(company, order))]),
    "decline": ("Decline", lambda company, order: [Delivery(_pays(company, order, EventKind.FAILED))]),
    "later": ("Money comes later", lambda company, order: [Delivery(_pays(company, order, EventKind.PROCESSING))]),
    "twice": ("Send twice", _twice),
    "amount": ("Wrong amount", lambda company, order: _pays_other(company, order, amount_minor=order.amount_minor - 1 or 2)),
    "currency": ("Wrong currency", _other_currency),
    "forged": ("Bad signature", _forged),
    "late": ("30 seconds late", lambda company, order: [Delivery(_pays(company, order), after_seconds=LATE_SECONDS)]),
}


class DummyCheckout:
    """The page and what it sends; `own_url` is where this sidecar listens."""

    def __init__(self, provider: DummyProvider, own_url: str) -> None:
        self.provider = provider
        provider.post.url = own_url

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
            for delivery in ACTIONS[action][1](self.provider.company, order):
                self.provider.post.start(delivery)
        return RedirectResponse(order.return_url, status_code=303, headers=no_store())


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
<p class="note">Each sends a webhook that something is wrong with. Refunds, disputes and an API that breaks are chosen at the
<a href="/dummy/desk">company's desk</a>.</p>
<div class="faults">{faults}</div>
</details>
</form>"""


def _button(action: str, label: str, kind: str = "") -> str:
    return f'<button name="action" value="{action}" class="{kind}">{escape(label)}</button>'
