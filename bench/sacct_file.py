"""A made-up sacct file: the same bytes for the same size and seed, shaped like a busy year of one cluster.

What repeats in real accounting repeats here (few distinct TRES strings, a long tail of users), what varies there varies.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

YEAR_START, YEAR = 1_735_689_600, 365 * 86_400
CHUNK = 250_000
COLUMNS = ("JobIDRaw", "JobID", "JobName", "User", "Account", "Partition", "QOS", "Cluster", "State", "Submit", "Start", "End",
           "Elapsed", "ElapsedRaw", "TotalCPU", "AllocTRES", "AveRSS", "NodeList", "AllocCPUS", "NNodes", "ReqMem", "ReqTRES")
STATES = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL")
SHARES = (0.78, 0.10, 0.07, 0.03, 0.01, 0.01)


def write_sacct_file(path: Path, jobs: int, seed: int = 11) -> None:
    """`jobs` runs as `sacct --parsable2` prints them, without steps."""
    random = np.random.default_rng(seed)
    with path.open("wb") as file:
        file.write(("|".join(COLUMNS) + "\n").encode())
        for first in range(0, jobs, CHUNK):
            rows = _texts(_drawn(random, first, min(CHUNK, jobs - first), jobs))
            rows.select(COLUMNS).write_csv(file, separator="|", include_header=False, quote_style="never")


def _drawn(random: np.random.Generator, first: int, count: int, jobs: int) -> pl.DataFrame:
    number = np.arange(first, first + count)
    gpus = np.where(random.random(count) < 0.3, 2 ** random.integers(0, 4, count), 0)
    cpus = np.where(gpus > 0, gpus * 8, 2 ** random.integers(0, 8, count))
    elapsed = np.minimum(random.lognormal(7.2, 2.0, count), 14 * 86_400).astype(np.int64)
    submit = YEAR_START + number * YEAR // jobs + random.integers(0, 600, count)
    return pl.DataFrame({
        "number": number + 1_000_000, "gpus": gpus, "cpus": cpus, "elapsed": elapsed, "submit": submit,
        "mem": cpus * 2 ** random.integers(1, 4, count), "unit": random.integers(0, 10, count),
        "start": submit + np.minimum(random.lognormal(4.5, 2.2, count), 604_800).astype(np.int64),
        "user": np.minimum(random.zipf(1.3, count), 2000), "model": random.choice(["a100", "h100", "a40"], count),
        "cpu_seconds": (elapsed * cpus * random.beta(4, 2, count)).astype(np.int64), "node": random.integers(1, 900, count),
        "array": random.random(count) < 0.25, "State": random.choice(STATES, count, p=SHARES)})


def _texts(drawn: pl.DataFrame) -> pl.DataFrame:
    c = pl.col
    memory = pl.when(c("unit") < 7).then(pl.format("{}G", c("mem"))).otherwise(pl.format("{}M", c("mem") * 1000))
    gres = pl.format(",gres/gpu:{}={},gres/gpu={}", c("model"), c("gpus"), c("gpus"))
    gpus = pl.when(c("gpus") > 0).then(gres).otherwise(pl.lit(""))
    task = pl.format("{}_{}", c("number") // 50 * 50, c("number") % 50)
    return drawn.select(
        JobIDRaw="number", JobName=pl.format("job-{}", c("number") % 997), User=pl.format("user{}", c("user")),
        JobID=pl.when(c("array")).then(task).otherwise(c("number").cast(pl.String)),
        Account=pl.format("acct{}", c("user") * 7919 % 300), Cluster=pl.lit("alpha"), QOS=pl.lit("normal"),
        Partition=pl.when(c("gpus") > 0).then(pl.format("gpu-{}", c("model"))).otherwise(pl.lit("cpu")),
        State=pl.when(c("State") == "CANCELLED").then(pl.format("CANCELLED by {}", c("user") + 10_000)).otherwise("State"),
        Submit=_time("submit"), Start=_time("start"), End=_time(c("start") + c("elapsed")), Elapsed=_clock("elapsed"),
        ElapsedRaw="elapsed", TotalCPU=_clock("cpu_seconds"), AveRSS=pl.lit(""), NodeList=pl.format("n{}", c("node")),
        AllocTRES=pl.format("billing={},cpu={}{},mem={},node=1", c("cpus"), c("cpus"), gpus, memory),
        ReqTRES=pl.format("billing={},cpu={},mem={},node=1", c("cpus"), c("cpus"), memory), ReqMem=memory,
        AllocCPUS="cpus", NNodes=pl.lit(1))


def _time(seconds: str | pl.Expr) -> pl.Expr:
    return pl.from_epoch(seconds, time_unit="s").dt.strftime("%Y-%m-%dT%H:%M:%S")


def _clock(name: str) -> pl.Expr:
    seconds = pl.col(name)
    parts = [part.cast(pl.String).str.zfill(2) for part in (seconds % 86_400 // 3600, seconds % 3600 // 60, seconds % 60)]
    clock = pl.format("{}:{}:{}", *parts)
    return pl.when(seconds >= 86_400).then(pl.format("{}-{}", seconds // 86_400, clock)).otherwise(clock)
