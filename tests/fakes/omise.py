"""A fake Omise: charges with redirect sources, refunds, disputes, lists by offset.

There are no idempotency keys: every charge and every refund that is asked for is made. Webhooks come with `Omise-Signature`
over time and body, under the decoded secret, and a second signature of a key that is being rotated away.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.fakes.company import Company, answer, endpoint, json_fields

KEY = "skey_test_fake"
SECRET = base64.b64encode(b"a secret of thirty-two bytes....").decode()
Record = dict[str, Any]


@dataclass
class FakeOmise(Company):
    """See the module. What it holds is public: tests read its books."""

    charges: list[Record] = field(default_factory=list)
    refunds: list[Record] = field(default_factory=list)
    disputes: list[Record] = field(default_factory=list)
    livemode: bool = False
    _ids: Any = field(default_factory=lambda: itertools.count(1))

    def routes(self) -> list[Route]:
        table = [("POST", "/charges", self.make_charge), ("GET", "/charges", self.listed(self.charges)),
                 ("GET", "/charges/{id}", self.fetch(self.charges)), ("POST", "/charges/{charge}/refunds", self.make_refund),
                 ("GET", "/charges/{charge}/refunds", self.listed(self.refunds)), ("GET", "/refunds", self.listed(self.refunds)),
                 ("GET", "/charges/{charge}/refunds/{id}", self.fetch(self.refunds)),
                 ("GET", "/disputes", self.listed(self.disputes)), ("GET", "/disputes/{id}", self.fetch(self.disputes))]
        return [Route(path, endpoint(self._guarded(handler), json_fields), methods=[method]) for method, path, handler in table]

    def _guarded(self, handler: Any) -> Any:
        def guarded(asked: Record, request: Request) -> Response:
            if request.headers.get("authorization") != "Basic " + base64.b64encode(f"{KEY}:".encode()).decode():
                return self.no(401, "authentication failed")
            made = handler(asked, request)
            assert isinstance(made, Response)
            return made
        return guarded

    def no(self, status: int, words: str) -> Response:
        return answer({"object": "error", "location": "https://docs.opn.ooo/api-errors", "code": "failed", "message": words}, status)

    def sign(self, body: bytes, at: int) -> dict[str, str]:
        signed = f"{at}.".encode() + body
        rotated, ours = (hmac.new(secret, signed, hashlib.sha256).hexdigest() for secret in (b"old", base64.b64decode(SECRET)))
        return {"omise-signature": f"{rotated},{ours}", "omise-signature-timestamp": str(at), "content-type": "application/json"}

    # its API

    def make_charge(self, asked: Record, _request: Request) -> Response:
        if asked["amount"] < 2000 or asked["source"]["type"] != "promptpay" or asked["currency"].upper() != "THB":
            return self.no(400, "amount must be at least ฿20 and its source must take it")
        made = self._new("charge", "chrg", amount=asked["amount"], currency=asked["currency"].upper(), status="pending", paid=False,
                         metadata=asked.get("metadata", {}), paid_at=None, failure_message=None, refunded_amount=0,
                         return_uri=asked["return_uri"], transaction_fees={"fee_rate": "1.65", "vat_rate": 7.0})
        picture = {"object": "document", "download_uri": f"https://api.omise.co/charges/{made['id']}/qrcode.svg"}
        made |= {"source": {"object": "source", "type": "promptpay", "scannable_code": {"object": "barcode", "image": picture}},
                 "authorize_uri": f"https://pay.omise.co/payments/{made['id']}/authorize"}
        self.charges.append(made)
        self._tell("charge.create", made)
        return answer(made)

    def make_refund(self, asked: Record, request: Request) -> Response:
        charge = _find(self.charges, request.path_params["charge"])
        if charge is None or charge["status"] != "successful":
            return self.no(404, "charge was not found")
        if charge["refunded_amount"] + asked["amount"] > charge["amount"]:
            return self.no(400, "amount is higher than what can be refunded")
        return answer(self.refunded(charge, asked["amount"], asked.get("metadata", {})))

    def fetch(self, held: list[Record]) -> Any:
        def fetched(_asked: Record, request: Request) -> Response:
            found = _find(held, request.path_params["id"])
            return answer(found) if found else self.no(404, f"{request.path_params['id']} was not found")
        return fetched

    def listed(self, held: list[Record]) -> Any:
        def answered(asked: Record, request: Request) -> Response:
            charge, offset, limit = request.path_params.get("charge"), int(asked["offset"]), int(asked["limit"])
            found = [one for one in held[::-1] if asked.get("from", "") <= one["created_at"] <= asked.get("to", "9")
                     and charge in (None, one.get("charge"))]
            return answer({"object": "list", "data": found[offset:offset + limit], "total": len(found), "offset": offset, "limit": limit})
        return answered

    # what people do at it

    def pay(self, charge: Record) -> None:
        charge |= {"status": "successful", "paid": True, "paid_at": _now()}
        self._tell("charge.complete", charge)

    def expire(self, charge: Record) -> None:
        charge["status"] = "expired"
        self._tell("charge.expire", charge)

    def refunded(self, charge: Record, amount: int, metadata: Record) -> Record:
        charge["refunded_amount"] += amount
        made = self._new("refund", "rfnd", amount=amount, currency=charge["currency"], charge=charge["id"], metadata=metadata,
                         status="closed", voided=False)
        self.refunds.append(made)
        self._tell("refund.create", made)
        return made

    def dispute(self, charge: Record) -> Record:
        made = self._new("dispute", "dspt", amount=charge["amount"], currency=charge["currency"], charge=charge["id"], status="open",
                         reason_code="goods_or_services_not_provided", metadata={}, closed_at=None)
        self.disputes.append(made)
        self._tell("dispute.create", made)
        self._tell("dispute.update", made)
        return made

    def close(self, dispute: Record, won: bool) -> None:
        dispute |= {"status": "won" if won else "lost", "closed_at": _now()}
        self._tell("dispute.close", dispute)

    def _tell(self, key: str, about: Record) -> None:
        """As an account of an older version writes it: the currency in small letters."""
        self.tell({"object": "event", "id": f"evnt_test_{next(self._ids):06}", "livemode": self.livemode, "key": key, "created_at": _now(),
                   "data": about | {"currency": about["currency"].lower()}})

    def _new(self, object_: str, prefix: str, **values: Any) -> Record:
        return {"object": object_, "id": f"{prefix}_test_{next(self._ids):06}", "livemode": self.livemode, "created_at": _now(), **values}


def _find(held: list[Record], id_: str) -> Record | None:
    return next((one for one in held if one["id"] == id_), None)


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
