"""The product's what-if over a lake that is there, asked ten times in one process: DATABASE_URL and COREHOURS_HOME say where."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import polars as pl

from bench.measure import asked
from commands.installation import installation
from data.what_if import tried
from engine.policy import OPERATOR
from engine.rates import with_prices
from engine.rerating import Effect

SINCE, UNTIL = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 8, 30, tzinfo=UTC)


def digest(sums: pl.DataFrame) -> int:
    """One number for all rows of kind, name, jobs, before and after."""
    return int(sums.select("kind", "name", "jobs", "before_micro", "after_micro").hash_rows().cast(pl.Int128).sum() % 2**61)


def main() -> str:
    """Ask, and tell what was found."""
    with installation() as store:
        cards = store.read(lambda tx: tx.rates.book())
        drafts = [with_prices(card, gpu=card.price_micro("gpu") * 11 // 10) for card in cards]

        def ask() -> Effect:
            return tried(store, drafts, SINCE, UNTIL, OPERATOR)
        effect, figures = asked(ask)
    return json.dumps({**figures, "rows": effect.jobs, "cost_micro": effect.after_micro, "digest": digest(effect.sums)})


if __name__ == "__main__":
    print(main())
