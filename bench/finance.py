"""What finance asks, beside the same questions to Postgres' rows and to bare DuckDB over Parquet of the same facts.

The jobs are loaded once, by the product's own way. Each question is asked with twenty random sets of parameters, of the
three in turns, and all three must give the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from statistics import median

from bench.children import child
from bench.sites import site

ROLES = {"product": "product", "peer": "the same SQL on Postgres' rows", "limit": "bare DuckDB over hive Parquet of the facts"}


def bench_finance(size: int, runs: int, progress: Callable[[str], None]) -> dict[str, object]:
    """Percentiles over 20 sets of parameters for each question, `runs` is not used: the sets are the runs."""
    with site(size, progress) as its:
        environment = {"DATABASE_URL": its.url, "COREHOURS_HOME": str(its.home / "product"), "COREHOURS_TIME_ZONE": "UTC"}
        progress("loading")
        loaded = child("bench.product_ingest", its.file, its.postmaster, **environment)
        its.file.unlink()
        progress("asking")
        told: Mapping[str, Mapping[str, Sequence[float]]] = child("bench.finance_reads", its.home / "hive", **environment)  # type: ignore[assignment]
    return _report(size, loaded["seconds"], told)


def _report(size: int, loaded: float, told: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, object]:
    rows: list[dict[str, object]] = [
        {"what": question if role == "product" else f"{question}: {ROLES[role]}", "role": role, "size": size,
         "p50_ms": round(median(timed), 2), "p95_ms": round(p95(timed), 2)}
        for question, by_role in told.items() for role, timed in by_role.items()]
    rows.append({"what": "loading, once: parse, price, Postgres and DuckLake", "role": "product", "size": size,
                 "seconds": round(loaded, 2), "per_second": round(size / loaded)})
    ratios = {f"{question}: {word}": round(median(by_role[role]) / median(by_role["product"]), 2)
              for question, by_role in told.items() for role, word in (("peer", "Postgres / product"), ("limit", "bare DuckDB / product"))}
    return {"bench": "finance", "size": size, "rows": rows, "ratios": ratios}


def p95(timed: Sequence[float]) -> float:
    """The value that 95 in 100 do not exceed: of 20, the 19th."""
    return sorted(timed)[ceil(0.95 * len(timed)) - 1]
