"""Sums for pictures, from the analytics copy."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from data.analytics import lake
from data.analytics.reads import Asked, as_of, daily, monthly, top, totals
from data.postgres.store import Store, connect
from ingest.keep import keep
from tests.flows.examples import forget_copy
from tests.programs import Programs
from tests.usage.frames import NOON, batch, run

DAY = 86_400


def test_sums_by_day_month_and_account(store: Store) -> None:
    """Two jobs on the 21st of November, one the day before, one of another account in October."""
    assert daily(store.lake).is_empty() and as_of(store.lake) is None
    bobs = run(4, end_at=NOON - 30 * DAY, account_name="acme", user_name="bob")
    keep(store, batch(run(1), run(2), run(3, end_at=NOON - DAY), bobs))
    assert daily(store.lake).select("day", "jobs", "cost_micro").rows() == [
        (date(2026, 10, 22), 1, 28_200_000), (date(2026, 11, 20), 1, 28_200_000), (date(2026, 11, 21), 2, 56_400_000)]
    assert monthly(store.lake, by=["account_name"]).select("month", "account_name", "currency", "gpu_seconds").rows() == [
        (date(2026, 10, 1), "acme", "THB", 7200), (date(2026, 11, 1), "physics", "THB", 21_600)]
    november = Asked(since=date(2026, 11, 1), until=date(2026, 11, 21), payers=("alice", "x' or true --"))
    assert totals(store.lake, november, by=["payer"]).select("payer", "jobs").rows() == [("alice", 1)]
    assert totals(store.lake, Asked(payers=())).is_empty()
    assert as_of(store.lake) is not None


def test_before_the_first_usage_there_may_be_no_catalog(store: Store) -> None:
    """Nothing is read of it, and the first usage makes it."""
    forget_copy(store)
    assert daily(store.lake).is_empty() and as_of(store.lake) is None
    keep(store, batch(run(1)))
    assert totals(store.lake)["jobs"].to_list() == [1] and lake.verify(store) == []


def test_the_dearest_first(store: Store) -> None:
    """Carol's two jobs, then alice and bob, who cost the same, by name; only what was asked for is summed."""
    keep(store, batch(run(1, user_name="bob"), run(2), run(3, user_name="carol"), run(4, user_name="carol"),
                      run(5, end_at=NOON - 60 * DAY, user_name="dave")))
    november = Asked(since=date(2026, 11, 1))
    assert top(store.lake, november, "user_name").select("user_name", "jobs", "cost_micro").rows() == [
        ("carol", 2, 56_400_000), ("alice", 1, 28_200_000), ("bob", 1, 28_200_000)]
    assert top(store.lake, november, "user_name", 1)["user_name"].to_list() == ["carol"]
    assert totals(store.lake, november, sums=("gpu_seconds",)).columns == ["currency", "gpu_seconds"]


def test_a_corrected_job_leaves_its_old_day(store: Store) -> None:
    keep(store, batch(run(1, end_at=NOON - DAY)))
    keep(store, batch(run(1)))
    assert daily(store.lake).select("day", "jobs").rows() == [(date(2026, 11, 21), 1)]


def test_days_are_the_sites(store: Store) -> None:
    """20:00 UTC is the next day in Bangkok."""
    local = Store(connect(store.settings.database_url.get_secret_value()),
                  store.settings.model_copy(update={"time_zone": "Asia/Bangkok"}))
    keep(local, batch(run(1, end_at=NOON + 8 * 3600)))
    assert daily(local.lake)["day"].to_list() == [date(2026, 11, 22)]
    local.lake.rebuild()
    assert daily(local.lake)["day"].to_list() == [date(2026, 11, 22)]


def test_only_known_columns_can_be_asked(store: Store) -> None:
    with pytest.raises(ValueError, match="cannot be asked by"):
        daily(store.lake, by=["1; drop table"])


def test_three_writing_processes_and_a_reader(store: Store, installation_env: dict[str, str], programs: Programs, tmp_path: Path) -> None:
    """Whatever the reader sees is whole batches of 50 jobs; in the end both stores agree."""
    writers = [programs.start("tests.usage.writing", [str(number)], installation_env, tmp_path / f"writer{number}") for number in (1, 2, 3)]
    seen = set()
    while any(writer.ended() is None for writer in writers):
        seen |= set(totals(store.lake)["jobs"].to_list())
        time.sleep(0.05)                # the writers want the processor too
    assert [(writer.ended(), writer.said()) for writer in writers] == [(0, "")] * 3
    assert all(jobs % 50 == 0 for jobs in seen)
    assert totals(store.lake)["jobs"].to_list() == [600]
    assert lake.verify(store) == []


def test_a_large_part_is_written_ahead(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its facts and daily sums lie there before the commit, and are the lake's after it; nothing stays on its way."""
    monkeypatch.setattr("data.analytics.parts.LARGE", 10)
    monkeypatch.setattr("data.postgres.shelves.usage.FIRST_LOAD", 10)
    keep(store, batch(*(run(job) for job in range(1, 31))))
    ready = [file.relative_to(store.settings.lake_path).parts[:2] for file in Path(store.settings.lake_path).rglob("batch-*.parquet")]
    assert sorted(ready) == [("main", "usage_daily"), ("main", "usage_fact")]
    assert list((Path(store.settings.home) / "spool").rglob("batch-*.parquet")) == []
    assert lake.verify(store) == []
    with store.engine.connect() as connection:
        indexes = connection.execute(sa.text("select count(*) from pg_indexes where tablename = 'usage_record'")).scalar_one()
    assert indexes == 4
    assert keep(store, batch(run(1))).unchanged == 1
