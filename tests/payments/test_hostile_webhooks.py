"""Every hostile webhook at the door of a real sidecar that has every provider loaded: refused, counted by its reason, not stored.

The table is read from top to bottom; each row is the same good event with one thing wrong. At the end the good one is taken,
so that every row was refused for its own reason.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from tests.payments.conftest import SECRET, Books, SidecarProcess, wait_until
from webhooks.metrics import RECEIVED
from webhooks.providers import signing

REFERENCE = "TXN_0000000000000001"
OMISE_SECRET = b"an omise secret"
ENV = {
    "COREHOURS_PAYMENT_PROVIDER": "dummy",
    "COREHOURS_STRIPE_SECRET_KEY": "sk_test_1", "COREHOURS_STRIPE_WEBHOOK_SECRET": "whsec_1", "COREHOURS_STRIPE_ACCOUNT": "acct_ours",
    "COREHOURS_STRIPE_URL": "http://127.0.0.1:9",
    "COREHOURS_PAYSTACK_SECRET_KEY": "sk_test_2", "COREHOURS_PAYSTACK_EMAIL": "billing@example.org",
    "COREHOURS_PAYSTACK_URL": "http://127.0.0.1:9",
    "COREHOURS_OMISE_SECRET_KEY": "skey_test_3", "COREHOURS_OMISE_WEBHOOK_SECRET": base64.b64encode(OMISE_SECRET).decode(),
    "COREHOURS_OMISE_URL": "http://127.0.0.1:9",
}


@dataclass(frozen=True)
class Pen:
    """How a provider writes: an event of ours, one of the other mode, and its headers for a body at a time, by a secret."""

    good: dict[str, Any]
    live: dict[str, Any]
    headers: Callable[..., dict[str, str]]
    dated: bool = True


def dummy_headers(body: bytes, at: int, secret: str = SECRET) -> dict[str, str]:
    return {"dummy-signature": signing.header(secret, at, body)}


def stripe_headers(body: bytes, at: int, secret: str = "whsec_1") -> dict[str, str]:
    return {"stripe-signature": signing.header(secret, at, body)}


def paystack_headers(body: bytes, at: int, secret: str = "sk_test_2") -> dict[str, str]:
    return {"x-paystack-signature": hmac.new(secret.encode(), body, hashlib.sha512).hexdigest()}


def omise_headers(body: bytes, at: int, secret: str = "an omise secret") -> dict[str, str]:
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return {"omise-signature": mac.hexdigest(), "omise-signature-timestamp": str(at)}


SESSION = {"id": "cs_1", "object": "checkout.session", "status": "complete", "payment_status": "paid", "payment_intent": "pi_1",
           "client_reference_id": REFERENCE, "amount_total": 6060, "currency": "thb", "automatic_tax": {"rate": 7.5}}
STRIPE = {"id": "evt_1", "object": "event", "type": "checkout.session.completed", "livemode": False, "data": {"object": SESSION}}
PAID = {"id": 302961, "domain": "test", "status": "success", "reference": "TXN-0000000000000001", "amount": 6060, "currency": "NGN"}
CHARGE = {"object": "charge", "id": "chrg_test_1", "status": "successful", "amount": 6060, "currency": "THB",
          "metadata": {"reference": REFERENCE}}
OMISE = {"object": "event", "id": "evnt_test_1", "key": "charge.complete", "livemode": False, "data": CHARGE}
DUMMY = {"id": "evt_1", "type": "payment.succeeded", "livemode": False,
         "data": {"reference": REFERENCE, "amount_minor": 6060, "currency": "THB"}}
PENS = {
    "dummy": Pen(DUMMY, DUMMY | {"livemode": True}, dummy_headers),
    "stripe": Pen(STRIPE, STRIPE | {"livemode": True}, stripe_headers),
    "paystack": Pen({"event": "charge.success", "data": PAID}, {"event": "charge.success", "data": PAID | {"domain": "live"}},
                    paystack_headers, dated=False),
    "omise": Pen(OMISE, OMISE | {"livemode": True}, omise_headers),
}


@dataclass(frozen=True)
class Row:
    """One hostile webhook, what is answered, and what it is counted as."""

    what: str
    body: bytes
    headers: dict[str, str]
    status: int
    counted: str


def table(provider: str) -> list[Row]:
    """What the door of a provider has to expect."""
    pen, now = PENS[provider], int(time.time())
    good = json.dumps(pen.good).encode()
    right = pen.headers(good, now)

    def signed(body: bytes) -> tuple[bytes, dict[str, str]]:
        return body, pen.headers(body, now)
    rows = [
        Row("no header", good, {}, 401, "unsigned"),
        Row("a wrong header name", good, {f"x-{name}": value for name, value in right.items()}, 401, "unsigned"),
        Row("the signature of another body", good, pen.headers(good + b" ", now), 401, "forged"),
        Row("another account's secret", good, pen.headers(good, now, secret="another account's"), 401, "forged"),
        Row("10 MB", *signed(b" " * 10_000_000 + good), 413, "oversized"),
        Row("nested 100,000 deep", *signed(b'{"a":' + b"[" * 100_000), 400, "too_deep"),
        Row("duplicate keys", *signed(good[:-1] + b"," + good[1:]), 400, "duplicate_key"),
        Row("NaN", *signed(good.replace(b"6060", b"NaN")), 400, "not_a_number"),
        Row("infinite", *signed(good.replace(b"6060", b"-Infinity")), 400, "not_a_number"),
        Row("UTF-16", *signed(good.decode().encode("utf-16")), 400, "not_utf8"),
        Row("UTF-16 without its mark", *signed(good.decode().encode("utf-16-le")), 400, "not_utf8"),
        Row("a gzip bomb", *_packed(pen, now, gzip.compress(b"0" * 100_000_000, 9)), 415, "packed"),
        Row("gzip that says nothing of it", *signed(gzip.compress(good)), 400, "not_utf8"),
        Row("the wrong mode", *signed(json.dumps(pen.live).encode()), 422, "wrong_mode"),
        Row("an amount with a fraction", *signed(good.replace(b"6060", b"60.6")), 400, "malformed"),
        Row("no amount", *signed(good.replace(b"6060", b"0")), 400, "malformed"),
        Row("a negative amount", *signed(good.replace(b"6060", b"-6060")), 400, "malformed"),
        Row("an amount over any limit", *signed(good.replace(b"6060", b"9" * 18)), 400, "malformed"),
        Row("half of it", *signed(good[:len(good) // 2]), 400, "malformed"),
        Row("nothing", *signed(b""), 400, "malformed"),
    ]
    if pen.dated:
        rows += [Row("dated a day ahead", good, pen.headers(good, now + 86_400), 401, "stale"),
                 Row("a day old", good, pen.headers(good, now - 86_400), 401, "stale")]
    if provider == "stripe":
        other = json.dumps(pen.good | {"account": "acct_other"}).encode()
        rows.append(Row("another account's object", *signed(other), 422, "wrong_account"))
    return rows


def _packed(pen: Pen, now: int, body: bytes) -> tuple[bytes, dict[str, str]]:
    return body, pen.headers(body, now) | {"content-encoding": "gzip"}


def test_every_hostile_webhook_is_refused_counted_and_forgotten(new_sidecar: Callable[[], SidecarProcess], books: Books) -> None:
    sidecar = new_sidecar().start(**ENV)
    for provider in PENS:
        wanted: Counter[str] = Counter()
        for row in table(provider):
            answer = requests.post(f"{sidecar.url}/webhooks/{provider}", data=row.body, headers=row.headers, timeout=20)
            assert answer.status_code == row.status, (provider, row.what, answer.text)
            assert answer.json()["detail"].count("\n") == 0
            wanted[row.counted] += 1
        assert counters(sidecar, provider) == wanted
    slow_bodies_end(sidecar)
    assert books.inbox() == []
    for provider, pen in PENS.items():
        good = json.dumps(pen.good).encode()
        answer = requests.post(f"{sidecar.url}/webhooks/{provider}", data=good, headers=pen.headers(good, int(time.time())), timeout=20)
        assert (answer.status_code, answer.json()) == (200, {"status": "stored"}), provider
    assert len(books.inbox()) == len(PENS)


def slow_bodies_end(sidecar: SidecarProcess) -> None:
    """A byte now and then, for ever: the answer comes while the body is still being sent, to each provider at once."""
    lines = []
    for provider in PENS:
        line = socket.create_connection(("127.0.0.1", sidecar.port), timeout=30)
        line.sendall(f"POST /webhooks/{provider} HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n".encode())
        line.settimeout(0.05)
        lines.append(line)
    answered: dict[int, bytes] = {}

    def all_answered() -> bool:
        for number, line in enumerate(lines):
            if number not in answered:
                line.sendall(b"x")
                try:
                    answered[number] = line.recv(1000)
                except TimeoutError:
                    pass
        return len(answered) == len(lines)
    wait_until(all_answered, "slow bodies are ended")
    assert all(b" 408 " in told.splitlines()[0] for told in answered.values()), answered
    for line in lines:
        line.close()
    assert {counters(sidecar, provider)["slow"] for provider in PENS} == {1}


def counters(sidecar: SidecarProcess, provider: str) -> Counter[str]:
    """What was counted at a provider's door, by reason."""
    start = f'webhook_events_total{{provider="{provider}",result="'
    lines = [line.removeprefix(start).split('"} ') for line in sidecar.metrics().splitlines() if line.startswith(start)]
    return Counter({reason: int(float(count)) for reason, count in lines if float(count)})


def test_the_table_names_every_reason() -> None:
    """A reason that the door knows and no row tries would be untried."""
    tried = {row.counted for name in PENS for row in table(name)} | {"slow", "stored", "duplicate", "unavailable", "broken_off"}
    assert set(RECEIVED) == tried
