"""Who is billed at which tier. A change prices what is unbilled anew; receipts keep the tier they were made with."""

from __future__ import annotations

from engine.errors import NotFound, RateError
from engine.payers import Payer
from engine.policy import allow
from engine.ports import Transaction
from engine.services.usage import reprice
from engine.users import Action, Person


def set_tier(tx: Transaction, name: str, tier: str, by: Person, reason: str = "") -> Payer:
    """Bill `name` at `tier` from now on, unbilled jobs included. A payer met for the first time is made."""
    allow(by, Action.SET_TIER)
    if not 0 < len(name) <= 256:
        raise NotFound("A payer's name has 1 to 256 letters.")
    tx.rates.hold()
    _check_tier(tx, tier)
    was = tx.payers.lock(name)
    if was is None:
        tx.payers.ensure([name], tier)
    elif was.tier == tier:
        return was
    tx.payers.set_tier(name, tier)
    tx.audit.record("payer.tier_set", f"payer:{name}", tier=tier, was=was.tier if was else None, reason=reason)
    reprice(tx, payer=name)
    return Payer(name, tier)


def _check_tier(tx: Transaction, tier: str) -> None:
    tiers = tx.payers.tiers()
    if tier not in tiers:
        raise NotFound(f"Tier {tier!r} is not one of {', '.join(tiers)}.")
    if not any(card.tier == tier for card in tx.rates.book()):
        raise RateError(f"Tier {tier!r} has no rate card yet: publish one first.")
