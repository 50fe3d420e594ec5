"""Publish rate cards. A card takes over from its valid_from; unbilled jobs that ended since are priced anew."""

from __future__ import annotations

from collections.abc import Sequence

from engine.calendars import largest_ppm
from engine.commitments import month_end
from engine.errors import RateError
from engine.policy import allow
from engine.ports import Transaction
from engine.rate_reading import Draft, naming_lines, read_drafts
from engine.rate_text import card_facts
from engine.rates import DEFAULT_CARDS, CardConflict, RateCard, next_version
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


def publish_text(tx: Transaction, text: str, by: Person) -> list[RateCard]:
    """Publish the cards that `text` (YAML or JSON) holds, all or none. Every refusal names the line in the text."""
    drafts = read_drafts(text)
    return publish_cards(tx, [draft.card for draft in drafts], by, drafts)


def publish_cards(tx: Transaction, cards: Sequence[RateCard], by: Person, drafts: Sequence[Draft] = ()) -> list[RateCard]:
    """Publish `cards` in order, all or none; returns them with their versions. `drafts` say where each stands in a text.

    Refused when a card does not follow the newest of its line, or begins before a job that is billed already.
    """
    allow(by, Action.SET_RATES)
    tx.rates.lock()
    published = [_publish(tx, card, by, drafts[number] if drafts else None) for number, card in enumerate(cards)]
    for card in published:
        reprice(tx, tier=card.tier or None, since=card.valid_from, project=card.project or None)
    return published


def check_cards(tx: Transaction, drafts: Sequence[Draft]) -> list[RateCard]:
    """What publishing `drafts` would make of them, or its refusal; nothing is written."""
    book = tx.rates.book()
    for draft in drafts:
        book.append(_checked(tx, draft.card, book, draft))
    return book[len(book) - len(drafts):]


def _publish(tx: Transaction, card: RateCard, by: Person, draft: Draft | None) -> RateCard:
    versioned = _checked(tx, card, tx.rates.book(), draft)
    if card.tier:
        tx.payers.ensure_tier(card.tier)
    _add(tx, versioned, by.name)
    return versioned


def _checked(tx: Transaction, card: RateCard, book: Sequence[RateCard], draft: Draft | None) -> RateCard:
    """`card` with its version; a conflict with what is published or billed is refused, with its line where there is a draft."""
    with naming_lines([draft] if draft else []):
        check_billable(card)
        versioned = next_version(card, book)
        _check_not_billed(tx, versioned)
        return versioned


def check_billable(card: RateCard) -> None:
    """Refuse factors that are too large for any job."""
    try:
        largest_ppm(card.modifiers)
    except RateError as error:
        raise CardConflict(card, "modifiers", error.detail) from None


def _check_not_billed(tx: Transaction, card: RateCard) -> None:
    last = tx.rates.last_billed_end(card.tier, card.project)
    if last is not None and card.valid_from <= last:
        whose = f"tier {card.tier}" if card.tier else f"project {card.project}"
        raise CardConflict(card, "valid_from", f"Receipts were issued for jobs of {whose} that ended up to {last.isoformat()}; "
                           f"valid_from {card.valid_from.isoformat()} must be later. To price billed jobs again, re-rate them: "
                           "./corehours rates rerate.")
    month = tx.commitments.last_billed_month(card.line)
    if month is not None and card.valid_from < (ends := month_end(month, tx.settings.zone)):
        raise CardConflict(card, "valid_from", f"The minimum of {month:%B %Y} stands on receipts; valid_from {card.valid_from.isoformat()} "
                           f"must be {ends.isoformat()} or later. To price billed months again, re-rate them: "
                           "./corehours rates rerate.")


def _add(tx: Transaction, card: RateCard, by: str) -> None:
    tx.rates.publish(card, by)
    tx.audit.record("rates.published", f"rate_card:{card.name}", **card_facts(card))
