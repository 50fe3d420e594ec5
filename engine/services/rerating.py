"""Price again what has its price: see what other cards would make of it, or publish cards that reach back.

Nothing issued is edited. A job that is on no receipt gets the new price; one that is keeps what it was billed, and its
next receipt carries the difference as an adjustment. Runs are held and written in ascending run key, lot by lot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from engine.policy import allow
from engine.ports import Transaction
from engine.rate_text import card_facts
from engine.rates import RateCard
from engine.rerating import SUMS, Drafted, Effect, added, drafted, priced, summed, unpublished
from engine.revisions import facts
from engine.services.months import settle_months
from engine.services.rates import check_billable
from engine.users import Action, Person


@dataclass(frozen=True, slots=True)
class Rerated:
    """What a re-rating did: the cards it published, none when the book said all of it already, and what that changed."""

    cards: tuple[RateCard, ...]
    effect: Effect | None


def shadow(tx: Transaction, drafts: Sequence[RateCard], since: datetime | None, until: datetime | None, by: Person,
           dated: bool = False) -> Effect:
    """What the jobs that ended in [since, until) would cost by `drafts`; nothing is written.

    With `dated` the drafts hold from their own valid_from on, as re-rating them would have it; without, always.
    """
    allow(by, Action.SEE_FINANCE)
    new = drafted(tx.rates.book(), drafts, dated)
    sums = added(_lots(tx, new, since, until))
    return Effect(tuple(new.names), new.currency, since, until, sums)


def receipted(tx: Transaction, new: Drafted, since: datetime | None, until: datetime | None) -> pl.DataFrame:
    """Of the jobs that ended in [since, until) and stand on receipts: how many the drafts price, and what would change
    (SUM_SCHEMA with zeros else): what the analytics copy does not know."""
    others = [pl.lit(0, pl.Int64).alias(name) for name in SUMS if not name.startswith("receipted")]
    return added(sums.with_columns(others) for sums in _lots(tx, new, since, until, receipted=not new.by_month))


def _lots(tx: Transaction, new: Drafted, since: datetime | None, until: datetime | None, receipted: bool = False) -> Iterator[pl.DataFrame]:
    """The sums of every lot of jobs."""
    for lot in tx.rerating.ended(new.tiers, new.projects, new.begin(since), until, receipted=receipted, by_payer=new.by_month):
        yield summed(priced(lot, new), tx.settings.zone.key, since)


def rerate_cards(tx: Transaction, drafts: Sequence[RateCard], by: Person, reason: str = "") -> Rerated:
    """Publish `drafts`, which may begin before published cards and before issued receipts, and price anew what they price.

    All or nothing. Cards that the book holds already, in the same terms from the same instant, are left out: doing it
    twice changes nothing.
    """
    allow(by, Action.SET_RATES)
    tx.rates.lock()
    book = tx.rates.book()
    fresh = unpublished(book, drafts)
    if drafts and not fresh:
        return Rerated((), None)
    new = drafted(book, fresh, dated=True)
    for card in new.drafts:
        check_billable(card)
        if card.tier:
            tx.payers.ensure_tier(card.tier)
        tx.rates.publish(card, by.name)
        tx.audit.record("rates.published", f"rate_card:{card.name}", **card_facts(card))
    effect = _price_again(tx, new)
    if new.by_month:                            # runs of other cards in the same months, where what is counted changed
        settle_months(tx, tx.rates.book(), effect.by("payer")["name"].to_list(), int(new.since.timestamp()))
    tx.audit.record("rates.rerated", f"rate_card:{new.names[0]}", cards=", ".join(new.names), reason=reason or new.drafts[0].note,
                    runs=effect.jobs, difference_micro=effect.difference_micro, receipted_runs=effect.total("receipted_jobs"),
                    receipted_difference_micro=effect.total("receipted_difference_micro"), currency=effect.currency)
    return Rerated(new.drafts, effect)


def _price_again(tx: Transaction, new: Drafted) -> Effect:
    """Write what the drafts make of the runs they price; of those that ended, the sums."""
    sums = added(summed(_write(tx, stored, new), tx.settings.zone.key)
                 for stored in tx.rerating.held(new.tiers, new.projects, new.begin(new.since) or new.since, new.until,
                                                by_payer=new.by_month))
    return Effect(tuple(new.names), new.currency, new.since, new.until, sums)


def _write(tx: Transaction, stored: pl.DataFrame, new: Drafted) -> pl.DataFrame:
    rated = priced(stored, new)
    if not rated.is_empty():
        tx.rerating.write(rated)
        tx.lake.add(pl.concat([facts(stored.join(rated, on="id", how="semi"), -1), facts(rated)]))
    return rated
