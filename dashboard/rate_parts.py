"""Parts of the rate-card page: the card of each line now, every version with what it says, and what changed between two."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from dashboard import rate_words, tables, words
from dashboard.reads_operations import RateBook
from dashboard.words import count, moment, plain
from engine.money import exact_text
from engine.rate_text import card_to_text, difference
from engine.rates import METERS, Price, RateCard

MOST_PRICES = 6                             # of a card in its tile; the others stand below


def line_card(book: RateBook, line: str) -> None:
    """The card that prices a tier or a project now, and the one that comes next."""
    card, coming = book.valid(line), book.coming(line)
    whose = count(book.payers.get(line, 0), "payer") if line in book.payers else "for all tiers"
    with tables.card(plain(line.removeprefix("project:")), whose if line in book.payers else f"project, {whose}", height="stretch"):
        if card is None:
            st.markdown(":gray[No card is valid yet.]")
        else:
            tables.rows_of([(f"{plain(rate_words.meter_name(price))}, per {words_of_unit(price)}", rate_words.short(price))
                            for price in card.prices[:MOST_PRICES]]
                           + ([("A month costs at least", rate_words.least(card))] if card.commitment_micro else []))
            _foot(card, len(card.prices) - MOST_PRICES)
        if coming:
            st.badge(f"{coming.name} from {words.day(coming.valid_from, book.now)}", color="orange",
                     icon=":material/event_upcoming:")


def words_of_unit(price: Price) -> str:
    """What one price is for: `core-hour`; of a package, its units."""
    return rate_words.units(price.meter) if price.package else rate_words.Meter(price.meter).unit


def _foot(card: RateCard, hidden: int) -> None:
    parts = [plain(card.name), rate_words.since(card), str(card.policy), card.currency]
    more = [f"{hidden} more prices"] if hidden > 0 else []
    if card.modifiers:
        more.append("with " + ", ".join(plain(one.name) for one in card.modifiers))
    st.markdown(tables.small(" · ".join([*parts, *more])))


def history(book: RateBook, cards: Sequence[RateCard], key: str) -> list[int]:
    """Cards with what they say, the currency only where there are several; the answer is the selected row."""
    decimals, currencies = price_decimals(cards), {card.currency for card in cards}
    several = {"currency": tables.text_column("", 48)} if len(currencies) > 1 else {}
    return tables.table(
        pl.DataFrame({
            "name": [card.name for card in cards], "state": [tables.pill(book.state(card)) for card in cards],
            "from": ["the beginning" if card.valid_from.year < 2000 else moment(card.valid_from, book.now) for card in cards],
            **{meter: [_major(card, meter) for card in cards] for meter in METERS},
            **({"currency": [card.currency for card in cards]} if several else {}), "policy": [str(card.policy) for card in cards],
            "more": [rate_words.more(card) for card in cards], "note": [card.note for card in cards]},
            schema_overrides={meter: pl.Float64() for meter in METERS}),
        {"name": tables.text_column("Card", 118), "state": tables.state_column("State", 88, ["active", "scheduled", "expired"]),
         "from": tables.text_column("Valid from", 96),
         **{meter: tables.money_column(f"1 {words.METER_UNITS[meter]}", 72, decimals) for meter in METERS}, **several,
         "policy": tables.text_column("Bills", 78), "more": tables.text_column("Also", 176),
         "note": tables.text_column("Note", 228 - 48 * len(several))},
        key=key, select="single-row", alt="Rate cards, newest first")


def _major(card: RateCard, meter: str) -> float | None:
    return card.price_micro(meter) / 1e6 if card.price(meter) else None


def price_decimals(cards: Sequence[RateCard]) -> int:
    """Decimals that show every CPU, GPU and memory price of `cards` exactly, two at least."""
    return max((len(exact_text(card.price_micro(meter)).partition(".")[2]) for card in cards for meter in METERS), default=2)


def one_card(book: RateBook, card: RateCard) -> None:
    """A card in words, beside its text or what changed in it since another version of its line."""
    left, right = st.columns([1.25, 1])
    with left, tables.card(plain(card.name), plain(card.note)):
        in_words(card)
        published = book.published[card.name]
        st.markdown(tables.small(f"Published by {plain(published.by)} on {words.moment(published.at, book.now)}"))
    older = [other for other in book.of(card.line) if other.version < card.version]
    with right, tables.card("As text"):
        against = st.selectbox("Compared with", [None, *older], key=f"against_{card.name}", label_visibility="collapsed",
                               format_func=lambda other: f"Changes since {other.name}" if other else "The card itself")
        changed = difference(against, card) if against else ""
        if against and not changed:
            st.markdown(f":gray[It says the same as {plain(against.name)}.]")
        else:
            st.code(changed or card_to_text(card), language="diff" if against else "yaml")
        st.download_button("YAML", card_to_text(card), f"{card.name.replace(':', '-')}.yaml", "text/yaml", icon=":material/download:",
                           on_click="ignore")


def in_words(card: RateCard) -> None:
    """Every price, factor and rule of a card."""
    found = rate_words.rows(card)
    decimals = max(len(exact_text(micro).partition(".")[2]) for row in found for micro in (row.price_micro, row.once_micro))
    once = {"once": tables.money_column("once", 66, decimals)} if any(row.once_micro for row in found) else {}
    tables.table(
        pl.DataFrame({
            "meter": [row.meter for row in found], "part": [row.part for row in found],
            "price": [row.price_micro / 1e6 for row in found], "unit": [row.unit for row in found],
            "once": [row.once_micro / 1e6 if row.once_micro else None for row in found]}, schema_overrides={"once": pl.Float64()}),
        {"meter": tables.text_column("Meter", 92), "part": tables.text_column("Of a month's use", 140),
         "price": tables.money_column(card.currency, 80, decimals), "unit": tables.text_column("", 142), **once},
        key=f"prices_{card.name}", alt="Prices of this card")
    if card.modifiers:
        st.markdown("**Factors on time**, one after the other")
        tables.rows_of([(plain(label), when) for label, when in map(rate_words.modifier, card.modifiers)])
        st.markdown("**Rules**")
    tables.rows_of(rate_words.rest(card))
