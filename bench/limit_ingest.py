"""The limit for ingestion: bare polars that parses and prices the file the benchmark made, and does nothing else.

It trusts every byte: fixed columns, known units, no steps, no odd names, nothing rejected, nothing kept. Each distinct
TRES text is parsed once; durations come from fixed positions; prices are integers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl

from bench.measure import Measured

HOUR, GIB = 3600, 1024
CPU, GPU, MEM, MINOR = 1_000_000, 5_000_000, 500_000, 10_000
TEXTS = ("JobID", "JobName", "User", "Account", "Partition", "QOS", "Cluster", "State", "Submit", "Start", "End", "TotalCPU",
         "AllocTRES", "NodeList")


def priced(path: Path) -> pl.DataFrame:
    """One row a job: what identifies it, its times as Unix seconds, its quantities and `cost_micro`."""
    jobs = pl.read_csv(path, separator="|", columns=[*TEXTS, "JobIDRaw", "ElapsedRaw"], quote_char=None,
                       schema_overrides={**dict.fromkeys(TEXTS, pl.String()), "JobIDRaw": pl.Int64(), "ElapsedRaw": pl.Int64()})
    tres = _tres(jobs.get_column("AllocTRES").unique())
    typed = jobs.lazy().with_columns(*map(_epoch, ("Submit", "Start", "End")), _core_seconds(),
                                     State=pl.col("State").str.split_exact(" ", 1).struct.field("field_0"))
    return typed.join(tres.lazy(), on="AllocTRES").with_columns(cost_micro=_cost()).collect()


def _tres(texts: pl.Series) -> pl.DataFrame:
    number = pl.col("AllocTRES").str.extract(r"mem=(\d+)").cast(pl.Int64)
    return texts.to_frame("AllocTRES").with_columns(
        gpus=pl.col("AllocTRES").str.extract(r"gres/gpu=(\d+)").cast(pl.Int64).fill_null(0),
        mem=pl.when(pl.col("AllocTRES").str.contains(r"mem=\d+G")).then(number * GIB).otherwise(number))


def _epoch(name: str) -> pl.Expr:
    return pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="ms", strict=True).dt.epoch("s")


def _core_seconds() -> pl.Expr:
    text = pl.col("TotalCPU")
    clock = text.str.tail(8)
    days = pl.when(text.str.len_bytes() > 8).then(text.str.head(-9)).otherwise(pl.lit("0")).cast(pl.Int64)
    hours, minutes, seconds = (part.cast(pl.Int64) for part in (clock.str.head(2), clock.str.slice(3, 2), clock.str.tail(2)))
    return (days * 86_400 + hours * 3600 + minutes * 60 + seconds).alias("core_seconds")


def _cost() -> pl.Expr:
    whole, elapsed = HOUR * GIB, pl.col("ElapsedRaw")
    exact = (pl.col("core_seconds").cast(pl.Int128) * (CPU * GIB) + (pl.col("gpus") * elapsed).cast(pl.Int128) * (GPU * GIB)
             + (pl.col("mem") * elapsed).cast(pl.Int128) * MEM)
    return ((exact * 2 + MINOR * whole) // (2 * MINOR * whole) * MINOR).cast(pl.Int64)


if __name__ == "__main__":
    with Measured() as measured:
        micro = priced(Path(sys.argv[1]))["cost_micro"].sum()
    print(json.dumps({**measured.figures, "cost_micro": micro}))
