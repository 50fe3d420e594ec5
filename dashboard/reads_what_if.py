"""What the what-if page shows: a period by draft cards, from the analytics copy. Draws nothing; the page has asked the role."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

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


def answer(text: str, first: date, last: date, by: Person) -> Answer:
    """The cards of `text` over the site's days [first, last]."""
    try:
        drafts = read_drafts(text)
        with naming_lines(drafts):
            return Answer(tuple(draft.card for draft in drafts), _tried(text, first, last, by.name, by.role.value, by))
    except DomainError as refusal:
        return Answer((), None, refusal.sentence)


@st.cache_data(ttl=120, max_entries=64, show_spinner=False)
def _tried(text: str, first: date, last: date, person: str, role: str, _by: Person) -> Effect:
    """Kept for two minutes for the person who types prices."""
    zone = words.zone()
    since = datetime.combine(first, time(), zone)
    until = datetime.combine(last + timedelta(days=1), time(), zone)
    return tried(store(), cards_from_text(text), since, until, _by, most_receipted=IN_PASSING)


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
