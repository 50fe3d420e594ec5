"""A new rate card: the form for what is simple, the text for everything, what is in its way, and publishing it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import polars as pl
import streamlit as st

from dashboard import access, actions, rate_words, reads_operations, reads_what_if, tables, words
from dashboard.confirm import reason_form, yes_form
from dashboard.reads_operations import RateBook
from dashboard.words import count, moment, money, plain
from engine.errors import DomainError, RateError
from engine.meters import Meter
from engine.rate_text import amount, card_facts, card_to_text, cards_from_text, cards_to_text, difference
from engine.rates import Policy, Price, RateCard, Rounding, next_version
from engine.rerating import Effect
from engine.services.rates import publish_cards, publish_text
from engine.users import Person

AROUND = 2                                  # lines shown before and after the one that is refused


def first_day(newest: RateCard, now: datetime) -> datetime:
    """When a new card would begin: the first of the site's next month, or the day after the newest card begins."""
    local = now.astimezone(words.zone())
    following = (local.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)
    return max(following, newest.valid_from.astimezone(words.zone()).replace(hour=0, minute=0) + timedelta(days=1))


def fill_form(card: RateCard, begins: datetime) -> None:
    """Put a card's values into the form and its text into the text area."""
    local = begins.astimezone(words.zone())
    st.session_state.update({_key(price): amount(price.steps[0].micro_per_unit) for price in _plain_prices(card)})
    st.session_state.update({"rate_policy": card.policy, "rate_rounding": card.rounding, "rate_note": "", "rate_for": card.line,
                             "rate_day": local.date(), "rate_hour": time(local.hour, local.minute),
                             "rate_text": card_to_text(replace(card, version=0, valid_from=begins, note=""))})


def clear_form() -> None:
    """Forget what was typed."""
    for field in [key for key in st.session_state if str(key).startswith("rate_")]:
        del st.session_state[field]


def keep_form() -> None:
    """Keep what was typed in the half of the page that is not drawn: a widget that is not drawn forgets it."""
    for field in [key for key in st.session_state if str(key).startswith("rate_")]:
        st.session_state[field] = st.session_state[field]


def _plain_prices(card: RateCard) -> list[Price]:
    return [price for price in card.prices if price.is_plain]


def _key(price: Price) -> str:
    return f"rate_price_{price.meter}_{price.model}"


def form(newest: RateCard) -> RateCard | None:
    """The fields of a new card; the card they say, or None with the sentence of what is wrong."""
    simple = _plain_prices(newest)
    for start in range(0, len(simple), 3):
        for column, price in zip(st.columns(3), simple[start:start + 3], strict=False):
            column.text_input(f"{plain(rate_words.meter_name(price))}, {newest.currency} per {Meter(price.meter).unit}", key=_key(price),
                              max_chars=24)
    _kept(newest)
    left, right = st.columns(2)
    left.date_input("Valid from", key="rate_day", format="YYYY-MM-DD", help=f"In the site's zone, {words.zone()}")
    right.time_input("at", key="rate_hour", step=3600)
    left, right = st.columns(2)
    left.selectbox("Which quantity is billed", list(Policy), key="rate_policy", format_func=lambda word: rate_words.POLICY_WORDS[word])
    right.selectbox("What is rounded", list(Rounding), key="rate_rounding", format_func=lambda word: rate_words.ROUNDING_WORDS[word])
    st.text_input("Why (stands in the rate book)", key="rate_note", max_chars=200)
    try:
        return typed_card(newest)
    except DomainError as refusal:
        st.error(plain(re.sub(r"In line \d+, ", "In ", refusal.sentence)), icon=":material/error:")
        return None


def _kept(newest: RateCard) -> None:
    """Say what the form leaves as it is."""
    kept = [rate_words.meter_name(price) for price in newest.prices if not price.is_plain]
    kept += [one.name for one in newest.modifiers] + (["the month's minimum"] if newest.commitment_micro else [])
    if kept:
        st.markdown(tables.small(f"Kept as in {plain(newest.name)}: {', '.join(map(plain, kept))}. Change them as text."))


def typed_card(newest: RateCard) -> RateCard:
    """The card the form says: the newest with what was typed, read by the same reader as a file."""
    state = st.session_state
    if state["rate_day"] is None or state["rate_hour"] is None:
        raise RateError("Say from when it is valid.")
    begins = datetime.combine(state["rate_day"], state["rate_hour"], words.zone()).astimezone(UTC)
    facts = card_facts(newest) | {"valid_from": begins.isoformat(), "policy": str(state["rate_policy"]),
                                  "rounding": str(state["rate_rounding"]), "note": state["rate_note"].strip()}
    for price in _plain_prices(newest):
        place, name = facts["prices"], price.meter
        if isinstance(place[name], dict):
            place, name = place[name], price.model or "default"
        place[name] = state[_key(price)].strip()
    return cards_from_text(json.dumps(facts))[0]


def text_area() -> str:
    """Cards as text, of any tiers and projects."""
    return st.text_area("One card or several, as YAML", key="rate_text", height=430,
                        help="What ./corehours rates publish --file reads; see docs/rates.md")


def preview(text: str, book: RateBook) -> list[RateCard] | None:
    """What publishing the text would do, card by card; None, with the line in question, where it is refused."""
    try:
        cards = reads_operations.checked_cards(text)
    except DomainError as refusal:
        st.error(plain(refusal.sentence), icon=":material/error:")
        if near := lines_around(text, refusal.sentence):
            st.code(near, language="yaml")
        return None
    for card in cards:
        before = next(iter(book.of(card.line)), None)
        what = f"prices what ends from {moment(card.valid_from, book.now)} on"
        st.markdown(f"**{plain(card.name)}** {what}" + (f", after {plain(before.name)}" if before else ": the first of its line"))
        if before:
            st.code(difference(before, card) or "nothing else changes", language="diff")
    return cards


def lines_around(text: str, sentence: str) -> str:
    """The line a refusal names with its neighbours, numbered; empty when it names none."""
    named = re.search(r"In line (\d+)", sentence)
    if not named:
        return ""
    number = int(named[1])
    first = max(1, number - AROUND)
    near = text.splitlines()[first - 1:number + AROUND]
    return "\n".join(f"{'>' if place == number else ' '} {place:3} {line}" for place, line in enumerate(near, first))


def download(cards: Sequence[RateCard], name: str) -> None:
    """The cards as a file that `rates publish` reads."""
    text = card_to_text(cards[0]) if len(cards) == 1 else cards_to_text(cards)
    st.download_button("YAML", text if cards else "", f"{name.replace(':', '-')}.yaml", "text/yaml", icon=":material/download:",
                       on_click="ignore", disabled=not cards)


def what_if(card: RateCard, by: Person, progress: Callable[[float], None]) -> Effect | None:
    """What the last 90 days would have cost by `card`, from the analytics copy; None when it prices no job of them."""
    told = reads_what_if.answer(card_to_text(replace(card, version=0)), *reads_what_if.usual_days(datetime.now(UTC)), by, progress)
    return told.effect if told.effect and told.effect.jobs else None


def show_what_if(found: Effect, currency: str) -> None:
    """Sums before and after, and whom the difference falls on."""
    before, after, payers = found.before_micro, found.after_micro, found.by("payer")
    touched, accounts = (int((rows["difference_micro"] != 0).sum()) for rows in (payers, found.by("account")))
    tables.kpi_row([
        tables.Kpi("Last 90 days, as charged", money(before), count(found.jobs, "job")),
        tables.Kpi("By the new card", money(after), currency),
        tables.Kpi("Difference", signed(after - before), percent(before, after)),
        tables.Kpi("Payers it falls on", f"{touched} of {len(payers)}", f"in {count(accounts, 'account')}"),
    ])
    with tables.card("Who pays the difference", f"{currency}, 90 days · more on the page What if"):
        by = st.segmented_control("By", ["payer", "account"], default="payer", required=True, key="what_if_by",
                                  format_func=lambda word: f"By {word}", label_visibility="collapsed") or "payer"
        _by_whom(found.by(by), by)


def _by_whom(rows: pl.DataFrame, by: str) -> None:
    tables.table(
        rows.select("name", "jobs", before=pl.col("before_micro") / 1e6, after=pl.col("after_micro") / 1e6,
                    difference=pl.col("difference_micro") / 1e6),
        {"name": tables.text_column(by.capitalize(), 300), "jobs": tables.number_column("Jobs", 90),
         "before": tables.money_column("As charged", 150), "after": tables.money_column("New card", 150),
         "difference": tables.money_column("Difference", 150)}, key=f"what_if_{by}", alt="Cost before and after",
        height=9 * tables.ROW_HEIGHT)


def signed(micro: int) -> str:
    """`+12.00`, `−12.00`, `0.00`."""
    return ("+" if micro > 0 else "") + money(micro)


def percent(before: int, after: int) -> str:
    """The change as a whole percent; nothing when there was nothing before."""
    if not before:
        return ""
    change = round(100 * (after - before) / before)
    return f"{'+' if change > 0 else '−' if change < 0 else ''}{abs(change)}%"


@st.dialog("Publish this card?", icon=":material/sell:")
def ask_publish(card: RateCard, book: RateBook, found: Effect | None) -> None:
    """Say who is hit, then publish; a refusal is answered here."""
    by = access.me()
    try:
        name = next_version(card, book.cards).name
    except RateError as refusal:
        st.error(f"{plain(refusal.sentence)} Nothing was changed.", icon=":material/error:")
        return
    _said(replace(card, version=int(name.rpartition("-v")[2])), book)
    if found:
        st.markdown(f"The last 90 days would have cost **{signed(found.after_micro - found.before_micro)} {card.currency}** "
                    f"({percent(found.before_micro, found.after_micro) or 'no change'}).")
    st.markdown(":gray[Receipts keep the prices they were made with. A published card is never edited; a newer one replaces it.]")
    reason = _reason(card, f"Publish {name}")
    if reason:
        why = replace(card, note=reason)
        if actions.act(lambda tx: publish_cards(tx, [why], by), "publish", done=f"{name} is published.").ok:
            _leave()


@st.dialog("Publish these cards?", icon=":material/sell:")
def ask_publish_text(text: str, cards: Sequence[RateCard], book: RateBook) -> None:
    """The same for cards as text: all of them or none."""
    by = access.me()
    for card in cards:
        _said(card, book)
    st.markdown(":gray[Receipts keep the prices they were made with. A published card is never edited; a newer one replaces it.]")
    names, alone = ", ".join(card.name for card in cards), len(cards) == 1
    verb = f"Publish {cards[0].name if alone else count(len(cards), 'card')}"
    if yes_form("publish_text", verb, "Keep editing") and actions.act(
            lambda tx: publish_text(tx, text, by), "publish_text", done=f"{names} {'is' if alone else 'are'} published.").ok:
        _leave()


def _leave() -> None:
    clear_form()
    st.query_params.clear()
    st.rerun()


def _said(card: RateCard, book: RateBook) -> None:
    whose = (f"every job of tier **{card.tier}** ({count(book.payers.get(card.tier, 0), 'payer')})" if card.tier
             else f"every job run in project **{plain(card.project)}**, whatever the payer's tier,")
    st.markdown(f"**{plain(card.name)}** prices {whose} that ends from **{moment(card.valid_from, book.now)}** on.")
    if card.valid_from <= book.now:
        st.markdown(":orange[:material/history: That is in the past: unbilled jobs that ended since are priced anew.]")


def _reason(card: RateCard, verb: str) -> str | None:
    """Why the card is published: what the form says, else asked for here."""
    if card.note:
        return card.note if yes_form("publish", verb, "Keep editing") else None
    return reason_form("publish", verb, "Keep editing", "Why (stands in the rate book)")
