"""A lake full of jobs for benchmarks: priced by the rating function, spread over 90 days, in no table of Postgres.

DATABASE_URL and COREHOURS_HOME name the installation; the word is how many jobs.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import polars as pl

from commands.installation import installation
from data.postgres.store import Store
from engine.rate_frames import Book, book_of
from engine.rating import rate
from engine.revisions import facts

BLOCK = 500_000
DAYS = 90
FIRST = 1_780_272_000           # 2026-06-01T00:00:00Z
PAYERS, ACCOUNTS, TIERS = 1000, 200, ("mu", "gov", "private")


def fill(store: Store, size: int) -> None:
    """`size` jobs of a thousand payers in two hundred accounts."""
    book = book_of(store.read(lambda tx: tx.rates.book()))
    for start in range(0, size, BLOCK):
        block = _block(start, min(BLOCK, size - start), size, book)
        store.run(lambda tx, block=block: tx.lake.add(block))


def _block(start: int, count: int, size: int, book: Book) -> pl.DataFrame:
    random = np.random.default_rng(start)
    payer, elapsed, cpus = random.integers(0, PAYERS, count), random.integers(1, 172_800, count), 2 ** random.integers(0, 7, count)
    gpus, number = random.integers(0, 5, count) * (random.random(count) < 0.3), np.arange(start, start + count)
    end = FIRST + number * (DAYS * 86_400) // size
    used = (elapsed * cpus * random.random(count)).astype(np.int64)
    rows = pl.DataFrame({
        "_payer": payer, "_number": number, "end_at": end, "start_at": end - elapsed, "submit_at": end - elapsed - 60,
        "elapsed_seconds": elapsed, "alloc_cpus": cpus, "alloc_gpus": gpus, "alloc_mem_mib": cpus * 4096, "cpu_used_core_seconds": used,
        "mem_used_mib_seconds": used * 2048}).cast(pl.Int64).with_columns(
        cluster=pl.lit("hpc"), run_key=pl.format("hpc/{}/{}", "_number", "end_at"), job_id=pl.col("_number").cast(pl.String),
        user_name=_named("user", "_payer"), payer=_named("user", "_payer"), account_name=_named("project", pl.col("_payer") % ACCOUNTS),
        tier=pl.col("_payer").mod(3).replace_strict(dict(enumerate(TIERS)), return_dtype=pl.String), ended=pl.lit(value=True),
        partition_name=pl.when(pl.col("alloc_gpus") > 0).then(pl.lit("gpu")).otherwise(pl.lit("cpu")), state=pl.lit("COMPLETED"),
        alloc_tres=pl.format("billing={},cpu={},gres/gpu={},mem={}G,node=1", "alloc_cpus", "alloc_cpus", "alloc_gpus",
                             pl.col("alloc_mem_mib") // 1024))
    return facts(rate(rows, book))


def _named(word: str, number: pl.Expr | str) -> pl.Expr:
    return pl.format(word + "{}", (pl.col(number) if isinstance(number, str) else number).cast(pl.String).str.zfill(4))


if __name__ == "__main__":
    with installation() as store:
        fill(store, int(sys.argv[1]))
        print(json.dumps({"differences": len(store.lake.trouble)}))
