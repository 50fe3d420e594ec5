"""Killed at every failpoint, before and after its commit; started again, drained: every promise holds, and the books are those
of a day on which nobody died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import requests
import sqlalchemy as sa

from data.failpoints import NAMES
from data.postgres.invariants import INVARIANTS, violations
from data.postgres.store import PostgresTransaction, Store, connect
from data.settings import Settings
from engine.audit import verify
from engine.documents import Language
from engine.policy import OPERATOR
from engine.services import users
from engine.users import Role
from tests.conftest import AUDIT_KEY, ROOT, Corehours
from tests.failpoints.day import LARGE, PAYERS, Day
from tests.payments.conftest import _job, free_port, wait_until
from tests.programs import Programs

# Places of HTTP requests and of nodes, killed by tests of their own.
ELSEWHERE = ("inbox.storing", "inbox.stored",                       # tests/payments/test_killed_anywhere.py
             *(name for name in NAMES if name.startswith(("node.", "billing."))))     # tests/allocations/test_killed_{hands,biller}.py
HERE = [name for name in NAMES if name not in ELSEWHERE]
USUAL = HERE[::9]               # a run of all tests kills at these, -m long at every place with five seeds
DAYS = [pytest.param(place, seed, marks=[] if place in USUAL and not seed else pytest.mark.long) for place in HERE for seed in range(5)]


@dataclass
class Lives:
    """The process that forks days, and a database for each."""

    server_url: str
    template: str
    folder: Path
    process: subprocess.Popen[str]
    programs: Programs

    def world(self, seed: int) -> tuple[Store, Path]:
        """A centre of its own with jobs to bill."""
        name = f"day_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(_of(self.server_url, "postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name} template {self.template} strategy file_copy")
        home = self.folder / name
        home.mkdir()
        store = Store(connect(_of(self.server_url, name)), Settings(env="development", home=home, audit_key=AUDIT_KEY,
                                                                   database_url=_of(self.server_url, name)))
        cents = Day.cents_of(seed)
        for payer in (*PAYERS, "erin", "gina"):
            store.run(lambda tx, payer=payer: _job(tx, payer, cents.get(payer, 5_000) * 10_000))  # type: ignore[misc]
        store.run(_alice_has_an_address)
        return store, home

    def live(self, store: Store, home: Path, seed: int, place: str = "-") -> int:
        """A day in a process of its own; its exit code."""
        assert self.process.stdin and self.process.stdout
        url = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        print(url, home, seed, place, file=self.process.stdin, flush=True)
        while line := self.process.stdout.readline():
            if line.endswith(" exit\n"):
                return int(line.split()[0])
        raise AssertionError("the process that forks days ended")

    def ready_again(self, store: Store, home: Path) -> float:
        """Start a sidecar on it and wait until it says that work may be sent; after how many seconds. It is killed at whatever it
        has in hand by then. It knows no provider: this one is a file."""
        url = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        env = {**os.environ, "DATABASE_URL": url, "COREHOURS_HOME": str(home), "COREHOURS_AUDIT_KEY": AUDIT_KEY,
               "COREHOURS_PAYMENT_PROVIDER": "none", "PYTHONPATH": str(ROOT)}
        port, began = free_port(), time.monotonic()
        sidecar = self.programs.start("webhooks", ["--port", str(port)], env, home / "sidecar")
        wait_until(lambda: sidecar.ended() is not None or _ready(port), "ready", 120)
        seconds = time.monotonic() - began
        assert sidecar.ended() is None, sidecar.said()
        sidecar.kill()
        return seconds

    def over(self, store: Store) -> None:
        """Leave nothing behind."""
        name = store.engine.url.database
        store.engine.dispose()
        with psycopg.connect(_of(self.server_url, "postgres"), autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="module")
def lives(server_url: str, template: str, programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    """One process that has everything imported and forks."""
    process = subprocess.Popen([sys.executable, "-m", "tests.failpoints.day"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
    programs.run("commands", ["check", "--failpoints"], os.environ)        # the first waits for the imports of all
    yield Lives(server_url, template, tmp_path_factory.mktemp("days"), process, programs)
    assert process.stdin
    process.stdin.close()
    process.wait(20)


@pytest.fixture(scope="module")
def quiet(lives: Lives) -> Callable[[int], dict[str, int]]:
    """The ledger after a day on which nobody died, by seed."""
    known: dict[int, dict[str, int]] = {}

    def of(seed: int) -> dict[str, int]:
        if seed not in known:
            store, home = lives.world(seed)
            assert lives.live(store, home, seed, "nowhere") == 0
            known[seed] = ledger(store)
            lives.over(store)
        return known[seed]
    return of


def ledger(store: Store) -> dict[str, int]:
    """Balances that are not zero, by name."""
    found = store.read(lambda tx: tx.ledger.balances())
    return {f"{name.kind}:{name.owner}:{name.currency}": micro for name, micro in found.items() if micro}


def promises_broken(store: Store) -> dict[str, list[str]]:
    """What `check` would say."""
    broken = store.read(lambda tx: {promise.name: where for promise in INVARIANTS if (where := violations(tx, promise)[1])})
    anchors = list(store.anchors.read())            # before the chain: those noted meanwhile speak of entries it does not see
    chain = store.read(lambda tx: verify(tx.audit.chain(), tx.audit.head(), anchors, store.audit_keys()))
    return broken if chain.ok else broken | {"the audit chain": [chain.reason]}


def test_a_quiet_day_passes_every_place(lives: Lives) -> None:
    """Else a place would be listed that no test kills."""
    store, home = lives.world(0)
    assert lives.live(store, home, 0) == 0
    assert not promises_broken(store)
    assert set(HERE) <= set((home / "passed").read_text().split())
    books = ledger(store)
    assert books["dispute:dummy:THB"] > 0 and "refund_pending:dummy:THB" not in books and "unapplied:dummy:THB" not in books
    assert (books["wallet:alice:THB"], books["wallet:bob:THB"], books["wallet:gina:THB"]) == (17_340_000, 75_000_000, LARGE - 50_000_000)
    lives.over(store)


@pytest.mark.parametrize(("place", "seed"), DAYS)
def test_killed_there_the_day_ends_as_if_nobody_had_died(
        lives: Lives, quiet: Callable[[int], dict[str, int]], place: str, seed: int,
        record_property: Callable[[str, object], None]) -> None:
    """How soon work may be sent again is told at the end of the run."""
    expected = quiet(seed)
    store, home = lives.world(seed)
    assert lives.live(store, home, seed, place) == -signal.SIGKILL
    record_property("ready_again_seconds", lives.ready_again(store, home))
    assert lives.live(store, home, seed, "nowhere") == 0
    assert not promises_broken(store)
    assert place.startswith("usage.") or ledger(store) == expected
    lives.over(store)


def test_the_command_lists_them(corehours: Corehours) -> None:
    assert tuple(json.loads(corehours("check", "--failpoints", "--json").stdout)) == NAMES
    assert corehours("check", "--failpoints").stdout.split() == list(NAMES)


def _alice_has_an_address(tx: PostgresTransaction) -> None:
    """So that her documents are mailed."""
    users.add(tx, "alice", Role.RESEARCHER, "no password", by=OPERATOR)
    alice = tx.users.by_name("alice")
    assert alice is not None
    users.set_mail(tx, "alice@example.org", Language.ENGLISH, alice)


def _ready(port: int) -> bool:
    with suppress(requests.ConnectionError):
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    return False


def _of(server_url: str, database: str) -> str:
    return sa.make_url(server_url).set(database=database).render_as_string(hide_password=False)
