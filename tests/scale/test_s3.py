"""The analytics copy on S3: several worker processes write it at once, one is killed, and it says what Postgres says."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa

from data.analytics import lake
from data.postgres.store import Store
from ingest.keep import keep
from tests.programs import Program, Programs
from tests.scale import writer
from tests.usage.frames import batch

Start = Callable[..., Program]


@pytest.fixture
def started(environment: dict[str, str], programs: Programs, tmp_path: Path) -> Start:
    """`started(1, 3, 30)`: a worker process that keeps so many batches of so many runs."""
    return lambda number, batches, count, **more: programs.start("tests.scale.writer", [str(number), str(batches), str(count)],
                                                                 {**environment, **more}, tmp_path / f"writer{number}")


def ended(worker: Program) -> tuple[str, int | None]:
    """What it said, and how it ended."""
    worker.process.join(120)
    return worker.said(), worker.ended()


def sums(store: Store, table: str) -> tuple[int, int]:
    """(jobs, micro-units) in a table of the copy."""
    return store.lake.ask(f"select coalesce(sum(jobs), 0)::bigint, coalesce(sum(cost_micro), 0)::bigint from lake.{table}").row(0)


def truth(store: Store) -> tuple[int, int]:
    """(jobs, micro-units) in Postgres."""
    with store.engine.connect() as connection:
        row = connection.execute(sa.text("select count(*), sum(cost_micro)::bigint from usage_record where ended")).one()
        return row[0], row[1]


def pending(store: Store) -> int:
    """How many batches the copy does not hold."""
    with store.engine.connect() as connection:
        return connection.execute(sa.text("select count(*) from lake_batch where state = 'pending'")).scalar_one()


class Reader(threading.Thread):
    """Reads both tables in one snapshot, again and again; `torn` is what did not agree."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store, self.done, self.read = store, threading.Event(), 0
        self.torn: list[object] = []

    def run(self) -> None:
        while not self.done.wait(0.05):
            with self.store.lake.cursor() as duck:
                duck.execute("begin")
                facts, daily = (duck.execute(f"select sum(cost_micro)::bigint from lake.{table}").fetchall()
                                for table in ("usage_fact", "usage_daily"))
                duck.execute("commit")
            self.read += 1
            self.torn += [(facts, daily)] if facts != daily else []


def test_three_workers_write_while_others_read(remote: Store, started: Start, service: str, bucket: str) -> None:
    """Each reading in between finds whole batches only. One worker is killed when its last batch is half in the bucket."""
    lake.verify(remote)                                     # makes the empty tables
    reader = Reader(remote)
    reader.start()
    workers = [started(1, 3, 30), started(2, 3, 30), started(3, 2, 30, DIE_AT="written")]
    said = [ended(worker) for worker in workers]
    reader.done.set()
    reader.join()
    assert said == [("", 0), ("", 0), ("", -signal.SIGKILL)]
    assert reader.read and reader.torn == []
    assert lake.verify(remote) == []                        # by the worker who came next, or by this look, it is whole
    assert sums(remote, "usage_fact") == sums(remote, "usage_daily") == truth(remote)
    assert truth(remote)[0] == 3 + 29 * 8
    assert b".parquet</Key>" in requests.get(f"{service}/{bucket}", timeout=10).content


@pytest.mark.parametrize("place", writer.PLACES)
def test_who_comes_after_a_killed_worker_makes_the_copy_whole(remote: Store, started: Start, place: str) -> None:
    assert ended(started(1, 1, 20, DIE_AT=place)) == ("", -signal.SIGKILL)
    assert pending(remote) == 1
    keep(remote, batch(*writer.runs(2, 0, 20)))
    assert pending(remote) == 0
    assert sums(remote, "usage_fact") == sums(remote, "usage_daily") == truth(remote)


def test_a_bucket_that_is_not_there_stops_no_ingest(remote: Store, environment: dict[str, str], service: str, bucket: str) -> None:
    """The books are kept and the run says why there is no picture; the copy is made when the bucket is there."""
    assert requests.delete(f"{service}/{bucket}", timeout=10).ok
    kept = keep(remote, batch(*writer.runs(1, 0, 20)))
    assert kept.new == 20
    assert "analytics copy" in kept.notes[-1] and "secret" not in kept.notes[-1]
    assert requests.put(f"{service}/{bucket}", timeout=10).ok
    assert lake.verify(remote) == []
    assert sums(remote, "usage_daily") == truth(remote)
