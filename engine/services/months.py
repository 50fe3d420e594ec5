"""Whole months, kept right and read: what one run costs may depend on what its payer used before in the month.

`settle_months` is called in the transaction that added, corrected or re-priced runs, after it did so; nothing happens where no card counts
the month. A run on a receipt keeps what it was billed: its next receipt carries the difference.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import polars as pl

from engine.months import begun, counting, month_begins, months_of, priced_by_month
from engine.ports import Transaction
from engine.rates import RateCard
from engine.revisions import facts

PAYERS_AT_ONCE = 100


def settle_months(tx: Transaction, book: Sequence[RateCard], payers: Collection[str], since: int | None) -> int:
    """Price anew what `payers` ran from the month of `since` (Unix seconds) on; how many runs now cost something else.

    The caller holds the rate book and the payers.
    """
    cards = counting(book)
    if not cards or since is None:
        return 0
    first, names = min(month_begins(card, since) for card in cards), sorted(payers)
    return sum(_settle(tx, book, cards, names[start:start + PAYERS_AT_ONCE], first, since)
               for start in range(0, len(names), PAYERS_AT_ONCE))


def with_their_months(tx: Transaction, runs: pl.DataFrame, book: Sequence[RateCard]) -> pl.DataFrame:
    """`runs` (STORED_SCHEMA), and behind them whatever else of the months they must be priced with; reads only."""
    months = months_of(runs, book)
    if months.is_empty():
        return runs
    others = tx.rerating.in_months(*(months[name].to_list() for name in ("payer", "line", "begins", "ends")))
    return pl.concat([runs, others]).unique("run_key", keep="first", maintain_order=True)


def _settle(tx: Transaction, book: Sequence[RateCard], cards: Sequence[RateCard], payers: list[str], first: int, since: int) -> int:
    stored = begun(tx.rerating.months(payers, [card.name for card in cards], first), cards, since)
    changed = priced_by_month(stored, book)
    if changed.is_empty():
        return 0
    tx.rerating.write(changed)
    tx.lake.add(pl.concat([facts(stored.join(changed, on="id", how="semi", maintain_order="left"), -1), facts(changed)]))
    return len(changed)
