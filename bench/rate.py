"""Rating a file beside its limit and two peers: parse, check, price and store as Parquet, each in a process of its own.

The limit (bare polars) and the product run in turns and must make the same rows. DuckDB (one SQL statement) makes them
too. Pandas, row by row, prices as many as it can hold in reasonable time. A tenth of the size shows how time and memory grow.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.children import Figures, child, exponent, medians, row, same
from bench.sacct_file import write_sacct_file

BY_ROWS = 100_000               # jobs for the peer that takes them one by one


def bench_rate(size: int, runs: int, progress: Callable[[str], None]) -> dict[str, object]:
    """Medians over `runs`; ratios of CPU and memory to the limit, speed to pandas, and growth from a tenth of the size."""
    with tempfile.TemporaryDirectory(prefix="corehours-bench-") as name:
        folder = Path(name)
        files = {count: folder / f"{count}.txt" for count in {size, max(size // 10, 1), min(size, BY_ROWS)}}
        for count, file in files.items():
            progress(f"a file of {count:,} jobs")
            write_sacct_file(file, count)
        measured: dict[str, list[Figures]] = {"product": [], "limit": [], "small": []}
        for number in range(1, runs + 1):
            progress(f"run {number} of {runs}")
            measured["product"].append(child("bench.product_rate", files[size], folder / "product"))
            measured["limit"].append(child("bench.limit_rate", files[size], folder / "limit"))
            measured["small"].append(child("bench.product_rate", files[max(size // 10, 1)], folder / "small"))
        progress("peers")
        sql = child("bench.peer_duckdb", files[size], folder / "sql")
        rows = child("bench.peer_pandas", files[min(size, BY_ROWS)], folder / "rows")
    same(*measured["product"], *measured["limit"], sql)
    return _report(size, {name: medians(figures) for name, figures in measured.items()}, sql, rows)


def _report(size: int, told: dict[str, Figures], sql: Figures, rows: Figures) -> dict[str, object]:
    product, limit, small, by_rows = told["product"], told["limit"], told["small"], min(size, BY_ROWS)
    ratios = {
        **{name: round(product[name] / limit[name], 2) for name in product},
        "duckdb_seconds": round(sql["seconds"] / product["seconds"], 2),
        "duckdb_cpu_seconds": round(sql["cpu_seconds"] / product["cpu_seconds"], 2),
        "pandas_per_second": round((size / product["seconds"]) / (by_rows / rows["seconds"]), 1),
        "pandas_per_cpu_second": round((size / product["cpu_seconds"]) / (by_rows / rows["cpu_seconds"]), 1),
        "growth_exponent": exponent(small["seconds"], product["seconds"], size / max(size // 10, 1)),
        "growth_exponent_cpu": exponent(small["cpu_seconds"], product["cpu_seconds"], size / max(size // 10, 1)),
        "growth_peak": round(product["peak_mib"] / small["peak_mib"], 2)}
    return {"bench": "rate", "size": size, "ratios": ratios, "rows": [
        row("parse, check, price, Parquet", "product", product, size),
        row("a tenth of it", "product", small, max(size // 10, 1)),
        row("bare polars in blocks: the same rows, nothing checked", "limit", limit, size),
        row("DuckDB: read_csv and one SQL statement", "peer", sql, size),
        row("pandas, row by row, in floats", "peer", rows, by_rows)]}
