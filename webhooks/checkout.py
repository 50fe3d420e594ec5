"""The payer's way to a provider and back: `/pay/TXN_…` makes the provider's checkout, once, and leads there.

The dashboard talks to no provider; it only knows this address. The call to the provider lies between two transactions.
"""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from data.failpoints import hit
from engine.payments import NoProvider, Outcome, Payment, ProviderTrouble
from engine.services.payments import keep_checkout, open_payment, still_wanted
from webhooks.html import no_store
from webhooks.sidecar import Sidecar, sidecar_of

_AGAIN = "Nothing was charged: try again in a minute, or go back and pay another way."
WHAT_NOW = {Outcome.NOT_DONE: _AGAIN, Outcome.UNKNOWN: _AGAIN,
            Outcome.REFUSED: "Nothing was charged: go back and pay another way, or begin anew when the time of this attempt is over."}


async def pay(request: Request) -> Response:
    """GET /pay/{reference}: on to the checkout while the payment is wanted, else back to where it stands."""
    sidecar, reference = sidecar_of(request), request.path_params["reference"]
    url = await sidecar.in_thread(lambda: _way(sidecar, reference), seconds=30)
    return RedirectResponse(url, status_code=303, headers=no_store())


def _way(sidecar: Sidecar, reference: str) -> str:
    payment, wanted = sidecar.store.read(lambda tx: (found := open_payment(tx, reference), still_wanted(tx, found)))
    back = return_url(sidecar, payment)
    if not wanted:
        return back
    if payment.checkout_url is None:
        payment = _checkout(sidecar, payment, back)
    assert payment.checkout_url is not None
    return payment.checkout_url


def _checkout(sidecar: Sidecar, payment: Payment, back: str) -> Payment:
    provider = sidecar.providers.get(payment.provider)
    if provider is None:
        raise NoProvider(f"{payment.provider!r} is not loaded in this sidecar.")
    try:
        checkout = provider.checkout(payment, back)
    except ProviderTrouble as trouble:
        kept = sidecar.store.read(lambda tx: open_payment(tx, payment.reference))
        if kept.checkout_url is None:
            raise ProviderTrouble(f"{trouble.detail} {WHAT_NOW[trouble.outcome]}", trouble.outcome) from trouble
        return kept                                 # somebody pressed at the same time and was first
    hit("checkout.made")
    kept = sidecar.store.run(lambda tx: keep_checkout(tx, payment, checkout), actor="worker")
    hit("checkout.kept")
    return kept


def return_url(sidecar: Sidecar, payment: Payment) -> str:
    """Where the payer goes afterwards: the dashboard's page of the receipt that is being paid, or of the top-up."""
    page = f"receipt?id={quote(payment.receipt_id)}" if payment.receipt_id else f"top-up?payment={quote(payment.reference)}"
    return f"{sidecar.settings.dashboard_url.rstrip('/')}/{page}"
