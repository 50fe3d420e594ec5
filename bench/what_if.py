"""A what-if over the analytics copy beside its limit: bare DuckDB over the same Parquet with the prices written into the SQL.

Both answer the same question: all tiers' jobs of 90 days by a card with dearer GPUs, in all and by tier, account, day and payer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.children import Figures, child, medians, row, same
from commands.installation import installation
from data.settings import Settings


def bench_what_if(size: int, runs: int, progress: Callable[[str], None]) -> dict[str, object]:
    """Medians over `runs` of each, in turns; both must have found the same sums."""
    with tempfile.TemporaryDirectory(prefix="corehours-bench-") as folder:
        home = Path(folder)
        home.chmod(0o711)                       # Postgres may run as another user
        settings = Settings(home=home / "home", database_url=None)
        with installation(settings=settings) as store:
            progress(f"a lake of {size:,} jobs")
            facts, url = Path(settings.lake_path) / "main" / "usage_fact", store.engine.url.set(drivername="postgresql")
            place = {"DATABASE_URL": url.render_as_string(hide_password=False), "COREHOURS_HOME": str(settings.home)}
            child("bench.lake_facts", str(size), **place)      # a process of its own: its memory is not the product's
            told: dict[str, list[Figures]] = {"product": [], "limit": []}
            for number in range(1, runs + 1):
                progress(f"run {number} of {runs}")
                told["product"].append(child("bench.product_what_if", **place))
                told["limit"].append(child("bench.limit_what_if", facts))
    same(*told["product"], *told["limit"])
    product, limit = medians(told["product"]), medians(told["limit"])
    return {"bench": "what-if", "size": size, "ratios": {name: round(product[name] / limit[name], 2) for name in product}, "rows": [
        row("what if, warm", "product", product, size) | _spread(told["product"]),
        row("bare DuckDB over the same Parquet", "limit", limit, size) | _spread(told["limit"])]}


def _spread(figures: list[Figures]) -> dict[str, float]:
    return {name: round(sorted(one[name] for one in figures)[len(figures) // 2], 1) for name in ("p50_ms", "p95_ms")}
