"""Ingestion beside its limit: the product's whole path against bare polars on the same file, run by run in turns.

The server is one of the benchmark's own with the product's durable settings; each run has an empty database.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import psycopg
import sqlalchemy as sa

from bench.sacct_file import write_sacct_file
from data.postgres.server import Server, running
from data.settings import ROOT, Settings

Figures = dict[str, float]


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
                pairs.append((_product(file, url, settings, number, postmaster), _child("bench.limit_ingest", file)))
    return _report(size, pairs)


def _product(file: Path, url: str, settings: Settings, number: int, postmaster: int) -> Figures:
    own = sa.make_url(url).set(database=f"bench_{number}").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create database bench_{number}")
        environment = {"DATABASE_URL": own, "COREHOURS_HOME": str(settings.home / f"run{number}")}
        figures = _child("bench.product_ingest", file, str(postmaster), **environment)
        connection.execute(f"drop database bench_{number} with (force)")
        connection.execute("checkpoint")        # the next run does not pay for this one
    return figures


def _child(module: str, file: Path, *words: str, **environment: str) -> Figures:
    made = subprocess.run([sys.executable, "-m", module, str(file), *words], cwd=ROOT, env={**os.environ, **environment},
                          stdout=subprocess.PIPE, check=True)
    told: Figures = json.loads(made.stdout)
    return told


def _report(size: int, pairs: list[tuple[Figures, Figures]]) -> dict[str, object]:
    made = {tuple(figures[name] for name in ("rows", "cost_micro", "digest")) for pair in pairs for figures in pair}
    if len(made) != 1:
        raise AssertionError(f"product and limit do not make the same rows (number, cost, digest): {sorted(made)}")
    product, limit = (_medians([pair[side] for pair in pairs]) for side in (0, 1))
    rows = [{"what": what, "role": role, **{name: round(value, 3) for name, value in figures.items()},
             "per_second": round(size / figures["seconds"])}
            for what, role, figures in (("parse, price, Postgres and DuckLake (CPU with the server's)", "product", product),
                                        ("bare polars: parse and price the same rows", "limit", limit))]
    ratios = {name: round(product[name] / limit[name], 2) for name in product}
    return {"bench": "ingest", "size": size, "rows": rows, "ratios": ratios}


def _medians(figures: list[Figures]) -> Figures:
    return {name: median(one[name] for one in figures) for name in ("seconds", "cpu_seconds", "peak_mib")}
