"""Price usage: what comes in by its payer's tier of now, what is billed by the card its receipt was made with.

Reads, lets rating and revisions decide, writes. Rows are written in ascending run key.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from engine.ports import Transaction
from engine.rate_frames import Book, book_of
from engine.rates import RateCard
from engine.rating import CHARGE_SCHEMA, rate
from engine.revisions import facts
from engine.services.months import settle_months, with_their_months
from engine.usage import Asked


def used(tx: Transaction, asked: Asked) -> pl.DataFrame:
    """Known usage with its charge (STORED_SCHEMA), by the time it ended; what has not ended comes last and costs nothing yet.

    By another policy each is priced by its card; where that counts the month, with all else its payer used in it.
    """
    rows = tx.usage.listed(asked)
    if asked.policy is None:
        return rows
    book = tx.rates.book()
    whole = with_their_months(tx, rows, book)
    priced = price_locked(whole.drop(name for name in CHARGE_SCHEMA if name != "rate_card"), book, asked.policy)
    return priced.head(len(rows)).select(rows.columns)


def price(usage: pl.DataFrame, tiers: pl.DataFrame, book: Book | Sequence[RateCard]) -> pl.DataFrame:
    """`usage` with payer, tier and charge. `tiers` has one row a payer: payer, tier."""
    payers = usage.select(payer="user_name")
    tiered = usage.hstack(payers.join(tiers, on="payer", how="left", maintain_order="left"))
    return rate(tiered, book)


def price_locked(usage: pl.DataFrame, book: list[RateCard], policy: str | None = None) -> pl.DataFrame:
    """`usage`, which has payer, tier and rate_card of its receipt, priced by that card again, whenever it ended now."""
    carded = usage.rename({"tier": "locked_tier", "rate_card": "tier"})
    return rate(carded, book_of(book, by_name=True), policy).drop("tier").rename({"locked_tier": "tier"})


def reprice(tx: Transaction, payer: str | None = None, tier: str | None = None, since: datetime | None = None,
            project: str | None = None) -> int:
    """Price unbilled usage by its payer's tier and the book of now; how many runs now cost something else.

    Of one payer, of all at `tier`, or of all that was run in `project`; with `since` only what ended at or after it, or
    has not ended.
    """
    stored = tx.usage.unbilled(payer, tier, since, project)
    priced = rate(stored.drop("tier", *CHARGE_SCHEMA).rename({"payer_tier": "tier"}), tx.rates.book())
    was = stored.select(pl.col("tier", *CHARGE_SCHEMA).name.prefix("was_"))
    both = pl.concat([priced, was], how="horizontal")
    moved = pl.any_horizontal(pl.col(name) != pl.col(f"was_{name}") for name in ("tier", *CHARGE_SCHEMA))
    changed = both.filter(moved)
    if changed.is_empty():
        return 0
    tx.usage.store_charges(changed)
    tx.lake.add(pl.concat([facts(stored.filter(both.select(moved).to_series()), -1), facts(changed)]))
    settle_months(tx, tx.rates.book(), changed["payer"].unique(), min(changed["end_at"].drop_nulls(), default=None))
    return len(changed)
