"""A made-up sacct file: the same bytes for the same size and seed, shaped like a busy year of one cluster.

What repeats in real accounting repeats here (few distinct TRES strings, a long tail of users), what varies there varies:
30 columns, of which a reader needs two thirds; memory in G, M and halves of a G; nodes alone and in ranges.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

YEAR_START, YEAR = 1_735_689_600, 365 * 86_400
CHUNK = 250_000
COLUMNS = ("JobID", "JobIDRaw", "Cluster", "Partition", "QOS", "Account", "Group", "GID", "User", "UID", "Submit", "Eligible",
           "Start", "End", "Elapsed", "ExitCode", "State", "NNodes", "NCPUS", "ReqCPUS", "ReqMem", "ReqTRES", "AllocTRES",
           "Timelimit", "NodeList", "JobName", "TotalCPU", "CPUTimeRAW", "AveRSS", "ConsumedEnergyRaw")
STATES = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL")
SHARES = (0.78, 0.10, 0.07, 0.03, 0.01, 0.01)
GPU_COUNTS, NODE_COUNTS = (1, 1, 1, 2, 4, 8, 16, 64), (1, 1, 1, 1, 2, 4, 8, 32)


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
    gpus = np.where(random.random(count) < 0.3, _skewed(random, GPU_COUNTS, count), 0)
    nodes = np.where(gpus > 0, np.maximum(1, gpus // 8), _skewed(random, NODE_COUNTS, count))
    cpus = np.where(gpus > 0, gpus * 8, nodes * 2 ** random.integers(0, 8, count))
    elapsed = np.minimum(random.lognormal(7.2, 2.0, count), 14 * 86_400).astype(np.int64)
    submit = YEAR_START + number * YEAR // jobs + random.integers(0, 600, count)
    return pl.DataFrame({
        "number": number + 1_000_000, "gpus": gpus, "nodes": nodes, "cpus": cpus, "elapsed": elapsed, "submit": submit,
        "mem": cpus * 2 ** random.integers(1, 4, count), "unit": random.integers(0, 10, count),
        "start": submit + np.minimum(random.lognormal(4.5, 2.2, count), 604_800).astype(np.int64),
        "user": np.minimum(random.zipf(1.3, count), 2000), "model": random.choice(["a100", "h100", "v100", "a40"], count),
        "cpu_seconds": (elapsed * cpus * random.beta(4, 2, count)).astype(np.int64), "node": random.integers(1, 900, count),
        "array": random.random(count) < 0.25, "State": random.choice(STATES, count, p=SHARES)})


def _skewed(random: np.random.Generator, values: tuple[int, ...], count: int) -> np.ndarray:
    """Earlier values more often."""
    weights = 1 / np.arange(1, len(values) + 1)
    return random.choice(values, count, p=weights / weights.sum())


def _texts(drawn: pl.DataFrame) -> pl.DataFrame:
    c = pl.col
    memory = (pl.when(c("unit") < 6).then(pl.format("{}G", c("mem"))).when(c("unit") < 9)
              .then(pl.format("{}M", c("mem") * 1000)).otherwise(pl.format("{}.50G", c("mem"))))
    account = c("user") * 7919 % 300
    return drawn.select(
        JobIDRaw="number", JobName=pl.format("job-{}", c("number") % 997), User=pl.format("user{}", _wide("user", 4)),
        JobID=pl.when(c("array")).then(pl.format("{}_{}", c("number") // 50 * 50, c("number") % 50)).otherwise(c("number").cast(pl.String)),
        UID=c("user") + 10_000, Account=pl.format("acct{}", _wide(account, 3)), Group=pl.format("grp{}", account % 40),
        GID=account % 40 + 2000, Cluster=pl.lit("alpha"),
        QOS=pl.when(c("number") % 10 == 0).then(pl.lit("high")).otherwise(pl.lit("normal")),
        Partition=pl.when(c("gpus") > 0).then(pl.format("gpu-{}", c("model"))).otherwise(pl.lit("cpu")),
        State=pl.when(c("State") == "CANCELLED").then(pl.format("CANCELLED by {}", c("user") + 10_000)).otherwise("State"),
        ExitCode=pl.when(c("State") == "COMPLETED").then(pl.lit("0:0")).otherwise(pl.lit("1:0")),
        Submit=_time("submit"), Eligible=_time("submit"), Start=_time("start"), End=_time(c("start") + c("elapsed")),
        Elapsed=_clock("elapsed"), Timelimit=_clock((c("elapsed") // 3600 + 1) * 7200), TotalCPU=_clock("cpu_seconds"),
        CPUTimeRAW=c("elapsed") * c("cpus"), ConsumedEnergyRaw=c("elapsed") * c("cpus") * 12, AveRSS=pl.lit(""),
        NNodes="nodes", NCPUS="cpus", ReqCPUS="cpus", ReqMem=memory, NodeList=_hosts(),
        ReqTRES=_tres(pl.format(",gres/gpu={}", c("gpus")), memory),
        AllocTRES=_tres(pl.format(",gres/gpu:{}={},gres/gpu={}", c("model"), c("gpus"), c("gpus")), memory))


def _tres(gpus: pl.Expr, memory: pl.Expr) -> pl.Expr:
    named = pl.when(pl.col("gpus") > 0).then(gpus).otherwise(pl.lit(""))
    return pl.format("billing={},cpu={}{},mem={},node={}", pl.col("cpus"), pl.col("cpus"), named, memory, pl.col("nodes"))


def _hosts() -> pl.Expr:
    first, last = _wide("node", 3), _wide(pl.col("node") + pl.col("nodes") - 1, 3)
    return pl.when(pl.col("nodes") == 1).then(pl.format("n{}", first)).otherwise(pl.format("n[{}-{}]", first, last))


def _wide(number: str | pl.Expr, digits: int) -> pl.Expr:
    return (pl.col(number) if isinstance(number, str) else number).cast(pl.String).str.zfill(digits)


def _time(seconds: str | pl.Expr) -> pl.Expr:
    return pl.from_epoch(seconds, time_unit="s").dt.strftime("%Y-%m-%dT%H:%M:%S")


def _clock(name: str | pl.Expr) -> pl.Expr:
    seconds = pl.col(name) if isinstance(name, str) else name
    clock = pl.format("{}:{}:{}", *(_wide(part, 2) for part in (seconds % 86_400 // 3600, seconds % 3600 // 60, seconds % 60)))
    return pl.when(seconds >= 86_400).then(pl.format("{}-{}", seconds // 86_400, clock)).otherwise(clock)
