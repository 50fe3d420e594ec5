"""The whole copy priced by the rating function on each engine: DuckDB (the default), polars and, where it is there, Spark.

All three must find the same totals. The seconds of Spark include the start of its Java.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.children import Figures, child, medians, row, same
from bench.lake_facts import fill
from commands.installation import installation
from commands.lake_rating import ENGINES
from data.settings import Settings


def bench_scale(size: int, runs: int, progress: Callable[[str], None]) -> dict[str, object]:
    """Medians over `runs` of each engine, in turns."""
    there = importlib.util.find_spec("pyspark") is not None and shutil.which("java") is not None
    engines = [engine for engine in ENGINES if engine != "spark" or there]
    told: dict[str, list[Figures]] = {engine: [] for engine in engines}
    with tempfile.TemporaryDirectory(prefix="corehours-bench-") as folder:
        Path(folder).chmod(0o711)               # Postgres may run as another user
        settings = Settings(home=Path(folder) / "home", database_url=None)
        with installation(settings=settings) as store:
            progress(f"a lake of {size:,} jobs")
            fill(store, size)
            url = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
            for number in range(1, runs + 1):
                for engine in engines:
                    progress(f"run {number} of {runs}, {engine}")
                    told[engine].append(child("bench.product_scale", engine, DATABASE_URL=url, COREHOURS_HOME=str(settings.home)))
    same(*(figures for each in told.values() for figures in each))
    middle = {engine: medians(each) for engine, each in told.items()}
    return {"bench": "scale", "size": size,
            "ratios": {f"{engine} / duckdb, {name}": round(middle[engine][name] / middle["duckdb"][name], 2)
                       for engine in engines[1:] for name in middle[engine]},
            "rows": [row(f"the copy priced by {engine}", "peer" if engine != "duckdb" else "product", middle[engine], size)
                     for engine in engines]}
