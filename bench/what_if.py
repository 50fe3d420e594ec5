"""A what-if over the analytics copy beside its limit: bare DuckDB over the same Parquet with the prices written into the SQL.

Both answer the same question: all tiers' jobs of 90 days by a card with dearer GPUs, in all and by tier, account, day and payer.
Other kinds of card stand below, by the product alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.children import Figures, child, medians, row, same
from bench.product_what_if import CARDS
from commands.installation import installation
from data.settings import Settings

WORDS = {"flat": "flat prices", "hours": "factors of time", "models": "GPU models and nodes", "hours and models": "both of these",
         "month": "a quota and steps by the month"}


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
            told: dict[str, list[Figures]] = {"limit": [], **{kind: [] for kind in CARDS}}
            for number in range(1, runs + 1):
                progress(f"run {number} of {runs}")
                told["limit"].append(child("bench.limit_what_if", facts))
                for kind in CARDS:
                    told[kind].append(child("bench.product_what_if", kind, **place))
    same(*told["flat"], *told["limit"])
    product, limit = medians(told["flat"]), medians(told["limit"])
    return {"bench": "what-if", "size": size, "ratios": {name: round(product[name] / limit[name], 2) for name in product}, "rows": [
        row("bare DuckDB over the same Parquet, the flat card", "limit", limit, size) | _spread(told["limit"]),
        *(row(f"what if, {WORDS[kind]}", "product", medians(told[kind]), size) | _spread(told[kind]) for kind in CARDS)]}


def _spread(figures: list[Figures]) -> dict[str, float]:
    return {name: round(sorted(one[name] for one in figures)[len(figures) // 2], 1) for name in ("p50_ms", "p95_ms")}
