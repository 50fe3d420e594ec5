"""A fake Paystack: transactions, verification, refunds, disputes, lists by page.

A reference can be used once, and its page is told once. There are no idempotency keys: every refund that is asked for is made.
Webhooks come with `x-paystack-signature` over the body under the secret key, without a time; refunds are told without an id.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.fakes.company import Company, answer, endpoint, json_fields

KEY = "sk_test_fake"
CURRENCIES = ("NGN", "GHS", "ZAR", "KES", "USD")
Record = dict[str, Any]


@dataclass
class FakePaystack(Company):
    """See the module. What it holds is public: tests read its books."""

    transactions: list[Record] = field(default_factory=list)
    refunds: list[Record] = field(default_factory=list)
    disputes: list[Record] = field(default_factory=list)
    domain: str = "test"
    _ids: Any = field(default_factory=lambda: itertools.count(4_099_260_516))

    def routes(self) -> list[Route]:
        table = [("POST", "/transaction/initialize", self.initialize), ("GET", "/transaction/verify/{reference}", self.verify),
                 ("GET", "/transaction/{id}", self.fetch), ("GET", "/transaction", self.list_transactions),
                 ("POST", "/refund", self.make_refund), ("GET", "/refund", self.list_refunds), ("GET", "/dispute", self.list_disputes)]
        return [Route(path, endpoint(self._guarded(handler), json_fields), methods=[method]) for method, path, handler in table]

    def _guarded(self, handler: Any) -> Any:
        def guarded(asked: Record, request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {KEY}":
                return self.no(401, "Invalid key")
            made = handler(asked, request)
            assert isinstance(made, Response)
            return made
        return guarded

    def no(self, status: int, words: str) -> Response:
        return answer({"status": False, "message": words}, status)

    def yes(self, data: Any, **more: Any) -> Response:
        return answer({"status": True, "message": "Done", "data": data, **more})

    def sign(self, body: bytes, at: int) -> dict[str, str]:
        return {"x-paystack-signature": hmac.new(KEY.encode(), body, hashlib.sha512).hexdigest(), "content-type": "application/json"}

    # its API

    def initialize(self, asked: Record, _request: Request) -> Response:
        if not re.fullmatch(r"[A-Za-z0-9.=-]+", asked["reference"]):
            return self.no(400, "Invalid transaction reference")
        if any(one["reference"] == asked["reference"] for one in self.transactions):
            return self.no(400, "Duplicate Transaction Reference")
        if asked["currency"] not in CURRENCIES:
            return self.no(403, "Currency not supported by merchant")
        if "@" not in asked["email"] or int(asked["amount"]) <= 0:
            return self.no(400, "Invalid Email Address Passed")
        made = self._new(reference=asked["reference"], amount=int(asked["amount"]), currency=asked["currency"], status="abandoned",
                         paid_at=None, metadata=asked.get("metadata", ""), refunded=0)
        self.transactions.append(made)
        code = f"code{made['id']}"
        return self.yes({"authorization_url": f"https://checkout.paystack.com/{code}", "access_code": code, "reference": made["reference"]})

    def verify(self, _asked: Record, request: Request) -> Response:
        found = self.transaction(request.path_params["reference"])
        return self.yes(found) if found else self.no(400, "Transaction reference not found")

    def fetch(self, _asked: Record, request: Request) -> Response:
        found = [one for one in self.transactions if str(one["id"]) == request.path_params["id"]]
        return self.yes(found[0]) if found else self.no(404, "Transaction ID or code specified is invalid")

    def list_transactions(self, asked: Record, _request: Request) -> Response:
        return self._page(self.transactions, asked)

    def make_refund(self, asked: Record, _request: Request) -> Response:
        found = [one for one in self.transactions if str(asked["transaction"]) in (str(one["id"]), one["reference"])]
        if not found or found[0]["status"] != "success":
            return self.no(400, "Transaction has not been paid")
        if found[0]["refunded"] + asked["amount"] > found[0]["amount"]:
            return self.no(400, "Refund amount cannot be more than transaction amount")
        made = self.refunded(found[0], asked["amount"], asked.get("merchant_note", ""))
        return self.yes(made | {"transaction": found[0]})

    def list_refunds(self, asked: Record, _request: Request) -> Response:
        wanted = asked.get("transaction")
        return self._page([one for one in self.refunds if wanted is None or str(one["transaction"]) == wanted], asked)

    def list_disputes(self, asked: Record, _request: Request) -> Response:
        return self._page(self.disputes, asked)

    def _page(self, found: list[Record], asked: Record) -> Response:
        span = [one for one in found[::-1] if asked.get("from", "") <= one["created_at"] <= asked.get("to", "9")]
        size, page = int(asked["perPage"]), int(asked["page"])
        return self.yes(span[size * (page - 1):size * page], meta={"total": len(span), "page": page, "perPage": size})

    # what people do at it

    def transaction(self, reference: str) -> Record | None:
        return next((one for one in self.transactions if one["reference"] == reference), None)

    def pay(self, transaction: Record) -> None:
        transaction |= {"status": "success", "paid_at": _now(), "gateway_response": "Approved", "fees": 150, "log": {"time_spent": 1.5}}
        self.tell({"event": "charge.success", "data": dict(transaction)})

    def refunded(self, transaction: Record, amount: int, note: str = "Refund by finance at the dashboard") -> Record:
        """A refund that is under way, by the API or by hand."""
        transaction["refunded"] += amount
        made = self._new(transaction=transaction["id"], amount=amount, currency=transaction["currency"], status="pending",
                         merchant_note=note, refunded_at=None)
        self.refunds.append(made)
        self._tell_refund("refund.pending", made, None)
        return made

    def settle(self) -> None:
        """Everything that is under way arrives."""
        for refund in self.refunds:
            if refund["status"] == "pending":
                refund |= {"status": "processed", "refunded_at": _now(), "updated_at": _now()}
                self._tell_refund("refund.processed", refund, f"TRF{refund['id']}")

    def refund_fails(self, refund: Record) -> None:
        refund |= {"status": "failed", "updated_at": _now()}
        self._tell_refund("refund.failed", refund, None)

    def _tell_refund(self, event: str, refund: Record, number: str | None) -> None:
        """As Paystack writes it: the amount as text, the transaction by its reference, no id."""
        transaction = next(one for one in self.transactions if one["id"] == refund["transaction"])
        self.tell({"event": event, "data": {
            "status": event.removeprefix("refund."), "transaction_reference": transaction["reference"], "refund_reference": number,
            "amount": str(refund["amount"]), "currency": refund["currency"], "processor": "instant-transfer", "domain": self.domain,
            "integration": 412829, "customer": {"email": "alice@example.org"}}})

    def dispute(self, transaction: Record) -> Record:
        made = self._new(refund_amount=transaction["amount"], currency=transaction["currency"], status="awaiting-merchant-feedback",
                         resolution=None, transaction=dict(transaction), category="chargeback", resolvedAt=None)
        self.disputes.append(made)
        self.tell({"event": "charge.dispute.create", "data": dict(made)})
        self.tell({"event": "charge.dispute.remind", "data": dict(made)})
        return made

    def close(self, dispute: Record, won: bool) -> None:
        dispute |= {"status": "resolved", "resolution": "declined" if won else "merchant-accepted", "resolvedAt": _now()}
        self.tell({"event": "charge.dispute.resolve", "data": dict(dispute)})

    def _new(self, **values: Any) -> Record:
        return {"id": next(self._ids), "domain": self.domain, "created_at": _now(), "updated_at": _now(), **values}


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
