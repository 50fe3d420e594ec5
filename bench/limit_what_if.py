"""The limit for a what-if: DuckDB over the lake's Parquet files, the benchmark's three cards written into one SQL statement."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb
import polars as pl

from bench.measure import asked
from bench.product_what_if import digest

# Micro-units a core-hour, GPU-hour (a tenth dearer than the default cards) and GiB-hour; to the satang, halves up.
PRICES = {"mu": (1_000_000, 5_500_000, 500_000), "gov": (3_000_000, 11_000_000, 1_000_000), "private": (5_000_000, 110_000_000, 2_000_000)}
SHARED = 1_000_000              # divides every factor below


def statement(folder: Path) -> str:
    """Jobs, before and after: in all, by tier, account, day and payer."""
    cases = " ".join(f"when tier = '{tier}' then {_cost(*prices)}" for tier, prices in PRICES.items())
    return (f"select tier, account_name, day, payer, sum(jobs)::bigint, sum(cost_micro)::bigint, sum(price)::bigint from ("
            f"select tier, account_name, day, payer, jobs, cost_micro, case {cases} end as price"
            f" from read_parquet('{folder}/**/*.parquet', hive_partitioning = false))"
            " group by grouping sets ((), (tier), (account_name), (day), (payer))")


def _cost(cpu: int, gpu: int, mem: int) -> str:
    half, divisor = 10_000 * 3600 * 1024 // SHARED, 2 * 10_000 * 3600 * 1024 // SHARED
    assert not any(factor % SHARED for factor in (2 * 1024 * cpu, 2 * 1024 * gpu, 2 * mem)) and 10_000 * 3600 * 1024 % SHARED == 0
    return (f"(cpu_used_core_seconds * {2 * 1024 * cpu // SHARED} + alloc_gpus * elapsed_seconds * {2 * 1024 * gpu // SHARED}"
            f" + mem_used_mib_seconds * {2 * mem // SHARED} + {half}) // {divisor} * 10000")


def main(folder: Path) -> str:
    """Ask, and tell what was found."""
    duck = duckdb.connect(config={"memory_limit": "384MB", "threads": "2", "preserve_insertion_order": "false"})
    duck.execute("set TimeZone = 'UTC'")
    rows, figures = asked(lambda: duck.execute(statement(folder)).fetchall())
    named = [(*_name(row[:4]), *row[4:]) for row in rows]
    sums = pl.DataFrame(named, orient="row", schema={"kind": pl.String, "name": pl.String, "jobs": pl.Int64, "before_micro": pl.Int64,
                                                     "after_micro": pl.Int64})
    total = sums.row(by_predicate=pl.col("kind") == "all", named=True)
    return json.dumps({**figures, "rows": total["jobs"], "cost_micro": total["after_micro"], "digest": digest(sums)})


def _name(keys: tuple[object, ...]) -> tuple[str, str]:
    return next(((kind, str(key)) for kind, key in zip(("tier", "account", "day", "payer"), keys, strict=True) if key is not None),
                ("all", ""))


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
