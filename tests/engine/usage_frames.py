"""Usage frames for examples: one ordinary run, of which a test changes what it is about."""

from __future__ import annotations

import polars as pl

from engine.usage import USAGE_SCHEMA

ENDED = 1_790_000_000           # 2026-09-21T13:33:20Z


def run(number: int = 1, **given: object) -> dict[str, object]:
    """An ended run of alice: two hours, 4 cores, 1 GPU, 16 GiB; the golden case of the default policy."""
    usual: dict[str, object] = {
        "run_key": f"c/{number}/{ENDED - 7200}", "cluster": "c", "job_id": str(number), "job_id_raw": number, "sluid": None,
        "job_name": "train", "user_name": "alice", "account_name": "physics", "partition_name": "gpu", "qos": "normal",
        "node_list": "g1", "state": "COMPLETED", "submit_at": ENDED - 7200, "start_at": ENDED - 7200, "end_at": ENDED,
        "elapsed_seconds": 7200, "alloc_tres": "cpu=4,gres/gpu=1,mem=16G", "alloc_cpus": 4, "alloc_gpus": 1,
        "alloc_mem_mib": 16 * 1024, "cpu_used_core_seconds": 15_120, "cpu_used_from": "steps TotalCPU",
        "mem_used_mib_seconds": 28 * 1024 * 3600, "mem_used_from": "steps AveRSS × Elapsed", "ended": True, "detail": 1}
    return usual | given


def frame(*runs: dict[str, object]) -> pl.DataFrame:
    """Runs as a usage frame."""
    return pl.DataFrame(list(runs), schema=USAGE_SCHEMA)
