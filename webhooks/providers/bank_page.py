"""The page where a payer sees the QR code of a bank transfer. It shows, and decides nothing."""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from data.documents.qr import svg
from engine.documents import WayToPay
from engine.errors import NotFound
from engine.payments import Payment
from engine.services.payments import open_payment, still_wanted
from webhooks.checkout import return_url
from webhooks.html import no_store, page
from webhooks.providers.bank_qr import BankQrProvider
from webhooks.sidecar import sidecar_of

TITLES = {"promptpay": "Pay by PromptPay", "epc": "Pay by bank transfer"}


class BankPage:
    """GET /bank/{reference}."""

    def __init__(self, provider: BankQrProvider) -> None:
        self.provider = provider

    def routes(self) -> list[Route]:
        """The page."""
        return [Route("/bank/{reference}", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The code while the money is wanted, else back to where it stands."""
        sidecar, reference = sidecar_of(request), request.path_params["reference"]
        payment, wanted = await sidecar.in_thread(
            lambda: sidecar.store.read(lambda tx: (found := open_payment(tx, reference), still_wanted(tx, found))))
        way = self.provider.way(payment)
        if payment.provider != self.provider.name or way is None:
            raise NotFound(f"No bank transfer {reference!r}.")
        back = return_url(sidecar, payment)
        if not wanted:
            return RedirectResponse(back, status_code=303, headers=no_store())
        return page(f"Pay {payment.money}", main(payment, way, sidecar.settings.bank_account_name or sidecar.settings.site_name, back))


def main(payment: Payment, way: WayToPay, payee: str, back: str) -> str:
    """The page's HTML; every word of a person's is escaped."""
    return f"""
<section class="card">
<h1>{escape(TITLES[way.scheme])}</h1>
<div class="qr">{svg(way.payload, way.scheme)}</div>
<p class="amount">{escape(str(payment.money))}</p>
<dl><dt>To</dt><dd>{escape(payee)}</dd><dt>Account</dt><dd>{escape(way.payee)}</dd>
<dt>Reference</dt><dd>{escape(payment.reference)}</dd></dl>
<p class="note">Scan the code with your bank's app and write the reference in the transfer's note. A transfer counts once we have
seen it on our bank's statement, usually on the next working day; you need not wait here.</p>
<p class="back"><a href="{escape(back)}">Back</a></p>
</section>"""
