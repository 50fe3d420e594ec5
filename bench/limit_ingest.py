"""The limit for ingestion: bare polars that makes the product's priced rows of the benchmark's file, and does nothing else.

It trusts every byte: fixed columns, known units and states, no steps, no odd names, nothing checked, nothing rejected,
nothing kept. Each distinct TRES text is parsed once; durations come from fixed positions; prices are integers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl

from bench.measure import Measured
from bench.rows import digest

HOUR, GIB = 3600, 1024
CPU, GPU, MEM, MINOR = 1_000_000, 5_000_000, 500_000, 10_000            # the default card of tier mu
NAMED = {"JobID": "job_id", "JobName": "job_name", "User": "user_name", "Account": "account_name", "Partition": "partition_name",
         "QOS": "qos", "Cluster": "cluster", "State": "state", "NodeList": "node_list", "AllocTRES": "alloc_tres",
         "Submit": "submit_at", "Start": "start_at", "End": "end_at", "Elapsed": "elapsed_seconds",
         "TotalCPU": "cpu_used_core_seconds"}


def priced(path: Path) -> pl.DataFrame:
    """The rows the product keeps (`bench.rows.KEPT`), in the order of the file."""
    return priced_text(path)


def priced_text(source: Path | bytes) -> pl.DataFrame:
    """The same of a file or of a part of one, header included."""
    jobs = pl.read_csv(source, separator="|", columns=[*NAMED, "JobIDRaw"], quote_char=None,
                       schema_overrides={**dict.fromkeys(NAMED, pl.String()), "JobIDRaw": pl.Int64()}).rename(NAMED)
    tres = _tres(jobs.get_column("alloc_tres").unique())
    c = pl.col
    typed = jobs.lazy().with_columns(
        *map(_epoch, ("submit_at", "start_at", "end_at")), *map(_seconds, ("elapsed_seconds", "cpu_used_core_seconds")),
        state=c("state").str.split_exact(" ", 1).struct.field("field_0"))
    read = typed.join(tres.lazy(), on="alloc_tres", how="left", maintain_order="left").with_columns(
        run_key=pl.format("{}/{}/{}", "cluster", "JobIDRaw", "submit_at"), alloc_tres="text",
        gpu_seconds=c("alloc_gpus") * c("elapsed_seconds"), mem_mib_seconds=c("alloc_mem_mib") * c("elapsed_seconds"))
    return _charged(read).rename({"JobIDRaw": "job_id_raw"}).drop("text").collect()


def _charged(read: pl.LazyFrame) -> pl.LazyFrame:
    whole, (cpu, gpu, mem) = HOUR * GIB, _exact()
    return read.with_columns(
        payer="user_name", cpu_core_seconds="cpu_used_core_seconds", mem_used_mib_seconds="mem_mib_seconds",
        cpu_micro=(cpu // whole).cast(pl.Int64), gpu_micro=(gpu // whole).cast(pl.Int64), mem_micro=(mem // whole).cast(pl.Int64),
        extra_seconds=pl.lit(0, pl.Int64), extra_micro=pl.lit(0, pl.Int64),
        cost_micro=(((cpu + gpu + mem) * 2 + MINOR * whole) // (2 * MINOR * whole) * MINOR).cast(pl.Int64),
    ).with_columns(rounding_micro=pl.col("cost_micro") - pl.col("cpu_micro") - pl.col("gpu_micro") - pl.col("mem_micro"))


def _exact() -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    wide = {name: pl.col(name).cast(pl.Int128) for name in ("cpu_used_core_seconds", "gpu_seconds", "mem_mib_seconds")}
    return (wide["cpu_used_core_seconds"] * (CPU * GIB), wide["gpu_seconds"] * (GPU * GIB), wide["mem_mib_seconds"] * MEM)


def _tres(texts: pl.Series) -> pl.DataFrame:
    text = pl.col("alloc_tres")
    number = text.str.extract(r"mem=([\d.]+)").cast(pl.Float64)         # halves are exact
    gigabytes = text.str.contains(r"mem=[\d.]+G")
    mem = pl.when(gigabytes).then(number * GIB).otherwise(number).cast(pl.Int64)
    shown = pl.when(mem % GIB == 0).then(pl.format("mem={}G", mem // GIB)).otherwise(pl.format("mem={}M", mem))
    shown = pl.when((mem // GIB % GIB == 0) & (mem % GIB == 0)).then(pl.format("mem={}T", mem // GIB // GIB)).otherwise(shown)
    return texts.to_frame("alloc_tres").with_columns(
        alloc_cpus=text.str.extract(r"cpu=(\d+)").cast(pl.Int64), alloc_mem_mib=mem,
        alloc_gpus=text.str.extract(r"gres/gpu=(\d+)").cast(pl.Int64).fill_null(0),
        text=pl.concat_str(text.str.extract(r"^(.*,)mem="), shown, text.str.extract(r"mem=[^,]*(,.*)$")))


def _epoch(name: str) -> pl.Expr:
    return pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="ms", strict=True).dt.epoch("s")


def _seconds(name: str) -> pl.Expr:
    text = pl.col(name)
    clock = text.str.tail(8)
    days = pl.when(text.str.len_bytes() > 8).then(text.str.head(-9)).otherwise(pl.lit("0")).cast(pl.Int64)
    hours, minutes, seconds = (part.cast(pl.Int64) for part in (clock.str.head(2), clock.str.slice(3, 2), clock.str.tail(2)))
    return (days * 86_400 + hours * 3600 + minutes * 60 + seconds).alias(name)


if __name__ == "__main__":
    with Measured() as measured:
        rows = priced(Path(sys.argv[1]))
    print(json.dumps({**measured.figures, **digest([rows])}))
