"""The analytics copy says what Postgres says, whatever happened on the way."""

from __future__ import annotations

import sqlalchemy as sa

from data.analytics import lake
from data.postgres.store import Store
from engine.policy import OPERATOR
from engine.services.payers import set_tier
from ingest.keep import keep
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
