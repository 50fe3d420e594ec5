"""Publish rate cards. A card takes over from its valid_from; unbilled jobs that ended since are priced anew."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import RateError
from engine.policy import allow
from engine.ports import Transaction
from engine.rate_text import card_facts
from engine.rates import DEFAULT_CARDS, RateCard, next_version
from engine.services.usage import reprice
from engine.users import Action, Person


def ensure_default_cards(tx: Transaction) -> int:
    """Put the default card of each tier into an empty book; how many were put."""
    if tx.rates.book():
        return 0
    tx.rates.lock()
    if tx.rates.book():                         # somebody else was putting them
        return 0
    for card in DEFAULT_CARDS:
        _add(tx, card, "system")
    return len(DEFAULT_CARDS)


def publish_cards(tx: Transaction, cards: Sequence[RateCard], by: Person) -> list[RateCard]:
    """Publish `cards` in order, all or none; returns them with their versions.

    Refused when a card does not follow the newest of its tier, or begins before a job that is billed already.
    """
    allow(by, Action.SET_RATES)
    tx.rates.lock()
    published = []
    for card in cards:
        versioned = next_version(card, tx.rates.book())
        _check_not_billed(tx, versioned)
        if card.tier:
            tx.payers.ensure_tier(card.tier)
        _add(tx, versioned, by.name)
        published.append(versioned)
    for card in published:
        reprice(tx, tier=card.tier, since=card.valid_from)
    return published


def _check_not_billed(tx: Transaction, card: RateCard) -> None:
    last = tx.rates.last_billed_end(card.tier)
    if last is not None and card.valid_from <= last:
        raise RateError(f"Receipts were issued for jobs of tier {card.tier} that ended up to {last.isoformat()}; "
                        f"valid_from {card.valid_from.isoformat()} must be later.")


def _add(tx: Transaction, card: RateCard, by: str) -> None:
    tx.rates.publish(card, by)
    tx.audit.record("rates.published", f"rate_card:{card.name}", **card_facts(card))
