"""Quote a job for somebody: at which tier, by which cards, and what that person owes already. Reads only.

Whose prices may be asked: one's own by everybody; another payer's or tier's by whoever may see all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from engine.errors import NotAllowed
from engine.policy import allow, allow_payer
from engine.ports import Transaction
from engine.quotes import Prices, Quote, quote, use_moments, used_before
from engine.sbatch import Request
from engine.users import Action, Person

A_MINUTE = timedelta(minutes=1)             # now is the next full minute
A_MONTH = timedelta(days=33)                # back to the beginning of a month in any zone


@dataclass(frozen=True, slots=True)
class Owing:
    """What a payer owes today, in micro-units by currency. There is no balance to set against it yet: `balance` is None."""

    payer: str
    open_receipts: Mapping[str, int]
    unbilled: Mapping[str, int]
    since: datetime
    balance: None = None


@dataclass(frozen=True, slots=True)
class Quoted:
    """The quote, and what its payer owes (None when it is nobody's)."""

    quote: Quote
    owing: Owing | None


def make_quote(tx: Transaction, asked: Request, by: Person, payer: str = "", tier: str = "") -> Quoted:
    """Price `asked` for `payer` at their tier, or at `tier`; it starts when it was asked to, else now.

    Without a payer and a tier it is the site's default tier; a payer nobody has met begins there too.
    """
    if payer:
        allow_payer(by, payer, own=Action.SEE_OWN, others=Action.SEE_ALL)
    own = next((one.tier for one in tx.payers.all() if one.name == payer), tx.settings.default_tier)
    if tier and tier != own:
        allow(by, Action.SEE_RATES)
    prices = Prices(tier or own, tx.rates.book())
    _check_project(tx, asked, prices, by, payer)
    start = asked.begin.replace(microsecond=0) if asked.begin else (tx.now + A_MINUTE).replace(second=0, microsecond=0)
    if payer and prices.laddered(asked):
        prices = _with_use(tx, asked, start, prices, payer)
    return Quoted(quote(asked, start, prices), owing(tx, payer) if payer else None)


def _with_use(tx: Transaction, asked: Request, start: datetime, prices: Prices, payer: str) -> Prices:
    """The prices with what `payer` used in the month the job ends in, and in those since: up to its end where that is past."""
    end = start + timedelta(seconds=asked.seconds)
    moments = use_moments(end, tx.now, ZoneInfo(prices.card(asked, end).time_zone))
    runs = tx.quotes.runs(payer, moments[0] - A_MONTH)
    return replace(prices, used=pl.concat([used_before(runs, prices, asked, payer, at) for at in moments]), now=tx.now)


def _check_project(tx: Transaction, asked: Request, prices: Prices, by: Person, payer: str) -> None:
    """What a project pays is for those who compute in it, lead it, or may see the rate book."""
    if by.may(Action.SEE_RATES) or not any(card.project for card in prices.cards(asked)):
        return
    if asked.account not in (*by.projects, *tx.quotes.accounts(payer)):
        raise NotAllowed(f"Project {asked.account} has prices of its own, for those who compute in it.")


def owing(tx: Transaction, payer: str) -> Owing:
    """Pending receipts of `payer`, and what ended since the site's month began and is on none of them."""
    month = tx.now.astimezone(tx.settings.zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    receipts: dict[str, int] = {}
    for one in tx.receipts.all([payer], ["pending"]):
        receipts[one.currency] = receipts.get(one.currency, 0) + one.total_micro
    return Owing(payer, receipts, tx.quotes.unbilled_micro(payer, month), month)
