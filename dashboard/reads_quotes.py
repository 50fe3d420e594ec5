"""What the quote page shows, read in one go: what there is to choose from, and the quote itself. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dashboard.connection import store
from data.postgres.store import PostgresTransaction
from engine.quotes import gpu_models
from engine.sbatch import Request
from engine.services.quotes import Quoted, make_quote
from engine.users import Action, Person


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person may choose: `tier` is their own, `tiers` all there are (empty where a role has no choice), `accounts` those
    they computed in or lead, `models` the GPUs any of today's cards names."""

    payer: str
    tier: str
    tiers: tuple[str, ...]
    accounts: tuple[str, ...]
    models: tuple[str, ...]
    now: datetime


def choices(person: Person) -> Choices:
    """What there is to choose from."""
    return store().read(lambda tx: _choices(tx, person))


def _choices(tx: PostgresTransaction, person: Person) -> Choices:
    book = tx.rates.book()
    tier = tx.usage_reads.tier_of(person.payer) or tx.settings.default_tier
    tiers = sorted({card.tier for card in book if card.tier}) if person.may(Action.SEE_RATES) else []
    accounts = sorted({*tx.quotes.accounts(person.payer), *person.projects})
    return Choices(person.payer, tier, tuple(tiers), tuple(accounts), gpu_models(book), tx.now)


def quoted(person: Person, asked: Request, tier: str = "") -> Quoted:
    """The quote for this person; refusals are raised."""
    return store().read(lambda tx: make_quote(tx, asked, person, person.payer, tier))
