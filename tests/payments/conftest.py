"""A real sidecar process over HTTP, a receipt of 60.60 THB to pay, and a provider's pen to sign with."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
import requests
import uvicorn
from pydantic import SecretStr

from data.postgres.invariants import INVARIANTS, violations
from data.postgres.store import PostgresTransaction, Store
from engine.audit import verify
from engine.ledger import LedgerName
from engine.money import Money, parse_micro
from engine.payments import Payment
from engine.policy import OPERATOR
from engine.receipts import Receipt
from engine.services import users
from engine.services.adjustments import request_adjustment
from engine.services.payments import start_payment
from engine.services.receipts import create_receipt
from engine.users import Person, Role
from tests.programs import Program, Programs
from webhooks.app import make_app
from webhooks.providers import signing

SECRET = "first-secret"
ENDED = datetime(2026, 10, 3, 12, tzinfo=UTC)
_numbers = count(1)


@dataclass
class Door:
    """Where a sidecar listens."""

    port: int = field(default_factory=lambda: free_port(), kw_only=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, body: bytes, header: str | bytes | None = None, provider: str = "dummy") -> requests.Response:
        """Deliver a webhook, rightly signed unless `header` says otherwise."""
        header = signed(body) if header is None else header
        return requests.post(f"{self.url}/webhooks/{provider}", data=body, timeout=20, headers={"Dummy-Signature": header})

    def metrics(self) -> str:
        """What Prometheus reads."""
        return requests.get(f"{self.url}/metrics", timeout=10).text


@dataclass
class SidecarThread(Door):
    """The same application served by uvicorn in a thread of the test: quick to start, cannot be killed."""

    store: Store
    server: uvicorn.Server | None = None
    thread: threading.Thread | None = None

    def start(self, **knobs: object) -> SidecarThread:
        """Serve, with some settings other than the usual."""
        secret = SecretStr(str(knobs.pop("secret", SECRET)))
        settings = self.store.settings.model_copy(update={"dummy_webhook_secret": secret, "sidecar_url": self.url, **knobs})
        app = make_app(settings, Store(self.store.engine, settings), self.url)
        self.server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_level="warning", access_log=False))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        wait_until(lambda: self.server and self.server.started, "the sidecar serves")
        return self

    def stop(self) -> None:
        """End it."""
        if self.server and self.thread:
            self.server.should_exit = True
            self.thread.join(10)


@dataclass
class SidecarProcess(Door):
    """One `python -m webhooks`, started and killed as a test likes."""

    programs: Programs
    env: dict[str, str]
    folder: Path
    program: Program | None = None

    def start(self, **more: str) -> SidecarProcess:
        """Start it and wait until it answers."""
        env = {**self.env, "COREHOURS_SIDECAR_URL": self.url, **more}
        self.program = self.programs.start("webhooks", ["--port", str(self.port)], env, self.folder)
        wait_until(self.answers, "the sidecar answers")
        return self

    def answers(self) -> bool:
        assert self.program is not None
        assert self.program.ended() is None, f"the sidecar ended: {self.program.said()}"
        try:
            return requests.get(f"{self.url}/healthz", timeout=2).status_code == 200
        except requests.ConnectionError:
            return False

    def died(self) -> bool:
        """True once it was killed by SIGKILL."""
        return self.program is not None and self.program.ended() == -signal.SIGKILL

    def stop(self) -> str:
        """SIGTERM; what it had said."""
        assert self.program is not None
        self.program.stop()
        return self.program.said()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], object], what: str, seconds: float = 40) -> None:
    """Wait for `true()`, or fail naming what was awaited."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"in {seconds} s never came: {what}"
        time.sleep(0.02)


def signed(body: bytes, secret: str = SECRET, shift: int = 0) -> str:
    """The header a provider would send, `shift` seconds from now."""
    return signing.header(secret, int(time.time()) + shift, body)


def event(reference: str, amount_minor: int = 6060, currency: str = "THB", kind: str = "payment.succeeded",
          id: str = "", money: str = "") -> bytes:
    """A webhook body as the dummy provider writes it; `money` names the charge, by default like the reference."""
    return json.dumps({"id": id or f"evt_{next(_numbers)}", "type": kind, "livemode": False, "created": int(time.time()),
                       "data": {"reference": reference, "amount_minor": amount_minor, "currency": currency,
                                **({"money": money} if money else {})}}).encode()


@pytest.fixture
def sidecar_env(installation_env: dict[str, str]) -> dict[str, str]:
    """The environment of a sidecar on this test's database."""
    return {**installation_env, "COREHOURS_DUMMY_WEBHOOK_SECRET": SECRET}


@pytest.fixture
def new_sidecar(sidecar_env: dict[str, str], programs: Programs, tmp_path: Path) -> Iterator[Callable[[], SidecarProcess]]:
    """Makes sidecars; whatever still runs is stopped at the end."""
    made: list[SidecarProcess] = []

    def make() -> SidecarProcess:
        made.append(SidecarProcess(programs, sidecar_env, tmp_path / f"sidecar{len(made)}"))
        return made[-1]
    yield make
    for one in made:
        if one.program is not None:
            one.stop()


@pytest.fixture
def heir(store: Store) -> Iterator[SidecarThread]:
    """A sidecar that is not started yet."""
    one = SidecarThread(store)
    yield one
    one.stop()


@pytest.fixture
def sidecar(heir: SidecarThread) -> SidecarThread:
    """A sidecar that runs, in a thread."""
    return heir.start()


@dataclass(frozen=True)
class Books:
    """What a test asks of the books, in the words of the tests."""

    store: Store

    def receipt_of(self, payer: str, cost_micro: int = 60_600_000) -> Receipt:
        """A pending receipt over one job that cost `cost_micro`."""
        self.store.run(lambda tx: _job(tx, payer, cost_micro))
        return self.store.run(lambda tx: create_receipt(tx, payer, datetime(2026, 11, 1, tzinfo=UTC), OPERATOR), actor="operator")

    def payment_of(self, receipt: Receipt) -> Payment:
        """A payment that was just started."""
        return self.store.run(lambda tx: start_payment(tx, receipt.id, OPERATOR), actor="operator").payment

    def person(self, name: str, role: str = "researcher", payer: str = "") -> Person:
        """Somebody who signs in."""
        return self.store.run(lambda tx: users.add(tx, name, Role(role), "no password", payer, by=OPERATOR), actor="operator")

    def give(self, owner: str, amount: str, currency: str = "THB") -> None:
        """Put money into a wallet by hand."""
        money = Money(parse_micro(amount), currency)
        self.store.run(lambda tx: request_adjustment(tx, owner, money, "to begin with", OPERATOR), actor="operator")

    def status(self, receipt: Receipt) -> str:
        """Where the receipt stands."""
        found = self.store.read(lambda tx: tx.receipts.get(receipt.id))
        assert found is not None
        return str(found.status)

    def payment_status(self, payment: Payment) -> str:
        """Where the payment stands."""
        found = self.store.read(lambda tx: tx.payments.find(payment.reference))
        assert found is not None
        return str(found.status)

    def payments(self, receipt: Receipt) -> list[Payment]:
        """Every payment of the receipt, the newest first."""
        return self.store.read(lambda tx: tx.payments.of_receipt(receipt.id))

    def ledger(self) -> dict[str, int]:
        """Balances that are not zero, seen from their side, in micro-units: {"receivable:alice": 60600000}."""
        found: dict[LedgerName, int] = self.store.read(lambda tx: tx.ledger.balances())
        return {f"{name.kind}:{name.owner}": micro for name, micro in found.items() if micro}

    def drained(self) -> bool:
        """True when every event was applied."""
        return self.store.read(lambda tx: all(row.state in ("processed", "failed") for row in tx.inbox.newest()))

    def inbox(self) -> list[tuple[str, str]]:
        """(state, outcome) of every event, oldest first."""
        return [(row.state, row.outcome) for row in reversed(self.store.read(lambda tx: tx.inbox.newest()))]

    def actions(self) -> list[str]:
        """What the audit chain says was done about payments, receipts and wallets, in order."""
        return [entry.action for entry in self.store.read(lambda tx: list(tx.audit.chain()))
                if entry.action.startswith(("payment.", "receipt.", "adjustment.", "wallet."))]


@pytest.fixture
def books(store: Store) -> Iterator[Books]:
    """The books; at the end of every test every invariant of Postgres must hold, the audit chain included."""
    yield Books(store)
    broken = store.read(lambda tx: {promise.name: where for promise in INVARIANTS if (where := violations(tx, promise)[1])})
    assert not broken
    anchors = list(store.anchors.read())            # before the chain: a sidecar that still works notes others meanwhile
    assert store.read(lambda tx: verify(tx.audit.chain(), tx.audit.head(), anchors, store.audit_keys())).ok


def _job(tx: PostgresTransaction, payer: str, cost_micro: int) -> None:
    number = next(_numbers)
    tx.payers.ensure([payer], "mu")
    tx.payers.execute("""
        insert into usage_record (run_key, cluster, job_id, job_id_raw, job_name, user_name, account_name, partition_name,
          state, submit_at, start_at, end_at, elapsed_seconds, alloc_tres, alloc_cpus, alloc_gpus, alloc_mem_mib,
          cpu_used_core_seconds, cpu_used_from, mem_used_mib_seconds, mem_used_from, ended, run_id, payer, tier, rate_card,
          policy, currency, cpu_core_seconds, gpu_seconds, mem_mib_seconds, cpu_micro, gpu_micro, mem_micro, rounding_micro,
          cost_micro)
        values (:key, 'hpc', cast(:number as text), :number, 'job', :payer, 'lab', 'cpu', 'COMPLETED',
          :end - interval '2 hours', :end - interval '1 hour', :end, 3600, 'cpu=1', 1, 0, 1024, 3600, 'steps TotalCPU',
          3686400, 'steps AveRSS × Elapsed', true, 0, :payer, 'mu', 'mu-v1', 'used', 'THB', 3600, 0, 3686400,
          :cost, 0, 0, 0, :cost)""", key=f"hpc/{number}/0", number=number, payer=payer, end=ENDED, cost=cost_micro)

