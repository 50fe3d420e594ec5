"""Quote a job for somebody: at which tier, by which cards, what that person owes already, and which wallets cover it. Reads only.

Whose prices may be asked: one's own by everybody; another payer's or tier's by whoever may see all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import polars as pl

from engine.errors import NotAllowed
from engine.policy import allow, allow_payer
from engine.ports import Transaction
from engine.quotes import Prices, Quote, quote, use_moments, used_before
from engine.sbatch import Request
from engine.services.wallets import currencies_of, owners_of
from engine.users import Action, Person
from engine.wallets import Cover, project_of, project_owner

A_MINUTE = timedelta(minutes=1)             # now is the next full minute
A_MONTH = timedelta(days=33)                # back to the beginning of a month in any zone


@dataclass(frozen=True, slots=True)
class Owing:
    """What a payer owes today, in micro-units by currency."""

    payer: str
    open_receipts: Mapping[str, int]
    unbilled: Mapping[str, int]
    since: datetime

    def all_of_it_micro(self, currency: str) -> int:
        """In one currency, receipts and what is on none of them yet."""
        return self.open_receipts.get(currency, 0) + self.unbilled.get(currency, 0)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a wallet stands to the quote, and where it is filled (empty: it takes another currency, or may not be filled by who asks)."""

    cover: Cover
    top_up: str


@dataclass(frozen=True, slots=True)
class Quoted:
    """The quote, what its payer owes (None when it is nobody's), and the wallets it could be paid from, the payer's own first."""

    quote: Quote
    owing: Owing | None
    wallets: tuple[Standing, ...] = ()


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
    made = quote(asked, start, prices)
    if not payer:
        return Quoted(made, None)
    owes = owing(tx, payer)
    return Quoted(made, owes, tuple(_standing(tx, owner, made, owes, by) for owner in _owners(tx, payer, by)))


def _owners(tx: Transaction, payer: str, by: Person) -> list[str]:
    """The wallets that may pay it: those that are `by`'s to use; of another payer theirs, and those of projects they share."""
    if by.payer == payer:
        return owners_of(tx, by)
    own = [payer] if project_of(payer) is None else []
    return [*own, *(project_owner(project) for project in tx.wallets.shared_by_payer(payer))]


def _standing(tx: Transaction, owner: str, made: Quote, owes: Owing, by: Person) -> Standing:
    currency = made.card.currency
    owed = owes.all_of_it_micro(currency) if owner == owes.payer else 0
    may = by.may(Action.PAY) and (by.payer == owes.payer or by.may(Action.SETTLE)) and currency in currencies_of(tx, owner)
    place = f"{tx.settings.dashboard_url.rstrip('/')}/top-up?{urlencode({'owner': owner})}" if may else ""
    return Standing(Cover(tx.wallets.get(owner, currency), made.total_micro, owed), place)


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
