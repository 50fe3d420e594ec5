"""What the door takes and what it sends away, on a real sidecar. Nothing that was refused leaves a trace in the inbox."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable

import psycopg
import requests
import sqlalchemy as sa

from tests.payments.conftest import SECRET, Books, SidecarProcess, SidecarThread, event, signed, wait_until


def test_forged_events_are_refused_and_not_stored(sidecar: SidecarThread, books: Books) -> None:
    """Another secret, another body, no header, nonsense, too old, too young: 401 each, and the receipt stays pending."""
    receipt = books.receipt_of("alice")
    body = event(books.payment_of(receipt).reference)
    now = int(time.time())
    headers = [signed(body, secret="guessed"), signed(body + b" "), "", "t=,v1=", "nonsense", "v1=" + "0" * 64, f"t={now}",
               f"t={now},v1=", signed(body).replace("v1=", "v0="), signed(body, shift=-301), signed(body, shift=302),
               f"t={now},{signed(body)}", "t=١٢,v1=" + "0" * 64]
    for header in headers:
        answer = sidecar.post(body, header=header.encode())
        assert (answer.status_code, answer.json()["error"]) == (401, "bad_signature"), header
    assert requests.post(f"{sidecar.url}/webhooks/dummy", data=body, timeout=10).status_code == 401
    assert books.inbox() == [] and books.status(receipt) == "pending"
    for reason, count in (("unsigned", 2), ("stale", 2), ("forged", len(headers) - 3)):
        assert f'webhook_events_total{{provider="dummy",result="{reason}"}} {count}.0' in sidecar.metrics()


def test_both_secrets_hold_while_rotating(sidecar: SidecarThread) -> None:
    sidecar.stop()
    sidecar.start(secret=f"next-secret, {SECRET}")
    for secret in ("next-secret", SECRET):
        body = event("TXN_NOBODYKNOWSTHIS1")
        assert sidecar.post(body, header=signed(body, secret)).json() == {"status": "stored"}
    body = event("TXN_NOBODYKNOWSTHIS1")
    assert sidecar.post(body, header=f"{signed(body, 'old')},{signed(body).split(',')[1]}").status_code == 200
    assert sidecar.post(body, header=signed(body, "")).status_code == 401


GOOD = {"id": "evt_x", "type": "payment.succeeded", "livemode": False, "created": 1795000000,
        "data": {"reference": "TXN_0000000000000001", "amount_minor": 6060, "currency": "THB"}}


def changed(**values: object) -> bytes:
    return json.dumps(GOOD | values).encode()


def changed_data(**values: object) -> bytes:
    return json.dumps(GOOD | {"data": GOOD["data"] | values}).encode()  # type: ignore[operator]


UNREADABLE = [
    b"", b"{", b"[]", b"null", b"\xff\xfe", b'"text"', b"{}", b"[" * 60_000, b'{"a":' * 9_000,
    changed(id=7), changed(id=""), changed(id="a\x00b"), changed(id="x" * 129), changed(type="payment.unheard"),
    changed(type=None), changed(livemode="false"), changed(livemode=0), changed(created="today"), changed(data=[]),
    changed(data=None), changed_data(reference="TXN 1"), changed_data(reference="\ud800"), changed_data(reference=None),
    changed_data(amount_minor="6060"), changed_data(amount_minor=60.6), changed_data(amount_minor=True),
    changed_data(amount_minor=0), changed_data(amount_minor=-6060), changed_data(amount_minor=2**63),
    changed_data(amount_minor=float("nan")), changed_data(amount_minor=float("inf")), changed_data(currency="XXX"),
    changed_data(currency=764), changed().replace(b"6060", b"1e3"),
    changed().replace(b'"amount_minor": 6060', b'"amount_minor": 6060, "amount_minor": 1'),
    changed().replace(b'"id"', b'"id": "evt_y", "id"'), changed().replace(b"6060", b"9" * 5_000),
]


def test_unreadable_events_are_refused_though_signed(sidecar: SidecarThread, books: Books) -> None:
    for body in UNREADABLE:
        answer = sidecar.post(body)
        assert (answer.status_code, answer.json()["error"]) == (400, "bad_event"), body[:80]
        assert answer.json()["detail"].startswith("The event cannot be read. ")
    assert books.inbox() == []
    assert sidecar.post(changed()).json() == {"status": "stored"}


def test_a_body_over_the_cap_is_not_read(sidecar: SidecarThread, books: Books) -> None:
    """By its declared length, and by what really comes when it declares none."""
    assert sidecar.post(event("TXN_X", id="e" * 270_000)).status_code == 413
    body = b"x" * 262_145
    answer = requests.post(f"{sidecar.url}/webhooks/dummy", data=iter([body[:40_000], body[40_000:]]), timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (413, "too_large")
    line = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=10)
    line.putrequest("POST", "/webhooks/dummy")
    line.putheader("content-length", str(10**12))
    line.endheaders()
    assert line.getresponse().status == 413, "answered before a byte of it was sent"
    assert books.inbox() == []
    assert sidecar.post(event("TXN_FITS", id="e" * 100)).status_code == 200
    assert 'webhook_events_total{provider="dummy",result="oversized"} 3.0' in sidecar.metrics()


def test_unknown_providers_and_methods_do_not_exist(sidecar: SidecarThread) -> None:
    assert sidecar.post(event("TXN_X"), provider="stripe").status_code == 404
    assert requests.get(f"{sidecar.url}/webhooks/dummy", timeout=10).status_code == 405
    assert requests.get(f"{sidecar.url}/webhooks/dummy/../../etc/passwd", timeout=10).status_code == 404


def test_without_a_database_the_door_says_so_at_once(sidecar: SidecarThread, books: Books, database_url: str) -> None:
    """503 in well under a second, so that the provider comes again; when the database is back the event is taken."""
    receipt = books.receipt_of("alice")
    body = event(books.payment_of(receipt).reference)
    with no_connections(database_url):
        begun = time.monotonic()
        answer = sidecar.post(body)
        assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
        assert time.monotonic() - begun < 2
        ready = requests.get(f"{sidecar.url}/readyz", timeout=10)
        assert ready.status_code == 503 and "does not answer" in ready.json()["reasons"][0]
        assert requests.get(f"{sidecar.url}/healthz", timeout=10).status_code == 200
        assert "database_up 0.0" in sidecar.metrics()
    wait_until(lambda: sidecar.post(body).status_code == 200, "taken again")
    wait_until(lambda: books.status(receipt) == "paid", "paid")
    assert requests.get(f"{sidecar.url}/readyz", timeout=10).json() == {"ready": True, "reasons": []}


class no_connections:
    """While inside, the database lets nobody in and throws out who is there."""

    def __init__(self, url: str) -> None:
        parsed = sa.make_url(url)
        self.name = parsed.database
        self.server = parsed.set(database="postgres").render_as_string(hide_password=False)

    def __enter__(self) -> None:
        self._run(f"alter database {self.name} allow_connections false",
                  f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{self.name}'")

    def __exit__(self, *_: object) -> None:
        self._run(f"alter database {self.name} allow_connections true")

    def _run(self, *statements: str) -> None:
        with psycopg.connect(self.server, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


def test_a_sidecar_that_was_started_before_the_tables_waits_for_them(
        new_sidecar: Callable[[], SidecarProcess], books: Books, database_url: str) -> None:
    """Not ready and says why; answers 503; once the tables are there it works without being started again."""
    hidden, shown = "alter table {} rename to {}_hidden", "alter table {0}_hidden rename to {0}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        for table in ("alembic_version", "webhook_inbox"):
            connection.execute(hidden.format(table, table).encode())
        sidecar = new_sidecar().start()
        ready = requests.get(f"{sidecar.url}/readyz", timeout=10)
        assert ready.status_code == 503 and "./corehours migrate" in ready.json()["reasons"][0]
        assert sidecar.post(event("TXN_EARLY")).status_code == 503
        assert "inbox_waiting NaN" in sidecar.metrics()
        for table in ("alembic_version", "webhook_inbox"):
            connection.execute(shown.format(table).encode())
    assert requests.get(f"{sidecar.url}/readyz", timeout=10).json() == {"ready": True, "reasons": []}
    receipt = books.receipt_of("alice")
    assert sidecar.post(event(books.payment_of(receipt).reference)).status_code == 200
    wait_until(lambda: books.status(receipt) == "paid", "paid")


def test_every_series_is_there_from_the_start(sidecar: SidecarThread) -> None:
    text = sidecar.metrics()
    for series in ('webhook_events_total{provider="dummy",result="forged"} 0.0', "inbox_waiting 0.0",
                   'payments_total{provider="dummy",result="succeeded"} 0.0', 'unapplied_total{provider="dummy"} 0.0',
                   "usage_complete_age_seconds NaN", "sign_in_failures 0.0", "database_up 1.0",
                   'http_requests_total{method="POST",route="/webhooks/{provider}",status="200"} 0.0',
                   'http_request_seconds_count{route="/webhooks/{provider}"} 0.0'):
        assert series in text


def test_the_request_log_is_json_and_holds_no_secret(new_sidecar: Callable[[], SidecarProcess]) -> None:
    sidecar = new_sidecar().start()
    answer = requests.get(f"{sidecar.url}/dummy/checkout?token=very-secret", timeout=10)
    sidecar.metrics()
    said = sidecar.stop()
    assert "very-secret" not in said and SECRET not in said and "/metrics" not in said
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    [line] = [line for line in lines if line["event"] == "request"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/dummy/checkout", 404)
    assert line["request_id"] == answer.headers["x-request-id"]
