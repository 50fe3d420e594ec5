"""`./corehours usage --by day`: sums of the site's days, whole or apportioned."""

from __future__ import annotations

import json

import pytest

from data.postgres.store import Store
from engine.usage import Asked
from ingest.keep import keep
from tests.conftest import Corehours
from tests.usage.frames import NOON, batch, run, running

DAY, HOUR = 86_400, 3600
MIDNIGHT = NOON - 12 * HOUR     # of 2026-11-21, UTC


def kept(store: Store) -> None:
    """Alice's job from 22:00 to 02:00, bob's in the afternoon, one that runs."""
    night = {"start_at": MIDNIGHT - 2 * HOUR, "end_at": MIDNIGHT + 2 * HOUR, "elapsed_seconds": 4 * HOUR}
    keep(store, batch(run(1, **night), run(2, user_name="bob", account_name="acme"), running(3, 60)))


def asked(corehours: Corehours, *words: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(corehours("usage", "--by", "day", *words, "--json").stdout)
    return rows


def test_whole_on_the_day_it_ended(store: Store, corehours: Corehours) -> None:
    kept(store)
    assert asked(corehours) == [{"day": "2026-11-21", "core_hours": 8.4, "gpu_hours": 6.0, "mem_gib_hours": 56.0, "jobs": 2,
                                 "cost_micro": 38_200_000 + 28_200_000}]
    by_user = asked(corehours, "--group-by", "user")
    assert [(row["user"], row["jobs"], row["gpu_hours"]) for row in by_user] == [("alice", 1, 4.0), ("bob", 1, 2.0)]
    assert [row["account"] for row in asked(corehours, "--group-by", "account", "-u", "bob")] == ["acme"]
    assert asked(corehours, "-S", "2026-11-22") == []


def test_apportioned_by_the_seconds_of_each_day(store: Store, corehours: Corehours) -> None:
    """Half of alice's night before midnight; a span that ends at 23:00 holds a quarter of it."""
    kept(store)
    rows = asked(corehours, "--apportion", "-u", "alice")
    assert [(row["day"], row["jobs"], row["gpu_hours"]) for row in rows] == [("2026-11-20", 1, 2.0), ("2026-11-21", 1, 2.0)]
    whole, = asked(corehours, "-u", "alice")
    assert sum(int(str(row["cost_micro"])) for row in rows) == whole["cost_micro"]
    early = asked(corehours, "--apportion", "-E", "2026-11-20T23:00:00", "--group-by", "cluster")
    assert [(row["day"], row["cluster"], row["gpu_hours"]) for row in early] == [("2026-11-20", "rig", 1.0)]


def test_days_are_the_sites(store: Store, corehours: Corehours) -> None:
    """In Bangkok midnight is 17:00 UTC: the night lies in one day."""
    kept(store)
    rows = json.loads(corehours("usage", "--by", "day", "--apportion", "-u", "alice", "--json",
                                COREHOURS_TIME_ZONE="Asia/Bangkok").stdout)
    assert [(row["day"], row["gpu_hours"]) for row in rows] == [("2026-11-21", 4.0)]


def test_for_people_and_for_other_programs(store: Store, corehours: Corehours) -> None:
    kept(store)
    assert corehours("usage", "--by", "day", "-P").stdout.splitlines() == [
        "day|core_hours|gpu_hours|mem_gib_hours|jobs|cost_micro", "2026-11-21|8.4|6.0|56.0|2|66400000"]
    shown = corehours("usage", "--by", "day", "--group-by", "user").stdout
    assert "bob" in shown and "28.20 THB" in shown


def test_words_that_do_not_go_together(corehours: Corehours) -> None:
    assert "--apportion needs --by day" in corehours("usage", "--apportion").stderr
    assert "--limit is for the list of jobs" in corehours("usage", "--by", "day", "--limit", "3").stderr


def test_blocks_of_any_size_give_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of one run each, or all in one."""
    kept(store)
    at_once = store.read(lambda tx: [rows.height for rows in tx.usage.ended(Asked(), True)])
    monkeypatch.setattr("data.postgres.bulk.BLOCK", 1)
    assert (at_once, store.read(lambda tx: [rows.height for rows in tx.usage.ended(Asked(), True)])) == ([2], [1, 1])
