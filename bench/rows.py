"""What the product and its limit must have in common: the same rows, to the last letter and micro-unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

# All that is kept of a run, without what is the same in all rows of the benchmark's file.
KEPT = ("run_key", "cluster", "job_id", "job_id_raw", "job_name", "user_name", "account_name", "partition_name", "qos", "node_list",
        "state", "submit_at", "start_at", "end_at", "elapsed_seconds", "alloc_tres", "alloc_cpus", "alloc_gpus", "alloc_mem_mib",
        "cpu_used_core_seconds", "mem_used_mib_seconds", "payer", "cpu_core_seconds", "gpu_seconds", "mem_mib_seconds",
        "extra_seconds", "cpu_micro", "gpu_micro", "mem_micro", "extra_micro", "rounding_micro", "cost_micro")
SLICE = 1_000_000


def digest(parts: Iterable[pl.DataFrame]) -> dict[str, int]:
    """The rows' number, their cost, and a sum over the hashes of all of KEPT, whatever their order."""
    count = cost = total = 0
    for part in parts:
        count, cost = count + len(part), cost + part["cost_micro"].sum()
        total += int(part.select(KEPT).hash_rows().cast(pl.Int128).sum())
    return {"rows": count, "cost_micro": cost, "digest": total % 2**61}


def stored(path: Path) -> Iterator[pl.DataFrame]:
    """The rows of a Parquet file, in bounded memory."""
    rows = pl.scan_parquet(path)
    count = rows.select(pl.len()).collect().item()
    yield from (rows.slice(start, SLICE).collect() for start in range(0, count, SLICE))
