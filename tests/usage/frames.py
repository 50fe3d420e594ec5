"""Usage frames for tests, made of the few facts a test is about."""

from __future__ import annotations

import polars as pl

from engine.usage import USAGE_SCHEMA, UsageBatch

NOON = 1_795_262_400            # 2026-11-21T12:00:00Z


def run(job: int, **told: object) -> dict[str, object]:
    """One ended two-hour run of alice's on 4 cores, one GPU and 16 GiB; `told` says what is otherwise."""
    start = told.get("start_at", NOON - 7200)
    row: dict[str, object] = {
        "cluster": "rig", "job_id": str(job), "job_id_raw": job, "sluid": None, "job_name": "fit", "user_name": "alice",
        "account_name": "physics", "partition_name": "gpu", "qos": "normal", "node_list": "g1", "state": "COMPLETED",
        "submit_at": NOON - 7500, "start_at": start, "end_at": NOON, "elapsed_seconds": 7200,
        "alloc_tres": "cpu=4,gres/gpu=1,mem=16G", "alloc_cpus": 4, "alloc_gpus": 1, "alloc_mem_mib": 16_384,
        "cpu_used_core_seconds": 15_120, "cpu_used_from": "steps TotalCPU", "mem_used_mib_seconds": 14_336 * 7200,
        "mem_used_from": "steps AveRSS × Elapsed", "ended": True, "detail": 1} | told
    row.setdefault("run_key", f"{row['cluster']}/{row['sluid'] or '{}/{}'.format(row['job_id_raw'], row['submit_at'])}")
    return row


def running(job: int, elapsed: int, **told: object) -> dict[str, object]:
    """The same run while it runs, `elapsed` seconds in."""
    return run(job, **{"state": "RUNNING", "end_at": None, "elapsed_seconds": elapsed, "ended": False,
                       "cpu_used_core_seconds": 0, "mem_used_mib_seconds": 16_384 * elapsed, "detail": 0, **told})


def without_steps(job: int, **told: object) -> dict[str, object]:
    """The same run read without its steps: no CPU time, memory as allocated."""
    return run(job, **{"cpu_used_core_seconds": 0, "cpu_used_from": "job TotalCPU", "detail": 0,
                       "mem_used_mib_seconds": 16_384 * 7200, "mem_used_from": "AllocTRES mem × ElapsedRaw", **told})


def usage(*rows: dict[str, object]) -> pl.DataFrame:
    """A usage frame of these rows."""
    return pl.DataFrame([{name: row[name] for name in USAGE_SCHEMA} for row in rows], schema=USAGE_SCHEMA)


def batch(*rows: dict[str, object], **more: object) -> UsageBatch:
    """A batch of these rows, as a file would give them."""
    return UsageBatch(**{"source": "file", "origin": "test.txt", "lines": len(rows), "frames": (usage(*rows),), **more})
