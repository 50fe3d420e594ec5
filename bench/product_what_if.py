"""The product's what-if over a lake that is there, asked ten times in one process: DATABASE_URL and COREHOURS_HOME say where.

The word is the kind of card that is tried (CARDS).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl

from bench.measure import asked
from commands.installation import installation
from data.what_if import tried
from engine.policy import OPERATOR
from engine.rates import Modifier, Price, RateCard, Step, with_prices
from engine.rerating import Effect

SINCE, UNTIL = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 8, 30, tzinfo=UTC)
PEAK, WEEKEND = Modifier("peak", 1_200_000, hours=(18 * 60, 23 * 60)), Modifier("weekend", 1_100_000, weekdays=frozenset({5, 6}))


def dearer_gpus(card: RateCard) -> RateCard:
    """A tenth dearer; nothing else is needed."""
    return with_prices(card, gpu=card.price_micro("gpu") * 11 // 10)


def by_hours(card: RateCard) -> RateCard:
    """Dearer in the evening and at weekends."""
    return replace(card, modifiers=(PEAK, WEEKEND), time_zone="Asia/Bangkok")


def by_model(card: RateCard) -> RateCard:
    """A model that costs twice as much, read from AllocTRES, and nodes."""
    a100, node = Price("gpu", (Step(0, 2 * card.price_micro("gpu")),), "a100"), Price("node", (Step(0, 10_000),))
    return replace(card, prices=(*card.prices, a100, node))


def by_month(card: RateCard) -> RateCard:
    """A thousand core-hours free each month, and half the price from a hundred thousand on."""
    each = card.price_micro("cpu")
    steps = Price("cpu", (Step(0, 0), Step(1000, each), Step(100_000, each // 2)))
    return replace(card, prices=(steps, *(price for price in card.prices if price.meter != "cpu")), time_zone="Asia/Bangkok")


CARDS: dict[str, Callable[[RateCard], RateCard]] = {
    "flat": dearer_gpus, "hours": by_hours, "models": by_model, "hours and models": lambda card: by_hours(by_model(card)),
    "month": by_month}


def digest(sums: pl.DataFrame) -> int:
    """One number for all rows of kind, name, jobs, before and after."""
    return int(sums.select("kind", "name", "jobs", "before_micro", "after_micro").hash_rows().cast(pl.Int128).sum() % 2**61)


def main(kind: str) -> str:
    """Ask, and tell what was found."""
    with installation() as store:
        cards = store.read(lambda tx: tx.rates.book())
        drafts = [CARDS[kind](card) for card in cards]

        def ask() -> Effect:
            return tried(store, drafts, SINCE, UNTIL, OPERATOR)
        effect, figures = asked(ask)
    return json.dumps({**figures, "rows": effect.jobs, "cost_micro": effect.after_micro, "digest": digest(effect.sums)})


if __name__ == "__main__":
    print(main(sys.argv[1]))
