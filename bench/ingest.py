"""Ingestion beside its limits: the product's whole path, the same file again, and bare code on the same rows, in turns.

The limits: polars in bounded memory that stores the same rows as Parquet (`seconds`, `cpu_seconds` and `peak_mib` are
compared with it); polars with everything in memory and nothing stored (up to IN_MEMORY jobs), once as its documentation teaches it
and once tuned by hand; and a bare COPY of the rows.
The server is one of the benchmark's own with the product's durable settings; each run has an empty database.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import sqlalchemy as sa

from bench.children import Figures, child, medians, row, same
from bench.sites import Site, site

IN_MEMORY = 2_000_000
PRODUCT, AGAIN, COPIED, BLOCKS, PLAIN, MEMORY = "product", "again", "copy", "blocks", "plain", "memory"


def bench_ingest(size: int, runs: int, progress: Callable[[str], None]) -> dict[str, object]:
    """Medians over `runs` of each; all must have made the same rows, and reading again must have changed none."""
    measured = []
    with site(size, progress) as its:
        for number in range(1, runs + 1):
            progress(f"run {number} of {runs}")
            measured.append(_run(its, number))
    return _report(size, measured)


def _run(its: Site, number: int) -> dict[str, Figures]:
    """Everything once. The product's database is new and goes again."""
    file, postmaster = its.file, its.postmaster
    own = sa.make_url(its.url).set(database=f"bench_{number}").render_as_string(hide_password=False)
    environment = {"DATABASE_URL": own, "COREHOURS_HOME": str(its.home / f"run{number}")}
    with psycopg.connect(its.url, autocommit=True) as connection:
        connection.execute(f"create database bench_{number}")
        figures = {PRODUCT: child("bench.product_ingest", file, postmaster, **environment)}
        connection.execute("checkpoint")        # the next one does not pay for this one
        figures[AGAIN] = child("bench.product_ingest", file, postmaster, **environment)
        connection.execute("checkpoint")
        figures[COPIED] = child("bench.limit_copy", own, postmaster, file.with_name("rows"))
        file.with_name("rows").unlink()
        connection.execute(f"drop database bench_{number} with (force)")
        connection.execute("checkpoint")
    figures[BLOCKS] = child("bench.limit_rate", file, file.with_name("priced"))
    if figures[PRODUCT]["rows"] <= IN_MEMORY:
        figures[PLAIN] = child("bench.plain_polars", file)
        figures[MEMORY] = child("bench.limit_ingest", file)
    _agree(figures)
    return figures


def _agree(figures: dict[str, Figures]) -> None:
    same(*(figures[name] for name in (PRODUCT, BLOCKS, PLAIN, MEMORY) if name in figures))
    if figures[AGAIN]["new"] or figures[AGAIN]["changed"]:
        raise AssertionError("reading the same file again has changed something")


def _report(size: int, measured: list[dict[str, Figures]]) -> dict[str, object]:
    told = {name: medians([figures[name] for figures in measured]) for name in measured[0]}
    product, blocks, copied = told[PRODUCT], told[BLOCKS], told[COPIED]["seconds"]
    ratios = {name: round(product[name] / blocks[name], 2) for name in product}
    ratios["seconds_to_copy_and_rate"] = round(product["seconds"] / (copied + blocks["seconds"]), 2)
    ratios["again_faster"] = round(product["seconds"] / told[AGAIN]["seconds"], 2)
    if MEMORY in told:
        ratios["seconds_to_plain"] = round(product["seconds"] / told[PLAIN]["seconds"], 2)
        ratios["seconds_to_memory"] = round(product["seconds"] / told[MEMORY]["seconds"], 2)
    whats = {PRODUCT: ("parse, check, price, Postgres and DuckLake (CPU with the server's)", "product"),
             AGAIN: ("the same file again: nothing changes", "product"),
             PLAIN: ("bare polars, one query over the whole file in memory: the same rows, not stored", "limit"),
             MEMORY: ("the same tuned by hand, times and durations read as bytes", "limit"),
             BLOCKS: ("bare polars in bounded memory: the same rows, as Parquet", "limit"),
             COPIED: ("bare COPY of the rows, no indexes", "limit")}
    return {"bench": "ingest", "size": size, "ratios": ratios,
            "rows": [row(*whats[name], told[name], size) for name in whats if name in told]}
