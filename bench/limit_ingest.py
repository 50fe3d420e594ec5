"""The limit for ingestion: bare polars that makes the product's priced rows of the benchmark's file, and does nothing else.

It trusts every byte: fixed columns, known units and states, no steps, no odd names, nothing checked, nothing rejected,
nothing kept. Each distinct TRES text is parsed once; times and durations are read as bytes of a known shape, the tightest
way we know, by the product's own readers; prices are integers of 64 bits.
"""

from __future__ import annotations

import json
import sys
from math import gcd
from pathlib import Path

import polars as pl

from bench.measure import Measured
from bench.rows import digest
from engine.fixed_texts import DURATIONS, INSTANTS, shaped

HOUR, GIB, WHOLE = 3600, 1024, 3600 * 1024
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
    tres, c = _tres(jobs.get_column("alloc_tres")), pl.col
    read = jobs.with_columns(
        *(shaped(jobs.get_column(name), INSTANTS) for name in ("submit_at", "start_at", "end_at")),
        *(shaped(jobs.get_column(name), DURATIONS) for name in ("elapsed_seconds", "cpu_used_core_seconds")),
        _states(jobs.get_column("state")), *tres)
    used = read.lazy().with_columns(
        run_key=pl.concat_str("cluster", pl.concat_str("JobIDRaw", "submit_at", separator="/"), separator="/"),
        gpu_seconds=c("alloc_gpus") * c("elapsed_seconds"), mem_mib_seconds=c("alloc_mem_mib") * c("elapsed_seconds"))
    return _charged(used).rename({"JobIDRaw": "job_id_raw"}).collect()


def _charged(read: pl.LazyFrame) -> pl.LazyFrame:
    """Prices in 64 bits: what CPU, GPU and memory prices and the minor unit over WHOLE have in common is taken out."""
    c = pl.col
    cpu, gpu, mem = c("cpu_used_core_seconds"), c("gpu_seconds"), c("mem_mib_seconds")
    common = gcd(2 * CPU * GIB, 2 * GPU * GIB, 2 * MEM, MINOR * WHOLE)
    twice = cpu * (2 * CPU * GIB // common) + gpu * (2 * GPU * GIB // common) + mem * (2 * MEM // common)
    step = MINOR * WHOLE // common
    return read.with_columns(
        payer="user_name", cpu_core_seconds="cpu_used_core_seconds", mem_used_mib_seconds="mem_mib_seconds",
        cpu_micro=_over(cpu, CPU, HOUR), gpu_micro=_over(gpu, GPU, HOUR), mem_micro=_over(mem, MEM, WHOLE),
        extra_seconds=pl.lit(0, pl.Int64), extra_micro=pl.lit(0, pl.Int64), cost_micro=(twice + step) // (2 * step) * MINOR,
    ).with_columns(rounding_micro=c("cost_micro") - c("cpu_micro") - c("gpu_micro") - c("mem_micro"))


def _over(quantity: pl.Expr, micro: int, unit: int) -> pl.Expr:
    common = gcd(micro, unit)
    return quantity * (micro // common) // (unit // common)


def _states(texts: pl.Series) -> pl.Series:
    words, places = _distinct(texts)
    return words.str.split_exact(" ", 1).struct.field("field_0").gather(places).alias("state")


def _distinct(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    distinct = texts.unique()
    return distinct, texts.cast(pl.Enum(distinct)).to_physical()


def _tres(texts: pl.Series) -> list[pl.Series]:
    distinct, places = _distinct(texts)
    text = pl.col("alloc_tres")
    number = text.str.extract(r"mem=([\d.]+)").cast(pl.Float64)         # halves are exact
    gigabytes = text.str.contains(r"mem=[\d.]+G")
    mem = pl.when(gigabytes).then(number * GIB).otherwise(number).cast(pl.Int64)
    shown = pl.when(mem % GIB == 0).then(pl.format("mem={}G", mem // GIB)).otherwise(pl.format("mem={}M", mem))
    shown = pl.when((mem // GIB % GIB == 0) & (mem % GIB == 0)).then(pl.format("mem={}T", mem // GIB // GIB)).otherwise(shown)
    return distinct.to_frame("alloc_tres").select(
        alloc_cpus=text.str.extract(r"cpu=(\d+)").cast(pl.Int64), alloc_mem_mib=mem,
        alloc_gpus=text.str.extract(r"gres/gpu=(\d+)").cast(pl.Int64).fill_null(0),
        alloc_tres=pl.concat_str(text.str.extract(r"^(.*,)mem="), shown, text.str.extract(r"mem=[^,]*(,.*)$")),
    ).select(pl.all().gather(places)).get_columns()


if __name__ == "__main__":
    with Measured() as measured:
        rows = priced(Path(sys.argv[1]))
    print(json.dumps({**measured.figures, **digest([rows])}))
