"""What was captured from two real clusters, 22.05 and 26.05: every source tells the same."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.usage import USAGE_SCHEMA
from ingest.sources.file import read_file
from tests.ingest.reading import SAMPLES, sample

GROWS = ["elapsed_seconds", "mem_used_mib_seconds"]     # of jobs that ran while the captures were taken
OF_STEPS = ["cpu_used_core_seconds", "cpu_used_from", "mem_used_mib_seconds", "mem_used_from", "detail"]


def assert_same(one: str, other: str, without: list[str] | None = None) -> None:
    """Both files tell the same of every run; what grows is compared where the run has ended."""
    ours, theirs = sample(one).drop(without or []), sample(other).drop(without or [])
    assert_frame_equal(ours.drop(GROWS, strict=False), theirs.drop(GROWS, strict=False))
    assert_frame_equal(ours.filter(pl.col("ended")), theirs.filter(pl.col("ended")))
    assert len(ours) > 40


@pytest.mark.parametrize(("one", "other"), [
    ("slurm-22.05/sacct-D-P.txt", "slurm-22.05/sacct-D.json"),
    ("slurm-22.05/sacct-D-X-P.txt", "slurm-22.05/sacct-D-X-unitsep.txt"),
    ("slurm-26.05/sacct-D-P.txt", "slurm-26.05/sacct-D.json"),
    ("slurm-26.05/sacct-D-P.txt", "slurm-26.05/rest-jobs-starttime.http"),
    ("slurm-26.05/sacct-D-X-P.txt", "slurm-26.05/sacct-D-X-unitsep.txt"),
    ("slurm-26.05/sacct-D-X-P.txt", "slurm-26.05/rest-jobs-dup-notrunc.http"),
])
def test_sources_agree(one: str, other: str) -> None:
    assert_same(one, other)


@pytest.mark.parametrize("version", ["slurm-22.05", "slurm-26.05"])
def test_rows_broken_by_their_names_are_whole_again(version: str) -> None:
    """Pipes and newlines in names and comments: read with | as if the separator had been one nobody types."""
    assert_same(f"{version}/sacct-D-P.txt", f"{version}/sacct-D-X-unitsep.txt", without=OF_STEPS)
    names = set(sample(f"{version}/sacct-D-P.txt")["job_name"])
    assert {"pipe|in|name", "two\nlines", "=2+5+cmd|calc", "tab\there", "  spaces  ", "ภาษาไทย-λ-名前", "x" * 255} <= names


def test_rest_without_sluid_knows_the_same_runs_by_their_submission() -> None:
    """v0.0.42 has no SLUID: the runs are the same, only their keys are not."""
    assert_same("slurm-26.05/sacct-D-X-P.txt".replace("-X", ""), "slurm-26.05/sacct-D.json", without=[])
    old = read_file(SAMPLES / "slurm-26.05/rest-jobs-v0.0.42.http").usage.sort("job_id_raw", "submit_at")
    new = read_file(SAMPLES / "slurm-26.05/rest-jobs-dup-notrunc.http").usage.sort("job_id_raw", "submit_at")
    assert_frame_equal(old.drop("run_key", "sluid", *GROWS), new.drop("run_key", "sluid", *GROWS))
    assert old["run_key"][0] == "rig/1/1795236288"
    assert new["run_key"][0] == "rig/sBH5M7Y6QNNJ00"


def test_rest_of_22_05_misses_earlier_runs_unless_asked_with_a_time() -> None:
    """Saved without a parameter it hides requeued and preempted runs; those it has are told alike."""
    all_runs, shown = sample("slurm-22.05/sacct-D-P.txt"), sample("slurm-22.05/rest-jobs.json")
    hidden = all_runs.join(shown, on="run_key", how="anti")
    assert sorted(hidden["state"]) == ["PREEMPTED", "REQUEUED"]
    kept = all_runs.join(shown, on="run_key", how="semi")
    assert_frame_equal(kept.filter(pl.col("ended")), shown.filter(pl.col("ended")))


def test_one_job_id_is_several_runs() -> None:
    """Job 1 was requeued, job 3 resized: each row is a run of its own, and both were used."""
    usage = sample("slurm-22.05/sacct-D-P.txt")
    runs = usage.filter(pl.col("job_id_raw").is_in([1, 3])).select("run_key", "state", "elapsed_seconds", "ended").rows()
    assert runs == [("rig/1/1795232434", "REQUEUED", 2, True), ("rig/1/1795232436", "COMPLETED", 2, True),
                    ("rig/3/1795232434", "RESIZING", 2, True), ("rig/3/1795232436", "COMPLETED", 6, True)]


def test_a_resized_run_is_counted_from_its_own_beginning() -> None:
    """22.05 repeats the first Start in the second row (8 s); two of them are the first row's. 26.05 has it right."""
    for version, seconds in (("slurm-22.05", 6), ("slurm-26.05", 6)):
        rows = sample(f"{version}/sacct-D-P.txt").filter((pl.col("job_id_raw") == 3) & (pl.col("state") == "COMPLETED"))
        assert rows["elapsed_seconds"].to_list() == [seconds]
        assert rows["end_at"][0] - rows["start_at"][0] == seconds


def test_what_has_not_ended_is_kept_but_not_billable() -> None:
    usage = sample("slurm-26.05/sacct-D-P.txt")
    waiting = usage.filter(~pl.col("ended")).select("job_id", "state", "start_at", "end_at").sort("job_id").rows()
    assert waiting == [("13_1", "RUNNING", 1795236294, None), ("48", "RUNNING", 1795236302, None), ("49", "PENDING", None, None)]


def test_allocated_not_requested() -> None:
    """--exclusive --gpus=1 asked for one CPU and one GPU and was given 32 and 4; the two names of a GPU are one GPU."""
    usage = sample("slurm-22.05/sacct-D-P.txt")
    given = usage.filter(pl.col("job_id") == "18").select("alloc_cpus", "alloc_gpus", "alloc_mem_mib").row(0)
    assert given == (32, 4, 1024)
    whole_node = usage.filter(pl.col("job_id") == "19").select("alloc_mem_mib", "alloc_tres").row(0)
    assert whole_node == (64_000, "billing=16,cpu=1,mem=64000M,node=1")


def test_every_row_fits_the_schema() -> None:
    for path in [*SAMPLES.glob("*/sacct-D*"), *SAMPLES.glob("*/rest-jobs*")]:
        batch = read_file(path)
        assert dict(batch.usage.schema) == USAGE_SCHEMA, path
        assert not batch.rejected, path
        assert batch.usage["run_key"].is_unique().all(), path


def test_memory_and_cpu_of_steps() -> None:
    """Job 8 of 22.05: two steps and a batch script, each with its own time, CPU and resident size."""
    row = sample("slurm-22.05/sacct-D-P.txt").filter(pl.col("job_id") == "8").row(0, named=True)
    assert (row["detail"], row["cpu_used_from"], row["mem_used_from"]) == (1, "steps TotalCPU", "steps AveRSS × Elapsed")
    assert row["cpu_used_core_seconds"] == 0                    # 17 + 898 + 3 ms
    assert row["mem_used_mib_seconds"] == 12_368 * 3 // 1024
