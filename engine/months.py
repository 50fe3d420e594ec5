"""Whole months: cards that count what was used before in a month can only be priced a month at a time.

Says which runs must be looked at when one of them was added, corrected or moved to another card. Refuses to know where
they are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import polars as pl

from engine.rate_frames import book_of
from engine.rates import RateCard
from engine.rating import CHARGE_SCHEMA, rate

DAY = 86_400


def counting(book: Sequence[RateCard]) -> list[RateCard]:
    """Cards of lines on which some card has a quota, steps or packages."""
    lines = laddered_lines(book)
    return [card for card in book if card.line in lines]


def laddered_lines(book: Sequence[RateCard]) -> frozenset[str]:
    """Lines of the book on which some card counts the month."""
    return frozenset(line for line in {card.line for card in book} if book_of([card for card in book if card.line == line]).slots)


def month_begins(card: RateCard, moment: int) -> int:
    """When the month of `moment` began in the card's zone (Unix seconds)."""
    local = datetime.fromtimestamp(moment, UTC).astimezone(ZoneInfo(card.time_zone))
    return int(local.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0).timestamp())


def months_of(runs: pl.DataFrame, book: Sequence[RateCard]) -> pl.DataFrame:
    """The months that the price of `runs` (payer, rate_card, ended, end_at) depends on: payer, line, and [begins, ends) with
    room for the other zones that cards of the line may count it in (Unix seconds); none where no card of it counts."""
    cards = {card.name: card for card in counting(book)}
    counted = runs.filter(pl.col("ended") & pl.col("rate_card").is_in(list(cards))).select("payer", "rate_card", "end_at").unique()
    found = {(payer, cards[name].line, month_begins(cards[name], end)) for payer, name, end in counted.iter_rows()}
    return pl.DataFrame([(payer, line, begins - DAY, begins + 33 * DAY) for payer, line, begins in sorted(found)], orient="row", schema={
        "payer": pl.String, "line": pl.String, "begins": pl.Int64, "ends": pl.Int64})


def begun(stored: pl.DataFrame, cards: Sequence[RateCard], since: int) -> pl.DataFrame:
    """Of runs with a `rate_card`, those in months that are there whole when all since the earliest `month_begins` are."""
    starts = pl.DataFrame({"rate_card": [card.name for card in cards], "_begins": [month_begins(card, since) for card in cards]},
                          schema={"rate_card": pl.String, "_begins": pl.Int64})
    dated = stored.join(starts, on="rate_card", how="left", maintain_order="left")
    return dated.filter(pl.col("end_at") >= pl.col("_begins")).drop("_begins")


def priced_by_month(stored: pl.DataFrame, book: Sequence[RateCard]) -> pl.DataFrame:
    """Runs of whole months (STORED_SCHEMA, each with its card) whose charge is another when they are counted together."""
    carded = stored.drop(name for name in CHARGE_SCHEMA if name != "rate_card").rename({"tier": "_tier", "rate_card": "tier"})
    priced = rate(carded, book_of(book, by_name=True)).drop("tier").rename({"_tier": "tier"}).select(stored.columns)
    moved = pl.any_horizontal(priced[name] != stored[name] for name in CHARGE_SCHEMA)
    return priced.filter(stored.select(moved).to_series()) if len(stored) else stored
