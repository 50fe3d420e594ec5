"""What the product and its limit must have in common: the same rows, to the last letter and micro-unit."""

from __future__ import annotations

import polars as pl

# All that is kept of a run, without what is the same in all rows of the benchmark's file.
KEPT = ("run_key", "cluster", "job_id", "job_id_raw", "job_name", "user_name", "account_name", "partition_name", "qos", "node_list",
        "state", "submit_at", "start_at", "end_at", "elapsed_seconds", "alloc_tres", "alloc_cpus", "alloc_gpus", "alloc_mem_mib",
        "cpu_used_core_seconds", "mem_used_mib_seconds", "payer", "cpu_core_seconds", "gpu_seconds", "mem_mib_seconds",
        "extra_seconds", "cpu_micro", "gpu_micro", "mem_micro", "extra_micro", "rounding_micro", "cost_micro")


def digest(rows: pl.DataFrame) -> dict[str, int]:
    """The rows' number, their cost, and a sum over the hashes of all of KEPT, whatever their order."""
    hashes = rows.select(KEPT).hash_rows()
    return {"rows": len(rows), "cost_micro": rows["cost_micro"].sum(), "digest": int(hashes.cast(pl.Int128).sum() % 2**61)}
