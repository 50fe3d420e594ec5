"""What the what-if page shows: a period by draft cards, from the analytics copy. Draws nothing; the page has asked the role."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from time import monotonic

import polars as pl
import streamlit as st

from dashboard import words
from dashboard.connection import store
from data.what_if import tried
from engine.errors import DomainError
from engine.rate_reading import naming_lines, read_drafts
from engine.rate_text import cards_from_text
from engine.rates import RateCard
from engine.rerating import Effect
from engine.users import Person

DAYS = 90
KEPT_SECONDS, MOST_KEPT = 120, 8
IN_PASSING = 50_000             # jobs on receipts that may be told apart while somebody waits for the page


@dataclass(frozen=True, slots=True)
class Answer:
    """What the drafts would make of the period, or why they cannot be tried."""

    drafts: tuple[RateCard, ...]
    effect: Effect | None
    refusal: str = ""


def usual_days(now: datetime) -> tuple[date, date]:
    """The last 90 days of the site, today included."""
    today = now.astimezone(words.zone()).date()
    return today - timedelta(days=DAYS - 1), today


def answer(text: str, first: date, last: date, by: Person, progress: Callable[[float], None]) -> Answer:
    """The cards of `text` over the site's days [first, last]. `progress` is told the share that is done."""
    try:
        drafts = read_drafts(text)
        with naming_lines(drafts):
            return Answer(tuple(draft.card for draft in drafts), _kept(text, first, last, by, progress))
    except DomainError as refusal:
        return Answer((), None, refusal.sentence)


def _kept(text: str, first: date, last: date, by: Person, progress: Callable[[float], None]) -> Effect:
    """Kept for two minutes in the session of the person who types prices."""
    kept: dict[object, tuple[float, Effect]] = st.session_state.setdefault("what_if_kept", {})
    key, now = (text, first, last, by.name, by.role), monotonic()
    for old in [old for old, (until, _) in kept.items() if until < now] + list(kept)[:-MOST_KEPT]:
        kept.pop(old, None)
    if key not in kept:
        kept[key] = now + KEPT_SECONDS, _tried(text, first, last, by, progress)
    return kept[key][1]


def _tried(text: str, first: date, last: date, by: Person, progress: Callable[[float], None]) -> Effect:
    zone = words.zone()
    since = datetime.combine(first, time(), zone)
    until = datetime.combine(last + timedelta(days=1), time(), zone)
    return tried(store(), cards_from_text(text), since, until, by, most_receipted=IN_PASSING, progress=progress)


def forget() -> None:
    """Prices or jobs are others now."""
    st.session_state.pop("what_if_kept", None)


def rerating(drafts: tuple[RateCard, ...], by: Person) -> Effect:
    """What re-rating by `drafts` would do now, jobs on receipts told apart however many they are."""
    return tried(store(), drafts, min(card.valid_from for card in drafts), None, by, dated=True)


def days(effect: Effect, first: date, last: date) -> pl.DataFrame:
    """One row a day of [first, last]: `day`, `before_micro`, `after_micro`; zero where nothing ended."""
    every = pl.DataFrame({"day": pl.date_range(first, last, "1d", eager=True)})
    found = effect.by("day").select(pl.col("name").str.to_date().alias("day"), "before_micro", "after_micro")
    return every.join(found, on="day", how="left", maintain_order="left").with_columns(pl.col("before_micro", "after_micro").fill_null(0))


def dated(drafts: tuple[RateCard, ...], begins: datetime, reason: str = "") -> tuple[RateCard, ...]:
    """`drafts` from `begins` on (of several, the first), with the reason as their note."""
    shift = begins - min(card.valid_from for card in drafts)
    return tuple(replace(card, valid_from=card.valid_from + shift, note=reason or card.note) for card in drafts)
