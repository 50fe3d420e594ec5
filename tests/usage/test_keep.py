"""A batch is kept whole, once, and the best telling of each run stands."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import permutations

import polars as pl
import pytest
import sqlalchemy as sa

from data.analytics import lake
from data.postgres.store import Store
from engine.errors import DomainError
from engine.rates import DEFAULT_CARDS
from engine.usage import Rejection
from ingest.keep import keep, refuse
from tests.usage.frames import NOON, batch, run, running, usage, without_steps


def stored(store: Store, what: str = "*") -> list[dict[str, object]]:
    """All usage records by id."""
    with store.engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(sa.text(f"select {what} from usage_record order by id"))]


def counts(kept: object) -> tuple[int, int, int]:
    """New, changed, unchanged."""
    return kept.new, kept.changed, kept.unchanged  # type: ignore[attr-defined]


def test_the_golden_run_is_priced_and_told_again_changes_nothing(store: Store) -> None:
    """2 h, CPU 4.2 core-hours at 1, one GPU at 5, 28 GiB-hours at 0.5: 28.20 THB at the default tier mu."""
    assert counts(keep(store, batch(run(1)))) == (1, 0, 0)
    assert counts(keep(store, batch(run(1)))) == (0, 0, 1)
    row = stored(store)[0]
    assert (row["payer"], row["tier"], row["rate_card"], row["revision"]) == ("alice", "mu", "mu-v1", 1)
    meters = [row[name] for name in ("cpu_micro", "gpu_micro", "mem_micro", "cost_micro")]
    assert meters == [4_200_000, 10_000_000, 14_000_000, 28_200_000]


def test_any_order_of_tellings_ends_in_the_same_state(store: Store) -> None:
    """Running, longer running, ended without steps, ended with steps: the last is what stands, and stays."""
    tellings = [running(1, 60), running(1, 600), without_steps(1), run(1)]
    for told in zip(*permutations(tellings), strict=True):          # each of 24 runs in an order of its own
        keep(store, batch(*({**one, "job_id_raw": number, "run_key": f"rig/{number}/{NOON - 7500}"} for number, one in enumerate(told))))
    rows = stored(store, "state, elapsed_seconds, detail, cost_micro")
    assert len(rows) == 24
    assert {tuple(row.values()) for row in rows} == {("COMPLETED", 7200, 1, 28_200_000)}


def test_one_batch_that_tells_a_run_twice(store: Store) -> None:
    assert counts(keep(store, batch(run(1), running(1, 60), without_steps(1)))) == (1, 0, 0)
    assert stored(store)[0]["detail"] == 1


@pytest.mark.parametrize("first", [None, "s0001"])
def test_a_run_is_the_same_with_and_without_its_sluid(store: Store, first: str | None) -> None:
    other = "s0001" if first is None else None
    keep(store, batch(run(1, sluid=first)))
    assert counts(keep(store, batch(run(1, sluid=other)))) == (0, 0, 1)
    assert counts(keep(store, batch(run(1, sluid=first), run(1, sluid=other)))) == (0, 0, 1)
    row, = stored(store)
    assert row["sluid"] == "s0001"
    assert row["run_key"] == (f"rig/1/{NOON - 7500}" if first is None else "rig/s0001")


def test_two_sluids_are_two_runs(store: Store) -> None:
    """Requeued within the second: same job id and submit time, two runs; one of them was known without its SLUID."""
    keep(store, batch(run(1)))
    assert counts(keep(store, batch(run(1, sluid="a"), run(1, sluid="b", start_at=NOON - 10)))) == (1, 0, 1)
    assert counts(keep(store, batch(run(1, sluid="b", start_at=NOON - 10), run(1, sluid="a"), run(1)))) == (0, 0, 2)


def test_a_run_key_met_again_under_another_job_id(store: Store) -> None:
    keep(store, batch(run(1, sluid="a")))
    assert counts(keep(store, batch(run(900, sluid="a")))) == (0, 0, 1)


def test_a_correction_raises_the_revision(store: Store) -> None:
    keep(store, batch(run(1)))
    assert counts(keep(store, batch(run(1, elapsed_seconds=3600, end_at=NOON - 3600)))) == (0, 1, 0)
    row, = stored(store)
    assert (row["revision"], row["gpu_micro"], row["cost_micro"]) == (2, 5_000_000, 23_200_000)


def test_a_billed_run_keeps_its_tier_and_card(store: Store) -> None:
    keep(store, batch(run(1), run(2)))
    with store.engine.begin() as connection:
        connection.execute(sa.text("update usage_record set billed_micro = cost_micro where job_id_raw = 1"))
        connection.execute(sa.text("update payer set tier = 'private'"))
    keep(store, batch(*(run(job, elapsed_seconds=3600) for job in (1, 2))))
    held, free = stored(store)
    assert (held["tier"], held["rate_card"], held["gpu_micro"], held["billed_micro"]) == ("mu", "mu-v1", 5_000_000, 28_200_000)
    assert (free["tier"], free["rate_card"], free["gpu_micro"]) == ("private", "private-v1", 100_000_000)


def test_odd_names_come_through(store: Store) -> None:
    names = ["a|b", "line\nfeed", '"quoted"', "", "\\N", "\\.", "=1+1", "\0nul", "‮abc", "x" * 10_000]
    keep(store, batch(*(run(job, job_name=name) for job, name in enumerate(names, 1))))
    assert [row["job_name"] for row in stored(store)] == [name.replace("\0", "�") for name in names]


def test_nothing_is_kept_when_a_run_cannot_be_priced(store: Store) -> None:
    with pytest.raises(DomainError):
        keep(store, batch(run(1), run(2, cpu_used_core_seconds=2**62)))
    assert stored(store) == []
    with store.engine.connect() as connection:
        assert connection.execute(sa.text("select state, reason <> '' from ingest_run")).all() == [("refused", True)]


def test_a_run_says_what_came_and_what_did_not(store: Store) -> None:
    kept = keep(store, batch(run(1), rejected=(Rejection(7, "state 'X' is unknown", "7|X\0|"),), notes=("a remark",),
                             skipped=("slurmrestd: refused",)))
    with store.engine.connect() as connection:
        row = connection.execute(sa.text("select * from ingest_run")).one()
        line = connection.execute(sa.text("select run_id, line, reason, text from ingest_rejection")).one()
    assert (row.state, row.cluster, row.lines, row.rejected, row.notes) == ("taken", "rig", 1, 1, ["a remark"])
    assert row.reason == "slurmrestd: refused"
    assert tuple(line) == (kept.run_id, 7, "state 'X' is unknown", "7|X�|")


def test_a_line_that_reads_well_later_is_resolved(store: Store) -> None:
    lost, bad = Rejection(1, "cut off", "1|al"), Rejection(2, "no unit", "2|x")
    keep(store, batch(rejected=(lost, bad)))
    keep(store, batch(run(1), rejected=(bad,)))
    with store.engine.connect() as connection:
        rows = connection.execute(sa.text("select text, resolved_at is not null from ingest_rejection order by id")).all()
    assert [tuple(row) for row in rows] == [("1|al", True), ("2|x", False), ("2|x", False)]


def test_the_watermark_moves_without_gaps(store: Store) -> None:
    def complete_to() -> int:
        return int(store.read(lambda tx: tx.runs.watermarks())["rig"].timestamp())
    keep(store, batch(run(1), window=(NOON - 86_400, NOON - 3600)))
    assert complete_to() == NOON - 3600 - max(0, NOON - 3600 - complete_to())   # never later than now
    with store.engine.begin() as connection:
        connection.execute(sa.text("update ingest_watermark set complete_to = to_timestamp(1000)"))
    keep(store, batch(run(1), window=(2000, 3000)))
    assert complete_to() == 1000
    keep(store, batch(run(1), window=(500, 3000)))
    assert complete_to() == 3000
    keep(store, batch(window=(500, 4000)))          # nothing ran: the only cluster there is
    assert complete_to() == 4000
    refuse(store, "sacct", "sacct -D", "slurmdbd is down", window=(500, 9000))
    assert complete_to() == 4000


def test_a_run_whose_process_died_is_abandoned(store: Store) -> None:
    died = store.run(lambda tx: tx.runs.begin("sacct", "sacct -D", None))
    keep(store, batch(run(1)))
    with store.engine.connect() as connection:
        assert connection.execute(sa.text("select state from ingest_run order by id")).scalars().all() == ["abandoned", "taken"]
        assert died == 1


def test_two_at_once_keep_each_run_once(store: Store) -> None:
    rows = [run(job) for job in range(1, 301)]
    brought: list[int] = []
    def bring(part: list[dict[str, object]]) -> None:
        brought.append(keep(store, batch(*part)).new)
    threads = [threading.Thread(target=bring, args=(rows[start:start + 200],)) for start in (0, 100, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(brought) == len(stored(store, "id")) == 300


def test_prices_follow_the_tier_until_billed(store: Store) -> None:
    from engine.policy import OPERATOR
    from engine.services.payers import set_tier
    keep(store, batch(run(1), run(2), run(3, user_name="bob")))
    with store.engine.begin() as connection:
        connection.execute(sa.text("update usage_record set billed_micro = cost_micro where job_id_raw = 1"))
    store.run(lambda tx: set_tier(tx, "alice", "gov", OPERATOR))
    assert [row["cost_micro"] for row in stored(store)] == [28_200_000, 60_600_000, 28_200_000]
    assert len(DEFAULT_CARDS) == 3 and isinstance(pl.DataFrame(stored(store)), pl.DataFrame)


def test_a_long_batch_is_compared_heap_by_heap(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine runs in heaps of two: what is known is known, what changed is changed, in whatever heap it stands."""
    keep(store, batch(*(run(number) for number in range(1, 6))))
    monkeypatch.setattr("ingest.keep.HEAP", 2)
    frames = tuple(usage(run(number, cpu_used_core_seconds=7200) if number == 4 else run(number)) for number in range(1, 10))
    kept = keep(store, replace(batch(), frames=frames, lines=9))
    assert (kept.jobs, kept.new, kept.changed, kept.unchanged) == (9, 4, 1, 4)
    assert lake.verify(store) == []


def test_a_correction_past_the_ingest_is_noticed_when_the_run_is_told_again(store: Store) -> None:
    """Whoever changes a run by hand does not know its digest: it is forgotten, and the columns are compared."""
    keep(store, batch(run(1), run(2)))
    with store.engine.begin() as connection:
        connection.execute(sa.text("update usage_record set billed_micro = 1 where job_id_raw = 2"))
        connection.execute(sa.text("update usage_record set elapsed_seconds = 60 where job_id_raw = 1"))
    assert [row["digest"] is None for row in stored(store)] == [True, False]
    assert counts(keep(store, batch(run(1), run(2)))) == (0, 1, 1)
    assert [(row["elapsed_seconds"], row["digest"] is None) for row in stored(store)] == [(7200, False)] * 2


def test_runs_without_a_digest_are_compared_column_by_column(store: Store) -> None:
    keep(store, batch(run(1), run(2)))
    with store.engine.begin() as connection:
        connection.execute(sa.text("update usage_record set digest = null"))
    assert counts(keep(store, batch(run(1), run(2, elapsed_seconds=60)))) == (0, 1, 1)


def test_whom_a_batch_names_by_its_run_key_it_does_not_mean_by_an_alias(store: Store) -> None:
    keep(store, batch(run(1, sluid="a")))
    assert counts(keep(store, batch(run(900, sluid="a"), run(1)))) == (1, 0, 1)


def test_a_first_load_is_written_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are frozen, so that no reader and no vacuum writes its pages again; indexes and digests are there."""
    monkeypatch.setattr("data.postgres.shelves.usage.FIRST_LOAD", 2)
    keep(store, batch(*(run(job) for job in range(1, 50))))
    with store.engine.connect() as connection:
        connection.execute(sa.text("create extension if not exists pg_visibility"))
        assert connection.execute(sa.text("select bool_and(all_frozen) from pg_visibility('usage_record')")).scalar_one()
        assert connection.execute(sa.text("select count(*) from pg_indexes where tablename = 'usage_record'")).scalar_one() == 4
    assert counts(keep(store, batch(*(run(job) for job in range(1, 51))))) == (1, 0, 49)
