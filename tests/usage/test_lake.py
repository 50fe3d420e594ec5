"""The analytics copy says what Postgres says, whatever happened on the way."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa

from data.analytics import lake, tables
from data.analytics.reads import totals
from data.postgres.store import Store
from engine.policy import OPERATOR
from engine.services.payers import set_tier
from ingest.keep import keep
from tests.conftest import Corehours
from tests.usage.frames import NOON, batch, run, running


def sums(store: Store, table: str = "usage_daily") -> tuple[int, int]:
    """(jobs, micro-units) in the copy."""
    return store.lake.ask(f"select sum(jobs)::bigint, sum(cost_micro)::bigint from lake.{table}").row(0)


def test_the_copy_follows_corrections_and_tiers(store: Store) -> None:
    keep(store, batch(run(1), run(2, user_name="bob"), running(3, 60)))
    assert sums(store) == (2, 56_400_000)
    keep(store, batch(run(1, elapsed_seconds=3600, end_at=NOON - 3600), run(3)))
    assert sums(store) == sums(store, "usage_fact") == (3, 23_200_000 + 2 * 28_200_000)
    store.run(lambda tx: set_tier(tx, "bob", "gov", OPERATOR))
    assert sums(store) == (3, 23_200_000 + 28_200_000 + 60_600_000)
    assert lake.verify(store) == []


def test_a_crash_between_commit_and_copy_is_mended_by_the_next_run(store: Store, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    with monkeypatch.context() as crash:
        crash.setattr(store.lake, "append", lambda *_: None)
        keep(store, batch(run(1)))
    keep(store, batch(run(2)))
    assert sums(store) == (2, 56_400_000)
    with store.engine.connect() as connection:
        assert connection.execute(sa.text("select distinct state from lake_batch")).scalars().all() == ["copied"]


def test_a_rebuilt_copy_is_the_same(store: Store) -> None:
    keep(store, batch(*(run(job) for job in range(1, 100))))
    before = store.lake.ask("select * exclude batch_id from lake.usage_daily")
    assert store.lake.rebuild() == 99
    assert store.lake.ask("select * exclude batch_id from lake.usage_daily").equals(before)


def test_verify_names_what_differs(store: Store) -> None:
    keep(store, batch(run(1)))
    with store.engine.begin() as connection:
        connection.execute(sa.text("update usage_record set mem_micro = mem_micro + 1, cost_micro = cost_micro + 1"))
    assert lake.verify(store) == [
        f"{table}, tier mu, THB: 1 runs and 28200000 micro-units, Postgres has 1 and 28200001"
        for table in ("usage_fact", "usage_daily")]


def test_ingestion_succeeds_without_the_copy(store: Store) -> None:
    """The folder of the copy cannot be made: a file lies there."""
    store.settings.home.mkdir(parents=True, exist_ok=True)
    (store.settings.home / "lake").write_text("in the way")
    kept = keep(store, batch(run(1)))
    assert kept.new == 1
    assert "analytics copy" in kept.notes[-1]
    (store.settings.home / "lake").unlink()
    assert lake.verify(store) == []


DAY = 86_400


def files(store: Store, table: str) -> list[str]:
    """The folders of the files the lake reads `table` from."""
    found = store.lake.ask(f"select data_file from ducklake_list_files('lake', '{table}')")["data_file"]
    return sorted("/".join(Path(path).parts[-3:-1]) for path in found)


def months(count: int) -> list[dict[str, object]]:
    """Runs of three months, the newest first: a file is in no order."""
    return [run(job, end_at=NOON - job % 3 * 30 * DAY, user_name=f"user{job % 5}") for job in range(1, count)]


@pytest.mark.parametrize("row_group", [7, 1000])
def test_a_large_batch_is_one_file_a_month(store: Store, monkeypatch: pytest.MonkeyPatch, row_group: int) -> None:
    """November, October and September, written as they fill; what is read back is what Postgres has, whatever waited."""
    monkeypatch.setattr("data.analytics.parts.LARGE", 10)
    monkeypatch.setattr("data.analytics.parts.ROW_GROUP", row_group)
    monkeypatch.setattr("data.analytics.parts.HELD", 25)
    monkeypatch.setattr("ingest.keep.SLICE", 12)
    keep(store, batch(*months(100)))
    named = ["year=2026/month=10", "year=2026/month=11", "year=2026/month=9"]
    assert files(store, "usage_fact") == files(store, "usage_daily") == named
    assert lake.verify(store) == []
    store.lake.rebuild()
    assert files(store, "usage_fact") == named
    assert lake.verify(store) == []


def test_facts_carry_what_rating_reads_and_are_asked_by_time(store: Store) -> None:
    """A correction takes the old row back with its measures as they were."""
    keep(store, batch(run(1), run(2, end_at=NOON - 40 * DAY)))
    keep(store, batch(run(1, elapsed_seconds=3600)))
    with store.lake.cursor() as duck:
        since = datetime.fromtimestamp(NOON - DAY, UTC)
        told = store.lake.facts(duck, since).order("jobs, elapsed_seconds desc").pl()
    assert told.select("jobs", "elapsed_seconds", "alloc_gpus", "alloc_tres", "cpu_used_core_seconds").rows() == [
        (-1, -7200, 1, "cpu=4,gres/gpu=1,mem=16G", 15_120), (1, 7200, 1, "cpu=4,gres/gpu=1,mem=16G", 15_120),
        (1, 3600, 1, "cpu=4,gres/gpu=1,mem=16G", 15_120)]
    assert told["start_at"].to_list() == [datetime.fromtimestamp(NOON - 7200, UTC)] * 3


def test_compaction_makes_files_and_sums_fewer_and_changes_no_sum(store: Store, corehours: Corehours) -> None:
    """Four batches of three runs: one file a month, one row for each day and name."""
    for number in range(4):
        keep(store, batch(*(run(100 * number + job) for job in range(1, 4))))
    before = store.lake.ask("select day, user_name, sum(jobs), sum(cost_micro) from lake.usage_daily group by all")
    assert len(files(store, "usage_fact")) == len(files(store, "usage_daily")) == 4
    assert json.loads(corehours("analytics", "compact", "--json").stdout)["files"] == {"usage_fact": 1, "usage_daily": 1}
    assert files(store, "usage_fact") == files(store, "usage_daily") == ["year=2026/month=11"]
    assert store.lake.ask("select count(*) from lake.usage_daily").item() == 1
    assert store.lake.ask("select day, user_name, sum(jobs), sum(cost_micro) from lake.usage_daily group by all").equals(before)
    assert lake.verify(store) == []
    keep(store, batch(run(5, elapsed_seconds=60)))
    assert lake.verify(store) == []


def test_compaction_tries_again_when_somebody_came_in_between(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who does not take turns appends while a month is summed again: the commit is refused, and done over."""
    for job in (1, 2):
        keep(store, batch(run(job)))
    sum_again, calls = tables._sum_again, []

    def disturbed(duck: duckdb.DuckDBPyConnection, month: date) -> None:
        sum_again(duck, month)
        calls.append(month)
        if len(calls) == 1:
            with store.lake.cursor() as other:
                other.execute("insert into lake.usage_daily select * from lake.usage_daily")
    monkeypatch.setattr("data.analytics.tables._sum_again", disturbed)
    store.lake.compact()
    assert calls == [date(2026, 11, 1)] * 2
    assert store.lake.ask("select sum(jobs)::bigint, count(*) from lake.usage_daily").row(0) == (4, 1)


def test_a_rollup_that_is_not_the_facts_is_named(store: Store) -> None:
    keep(store, batch(run(1)))
    with store.lake.cursor() as duck:
        duck.execute("update lake.usage_daily set gpu_seconds = gpu_seconds + 1")
    assert lake.verify(store) == ["usage_daily, 2026-11: the sum of gpu_seconds is 7201, of the facts 7200"]
    assert totals(store.lake)["gpu_seconds"].to_list() == [7201]        # read with what is deleted, not from the bare files


def test_a_copy_of_another_version_is_made_anew(store: Store) -> None:
    """Such as one that an older version made, without a column."""
    keep(store, batch(run(1)))
    with store.lake.cursor() as duck:
        duck.execute("alter table lake.usage_fact drop column alloc_tres")
    keep(store, batch(run(2, end_at=NOON - DAY)))
    assert store.lake.ask("select day, alloc_tres from lake.usage_fact order by day").rows() == [
        (date(2026, 11, 20), "cpu=4,gres/gpu=1,mem=16G"), (date(2026, 11, 21), "cpu=4,gres/gpu=1,mem=16G")]
