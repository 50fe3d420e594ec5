"""Ingestion beside its limit: the product's whole path against bare polars on the same file, run by run in turns.

The server is one of the benchmark's own with the product's durable settings; each run has an empty database.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import psycopg
import sqlalchemy as sa

from bench.children import Figures, child, medians, row, same
from bench.sacct_file import write_sacct_file
from data.postgres.server import Server, running
from data.settings import Settings


def bench_ingest(size: int, runs: int, progress: Callable[[str], None]) -> dict[str, object]:
    """Medians over `runs` of each; both must have made the same rows."""
    with tempfile.TemporaryDirectory(prefix="corehours-bench-") as folder:
        home = Path(folder)
        home.chmod(0o711)                       # Postgres may run as another user
        file = home / "sacct.txt"
        progress(f"a file of {size:,} jobs")
        write_sacct_file(file, size)
        settings = Settings(home=home / "home", database_url=None)
        with running(settings) as url:
            postmaster = Server(settings.home).processes()[0]
            pairs = []
            for number in range(1, runs + 1):
                progress(f"run {number} of {runs}")
                pairs.append((_product(file, url, settings, number, postmaster), child("bench.limit_ingest", file)))
    return _report(size, pairs)


def _product(file: Path, url: str, settings: Settings, number: int, postmaster: int) -> Figures:
    own = sa.make_url(url).set(database=f"bench_{number}").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create database bench_{number}")
        environment = {"DATABASE_URL": own, "COREHOURS_HOME": str(settings.home / f"run{number}")}
        figures = child("bench.product_ingest", file, str(postmaster), **environment)
        connection.execute(f"drop database bench_{number} with (force)")
        connection.execute("checkpoint")        # the next run does not pay for this one
    return figures


def _report(size: int, pairs: list[tuple[Figures, Figures]]) -> dict[str, object]:
    same(*(figures for pair in pairs for figures in pair))
    product, limit = (medians([pair[side] for pair in pairs]) for side in (0, 1))
    return {"bench": "ingest", "size": size, "ratios": {name: round(product[name] / limit[name], 2) for name in product}, "rows": [
        row("parse, price, Postgres and DuckLake (CPU with the server's)", "product", product, size),
        row("bare polars: parse and price the same rows", "limit", limit, size)]}
