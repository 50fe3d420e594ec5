"""A fake Stripe: checkout sessions, payment intents, charges, refunds, disputes, balance transactions, search, paging.

Idempotency keys replay the first answer, errors of the server included, and refuse other words under the same key; without
one every POST acts again. Webhooks come with `Stripe-Signature`.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.company import Company, answer, endpoint
from webhooks.providers import signing

KEY, SECRET = "sk_test_fake", "whsec_fake"
LEAST_SESSION_SECONDS = 30 * 60
Record = dict[str, Any]


def form(request: Request, body: bytes) -> Record:
    """Stripe's `a[b][0]=c` as nested values."""
    found: Record = {}
    for name, value in [*request.query_params.multi_items(), *parse_qsl(body.decode(), keep_blank_values=True)]:
        *path, last = re.findall(r"[^\[\]]+", name)
        place = found
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return found


@dataclass
class FakeStripe(Company):
    """See the module. What it holds is public: tests read its books."""

    objects: dict[str, Record] = field(default_factory=dict)
    answers: dict[str, tuple[str, int, Any]] = field(default_factory=dict)
    livemode: bool = False
    _ids: Any = field(default_factory=lambda: itertools.count(1))

    def routes(self) -> list[Route]:
        table = [("POST", "/v1/checkout/sessions", self.make_session), ("GET", "/v1/checkout/sessions/{id}", self.get),
                 ("GET", "/v1/payment_intents/search", self.search), ("POST", "/v1/refunds", self.make_refund),
                 ("GET", "/v1/refunds", self.list_refunds), ("GET", "/v1/balance_transactions", self.list_lines)]
        return [Route(path, endpoint(self._guarded(handler), form), methods=[method]) for method, path, handler in table]

    def _guarded(self, handler: Any) -> Any:
        """Check the key, then answer, under the idempotency key where there is one."""
        def guarded(asked: Record, request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {KEY}":
                return self.no(401, "Invalid API Key provided.")
            key, words = request.headers.get("idempotency-key"), json.dumps([request.url.path, asked], sort_keys=True)
            if request.method == "POST" and key:
                if key in self.answers and self.answers[key][0] != words:
                    return self.no(400, "Keys for idempotent requests can only be used with the same parameters.", "idempotency_error")
                if key not in self.answers:
                    made = handler(asked, request)
                    self.answers[key] = (words, made.status_code, json.loads(made.body))
                _, status, kept = self.answers[key]
                return JSONResponse(kept, status)
            made = handler(asked, request)
            assert isinstance(made, Response)
            return made
        return guarded

    def no(self, status: int, words: str, type_: str = "invalid_request_error") -> Response:
        return answer({"error": {"type": type_ if status < 500 else "api_error", "message": words}}, status)

    def sign(self, body: bytes, at: int) -> dict[str, str]:
        return {"stripe-signature": signing.header(SECRET, at, body), "content-type": "application/json"}

    # what it holds

    def new(self, prefix: str, object_: str, **values: Any) -> Record:
        made = {"id": f"{prefix}_test_{next(self._ids):06}", "object": object_, "livemode": self.livemode,
                "created": int(time.time()), **values}
        self.objects[made["id"]] = made
        return made

    def of(self, object_: str) -> list[Record]:
        return [made for made in self.objects.values() if made["object"] == object_]

    def tell_of(self, type_: str, about: Record, **more: Any) -> Record:
        event = {"id": f"evt_{next(self._ids):06}", "object": "event", "api_version": "2026-10-28.endive", "created": int(time.time()),
                 "livemode": self.livemode, "type": type_, "data": {"object": about}, **more}
        self.tell(event)
        return event

    # its API

    def get(self, asked: Record, request: Request) -> Response:
        found = self.objects.get(request.path_params["id"])
        if found is None:
            return self.no(404, f"No such object: {request.path_params['id']}")
        shown = dict(found)
        for name in asked.get("expand", {}).values():
            shown[name] = self.objects.get(found[name], found[name])
        return answer(shown)

    def make_session(self, asked: Record, _request: Request) -> Response:
        price = asked["line_items"]["0"]["price_data"]
        ends = int(asked.get("expires_at", time.time() + 86_400))
        if ends < time.time() + LEAST_SESSION_SECONDS:
            return self.no(400, "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.")
        session = self.new("cs", "checkout.session", mode=asked["mode"], status="open", payment_status="unpaid", payment_intent=None,
                           amount_total=int(price["unit_amount"]), currency=price["currency"], expires_at=ends,
                           client_reference_id=asked["client_reference_id"], metadata=asked["metadata"],
                           adaptive_pricing=asked.get("adaptive_pricing", {"enabled": "true"}),       # as the dashboard is set
                           success_url=asked["success_url"], intent_metadata=asked["payment_intent_data"]["metadata"])
        session["url"] = f"https://checkout.stripe.com/c/pay/{session['id']}"
        return answer(session)

    def search(self, asked: Record, _request: Request) -> Response:
        wanted = re.search(r"metadata\['reference'\]:'([^']+)'", asked["query"])
        found = [intent for intent in self.of("payment_intent") if wanted and intent["metadata"].get("reference") == wanted[1]
                 and intent["status"] == "succeeded"]
        return answer({"object": "search_result", "data": found[:int(asked.get("limit", 10))], "has_more": False, "url": "/"})

    def make_refund(self, asked: Record, _request: Request) -> Response:
        money = asked.get("payment_intent") or asked["charge"]
        charge = next((one for one in self.of("charge") if money in (one["id"], one["payment_intent"])), None)
        if charge is None:
            return self.no(404, f"No such payment_intent: {money}")
        if int(asked["amount"]) > charge["amount"] - charge["amount_refunded"]:
            return self.no(400, "Refund amount is greater than unrefunded amount on charge.")
        refund = self.refunded(charge, int(asked["amount"]), asked.get("metadata", {}))
        return answer(refund)

    def list_refunds(self, asked: Record, request: Request) -> Response:
        money = asked.get("payment_intent") or asked.get("charge")
        return self._page([refund for refund in self.of("refund") if money in (refund["charge"], refund["payment_intent"])], asked, request)

    def list_lines(self, asked: Record, request: Request) -> Response:
        since, until = int(asked["created"]["gte"]), int(asked["created"]["lt"])
        lines = [line for line in self.of("balance_transaction") if since <= line["created"] < until]
        return self._page([line | {"source": self.objects.get(line["source"], line["source"])} for line in lines], asked, request)

    def _page(self, found: list[Record], asked: Record, request: Request) -> Response:
        """Newest first, two at a time, so that nobody forgets to ask for more."""
        found = found[::-1]
        after = next((at + 1 for at, one in enumerate(found) if one["id"] == asked.get("starting_after")), 0)
        return answer({"object": "list", "url": request.url.path, "data": found[after:after + 2], "has_more": len(found) > after + 2})

    # what people do at it

    def pay(self, session_id: str, later: bool = False) -> Record:
        """The payer pays; `later`: by a method whose money comes later (see `arrive` and `bounce`)."""
        session = self.objects[session_id]
        intent = self.new("pi", "payment_intent", amount=session["amount_total"], amount_received=0, currency=session["currency"],
                          status="processing", metadata=session["intent_metadata"], latest_charge=None)
        session |= {"status": "complete", "payment_intent": intent["id"]}
        if later:
            self.tell_of("payment_intent.processing", intent)
            self.tell_of("checkout.session.completed", session)
        else:
            self._take(intent)
            session["payment_status"] = "paid"
            self.tell_of("payment_intent.succeeded", intent)
            self.tell_of("checkout.session.completed", session)
        return intent

    def arrive(self, session_id: str) -> None:
        """The money of `pay(later=True)` is there."""
        session = self.objects[session_id]
        self._take(self.objects[session["payment_intent"]])
        session["payment_status"] = "paid"
        self.tell_of("checkout.session.async_payment_succeeded", session)

    def bounce(self, session_id: str) -> None:
        """The money of `pay(later=True)` does not come."""
        session = self.objects[session_id]
        self.objects[session["payment_intent"]]["status"] = "requires_payment_method"
        self.tell_of("checkout.session.async_payment_failed", session)

    def expire(self, session_id: str) -> None:
        self.objects[session_id]["status"] = "expired"
        self.tell_of("checkout.session.expired", self.objects[session_id])

    def _take(self, intent: Record) -> None:
        charge = self.new("ch", "charge", amount=intent["amount"], amount_refunded=0, currency=intent["currency"],
                          payment_intent=intent["id"], metadata=intent["metadata"], status="succeeded")
        intent |= {"status": "succeeded", "amount_received": intent["amount"], "latest_charge": charge["id"]}
        self._line("charge", charge, charge["amount"])

    def refunded(self, charge: Record, amount: int, metadata: Record, status: str = "succeeded") -> Record:
        """A refund, by the API or by somebody at the dashboard (no metadata of ours)."""
        charge["amount_refunded"] += amount
        refund = self.new("re", "refund", amount=amount, currency=charge["currency"], charge=charge["id"], reason="requested_by_customer",
                          payment_intent=charge["payment_intent"], metadata=metadata, status=status, failure_reason=None)
        self._line("refund", refund, -amount)
        self.tell_of("refund.created", refund)
        return refund

    def refund_fails(self, refund: Record) -> None:
        """Even after it succeeded."""
        refund |= {"status": "failed", "failure_reason": "expired_or_canceled_card"}
        self.objects[refund["charge"]]["amount_refunded"] -= refund["amount"]
        self._line("refund_failure", refund, refund["amount"])
        self.tell_of("refund.failed", refund)

    def dispute(self, charge: Record) -> Record:
        made = self.new("du", "dispute", amount=charge["amount"], currency=charge["currency"], charge=charge["id"],
                        payment_intent=charge["payment_intent"], reason="fraudulent", status="needs_response", metadata={})
        self.tell_of("charge.dispute.created", made)
        self._line("adjustment", made, -made["amount"])
        self.tell_of("charge.dispute.funds_withdrawn", made)
        return made

    def close(self, dispute: Record, won: bool) -> None:
        dispute["status"] = "won" if won else "lost"
        if won:
            self._line("adjustment", dispute, dispute["amount"])
            self.tell_of("charge.dispute.funds_reinstated", dispute)
        self.tell_of("charge.dispute.closed", dispute)

    def _line(self, type_: str, source: Record, amount: int) -> None:
        """A line of its balance, in the account's own currency and after its fee: neither is the payer's amount."""
        self.new("txn", "balance_transaction", type=type_, source=source["id"], amount=amount // 36, currency="usd", fee=3,
                 exchange_rate=0.0277)
