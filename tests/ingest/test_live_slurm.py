"""On a real cluster: jobs that ran, failed, were cancelled, requeued, resized, with GPUs, arrays and odd names.

sacct, slurmrestd and saved files tell the same of each of them.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import SecretStr

from engine.usage import UsageBatch
from ingest.sources.file import read_file
from ingest.sources.sacct import SacctSource
from ingest.sources.slurmrestd import SlurmrestdSource
from tests.rigs.debian import NotHere
from tests.rigs.slurm_cluster import Cluster, slurm_cluster

NAMES = ["pipe|in|name", "two\nlines", "=2+5+cmd|calc", "  spaces  ", "ภาษาไทย-λ", "<b>bold</b>"]
GROWS = ["elapsed_seconds", "mem_used_mib_seconds"]
EVERYTHING = (100_000_000, 4_000_000_000)

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster on which the jobs below have been."""
    with tempfile.TemporaryDirectory(prefix="corehours-slurm-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        try:
            with slurm_cluster(Path(name)) as running:
                load(running)
                yield running
        except NotHere as why:
            pytest.skip(str(why))


def load(cluster: Cluster) -> None:
    """Submit the jobs, change some while they run, and wait until all but one have ended."""
    changed = {"requeued": cluster.submit('[ "${SLURM_RESTART_COUNT:-0}" = 0 ] && sleep 300; sleep 1', user="ch-bob"),
               "resized": cluster.submit("sleep 6", "-p", "all", "-N", "2", "-n", "2"),
               "cancelled": cluster.submit("srun sleep 300")}
    held = cluster.submit("sleep 300", "--hold")
    for job in changed.values():
        cluster.wait("a job", lambda job=job: cluster.state(job) == "RUNNING")
    time.sleep(2)
    cluster.run("scontrol", "requeue", changed["requeued"])
    cluster.run("scontrol", "update", f"JobId={changed['resized']}", "NumNodes=1", user="ch-alice")
    cluster.run("scancel", changed["cancelled"])
    cluster.run("scancel", held, user="ch-alice")
    cluster.submit("srun sh -c 'i=0; while [ $i -lt 3000000 ]; do i=$((i+1)); done'", "-n", "2", "--mem-per-cpu=500M")
    cluster.submit("exit 7", user="ch-carol")
    cluster.submit("srun sleep 2", "-p", "gpu", "--gres=gpu:a100:2", "-c", "4", "--mem=8G", user="ch-carol")
    cluster.submit("sleep 1", "-p", "gpu", "--exclusive", "--gpus=1", "--mem=1G", user="ch-carol")
    cluster.submit("exit $((SLURM_ARRAY_TASK_ID % 2))", "--array=0-3", user="ch-bob")
    for name in NAMES:
        cluster.submit("exit 0", "-J", name, "--comment", f"c|{name}")
    lasting = cluster.submit("srun sleep 300", "-p", "gpu", "--gpus=1")
    cluster.wait("the requeued job", lambda: _hurry(cluster, changed["requeued"]))
    cluster.wait("the end of the jobs", lambda: cluster.run("squeue", "-h", "-o", "%A %T").split() == [lasting, "RUNNING"])
    cluster.wait("accounting", lambda: _only_runs(cluster, lasting), 90)


def _only_runs(cluster: Cluster, lasting: str) -> bool:
    """Whether accounting, which is told later than the scheduler, has heard the end of every job but this one, and its start."""
    told = cluster.run("sacct", "-anXDP", "-o", "JobIDRaw,State", "-S", "2000-01-01").splitlines()
    open_ = [line for line in told if line.endswith(("|PENDING", "|RUNNING"))]
    return open_ == [f"{lasting}|RUNNING"]


def _hurry(cluster: Cluster, job: str) -> bool:
    """A requeued job would wait two minutes before it starts again."""
    if cluster.state(job) == "PENDING":
        cluster.run("scontrol", "update", f"JobId={job}", "StartTime=now")
        return True
    return cluster.state(job) == ""


@pytest.fixture(scope="module")
def told(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, UsageBatch]:
    """What each source tells, asked one after the other."""
    folder = tmp_path_factory.mktemp("saved")

    def saved(name: str, *words: str) -> UsageBatch:
        done = subprocess.run(["sacct", "-a", "-D", "-S", "2000-01-01", *words], env=cluster.env, capture_output=True, check=True)
        (folder / name).write_bytes(done.stdout)
        return read_file(folder / name)

    columns = ("JobIDRaw,JobID,JobName,User,UID,Account,Partition,QOS,Cluster,State,Submit,Start,End,Elapsed,TotalCPU,AllocTRES,"
               "AveRSS,NodeList,Comment")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
        return {
            "sacct": SacctSource().read(EVERYTHING, lambda _: None),
            "slurmrestd": SlurmrestdSource(cluster.url, SecretStr(cluster.token), "root").read(EVERYTHING, lambda _: None),
            "json": saved("usage.json", "--json"),
            "text": saved("usage.txt", "-P", "-o", columns),
        }


@pytest.mark.parametrize("other", ["slurmrestd", "json", "text"])
def test_the_sources_agree_job_by_job(told: dict[str, UsageBatch], other: str) -> None:
    ours, theirs = told["sacct"].usage.sort("run_key"), told[other].usage.sort("run_key")
    assert_frame_equal(ours.drop(GROWS), theirs.drop(GROWS))
    assert_frame_equal(ours.filter(pl.col("ended")), theirs.filter(pl.col("ended")))
    assert told["sacct"].rejected == told[other].rejected == ()


def test_what_ran_is_there(told: dict[str, UsageBatch]) -> None:
    usage = told["sacct"].usage
    states = set(usage["state"])
    assert {"COMPLETED", "FAILED", "CANCELLED", "REQUEUED", "RESIZING", "RUNNING"} <= states
    assert {*NAMES, "sbatch"} <= set(usage["job_name"])
    assert {"ch-alice", "ch-bob", "ch-carol"} == set(usage["user_name"])
    assert usage.filter(pl.col("alloc_gpus") == 4)["alloc_cpus"].to_list() == [32]      # exclusive: given more than asked
    assert usage["run_key"].is_unique().all()
    assert usage.filter(pl.col("cpu_used_core_seconds") > 0).height >= 1


def test_a_window_holds_what_was_active_in_it(cluster: Cluster, told: dict[str, UsageBatch]) -> None:
    """Untruncated: a job that began before the window is told whole, by both alike."""
    end = max(told["sacct"].usage["end_at"].drop_nulls())
    window = (end - 2, end + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
        ours = SacctSource().read(window, lambda _: None).usage.sort("run_key")
    theirs = SlurmrestdSource(cluster.url, SecretStr(cluster.token), "root").read(window, lambda _: None).usage.sort("run_key")
    assert_frame_equal(ours.drop(GROWS), theirs.drop(GROWS))
    assert 1 <= len(ours) < len(told["sacct"].usage)
    whole = told["sacct"].usage.filter(pl.col("ended")).join(ours, on="run_key", how="semi").sort("run_key")
    assert_frame_equal(whole, ours.filter(pl.col("ended")))
