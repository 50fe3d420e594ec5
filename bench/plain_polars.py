"""Bare polars as its documentation teaches it: read the benchmark's file, parse and price it with expressions, keep the rows in memory.

It trusts every byte and stores nothing, like bench.limit_ingest, but nothing in it is tuned by hand: one lazy query, each column
by the expression that is made for it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl

from bench.limit_ingest import CPU, GIB, GPU, HOUR, MEM, MINOR, NAMED, WHOLE
from bench.measure import Measured
from bench.rows import KEPT, digest


def priced(path: Path) -> pl.DataFrame:
    """The rows the product keeps, in the order of the file."""
    c = pl.col
    jobs = pl.scan_csv(path, separator="|", quote_char=None, infer_schema=False).select(*NAMED, "JobIDRaw").rename(NAMED)
    read = jobs.with_columns(
        *(_instant(name) for name in ("submit_at", "start_at", "end_at")),
        *(_seconds(name) for name in ("elapsed_seconds", "cpu_used_core_seconds")),
        run_key=pl.concat_str("cluster", "JobIDRaw", _instant("submit_at"), separator="/"),
        job_id_raw=c("JobIDRaw").cast(pl.Int64), state=c("state").str.extract(r"^(\S+)"),
        alloc_cpus=c("alloc_tres").str.extract(r"cpu=(\d+)").cast(pl.Int64),
        alloc_gpus=c("alloc_tres").str.extract(r"gres/gpu=(\d+)").cast(pl.Int64).fill_null(0), alloc_mem_mib=_mib(),
    ).with_columns(alloc_tres=_shown())
    used = read.with_columns(
        payer="user_name", cpu_core_seconds="cpu_used_core_seconds", gpu_seconds=c("alloc_gpus") * c("elapsed_seconds"),
        mem_mib_seconds=c("alloc_mem_mib") * c("elapsed_seconds"))
    return _charged(used).select(KEPT).collect()


def _instant(name: str) -> pl.Expr:
    return pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S").dt.epoch("s")


def _seconds(name: str) -> pl.Expr:
    part = pl.col(name).str.extract_groups(r"^(?:(\d+)-)?(\d+):(\d+):(\d+)$").struct
    days, hours, minutes, seconds = (part.field(str(place)).cast(pl.Int64) for place in range(1, 5))
    return (days.fill_null(0) * 86_400 + hours * HOUR + minutes * 60 + seconds).alias(name)


def _mib() -> pl.Expr:
    tres = pl.col("alloc_tres")
    number = tres.str.extract(r"mem=([\d.]+)").cast(pl.Float64)
    return pl.when(tres.str.contains(r"mem=[\d.]+G")).then(number * GIB).otherwise(number).cast(pl.Int64)


def _shown() -> pl.Expr:
    """The text of the resources with its memory in whole units."""
    mem = pl.col("alloc_mem_mib")
    whole = pl.when(mem % (GIB * GIB) == 0).then(pl.format("mem={}T", mem // (GIB * GIB))).when(mem % GIB == 0).then(
        pl.format("mem={}G", mem // GIB)).otherwise(pl.format("mem={}M", mem))
    tres = pl.col("alloc_tres")
    return pl.concat_str(tres.str.extract(r"^(.*,)mem="), whole, tres.str.extract(r"mem=[^,]*(,.*)$"))


def _charged(used: pl.LazyFrame) -> pl.LazyFrame:
    c = pl.col
    cpu, gpu, mem = c("cpu_core_seconds"), c("gpu_seconds"), c("mem_mib_seconds")
    exact = (cpu.cast(pl.Int128) * CPU + gpu.cast(pl.Int128) * GPU) * GIB + mem.cast(pl.Int128) * MEM
    cost = (2 * exact + MINOR * WHOLE) // (2 * MINOR * WHOLE) * MINOR
    return used.with_columns(
        mem_used_mib_seconds="mem_mib_seconds", extra_seconds=pl.lit(0, pl.Int64), extra_micro=pl.lit(0, pl.Int64),
        cpu_micro=cpu * CPU // HOUR, gpu_micro=gpu * GPU // HOUR, mem_micro=(mem.cast(pl.Int128) * MEM // WHOLE).cast(pl.Int64),
        cost_micro=cost.cast(pl.Int64),
    ).with_columns(rounding_micro=c("cost_micro") - c("cpu_micro") - c("gpu_micro") - c("mem_micro"))


if __name__ == "__main__":
    with Measured() as measured:
        rows = priced(Path(sys.argv[1]))
    print(json.dumps({**measured.figures, **digest([rows])}))
