"""Parts of the rate-card page: the cards of each tier, the form for a new one with its text beside it, and what the last
90 days would have cost by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import polars as pl
import streamlit as st
import yaml

from dashboard import access, actions, reads_operations, tables, words
from dashboard.confirm import reason_form, yes_form
from dashboard.reads_operations import RateBook, WhatIf
from dashboard.words import METER_NAMES, count, moment, money, plain
from engine.errors import DomainError, RateError
from engine.money import exact_text
from engine.rate_text import card_facts, cards_from_text
from engine.rates import METER_UNITS, METERS, Policy, RateCard, Rounding, next_version
from engine.services.rates import publish_cards
from engine.users import Person

POLICY_WORDS = {"used": "Used: what the job's steps measured", "allocated": "Allocated: what was set aside",
                "max_of": "Dearest: only the dearest of what was set aside", "billing_tres": "Slurm's billing units"}
ROUNDING_WORDS = {"per_job_minor": "Each job to the minor unit", "per_receipt_minor": "The receipt's total only"}
FIELDS = ("cpu", "gpu", "mem", "policy", "rounding", "note", "day", "hour")


def tier_card(book: RateBook, tier: str) -> None:
    """The card that prices a tier now, and the one that comes next."""
    card, coming = book.valid(tier), book.coming(tier)
    with tables.card(tier, count(book.payers.get(tier, 0), "payer"), height="stretch"):
        if card is None:
            st.markdown(":gray[No card is valid yet.]")
        else:
            tables.rows_of([(f"{METER_NAMES[meter]}, per {METER_UNITS[meter]}", exact_text(card.price_micro(meter)))
                            for meter in METERS])
            st.markdown(f":gray[:small[{card.name} · {_since(card, book.now)} · {card.policy} · {card.currency}]]")
        if coming:
            st.badge(f"{coming.name} from {words.day(coming.valid_from, book.now)}", color="orange",
                     icon=":material/event_upcoming:")


def _since(card: RateCard, now: datetime) -> str:
    return "from the beginning" if card.valid_from.year < 2000 else f"since {words.day(card.valid_from, now)}"


def history(book: RateBook, cards: Sequence[RateCard], key: str) -> list[int]:
    """Cards with what they say and who published them; the answer is the selected row."""
    said, decimals = [book.published[card.name] for card in cards], price_decimals(cards)
    return tables.table(
        pl.DataFrame({
            "name": [card.name for card in cards], "state": [tables.pill(book.state(card)) for card in cards],
            "from": ["the beginning" if card.valid_from.year < 2000 else moment(card.valid_from, book.now) for card in cards],
            **{meter: [card.price_micro(meter) / 1e6 for card in cards] for meter in METERS},
            "currency": [card.currency for card in cards],
            "policy": [str(card.policy) for card in cards],
            "rounding": ["per job" if card.rounding is Rounding.PER_JOB_MINOR else "per receipt" for card in cards],
            "by": [f"{one.by}, {words.day(one.at, book.now)}" for one in said], "note": [card.note for card in cards]}),
        {"name": tables.text_column("Card", 86), "state": tables.state_column("State", 96, ["active", "scheduled", "expired"]),
         "from": tables.text_column("Valid from", 122),
         **{meter: tables.money_column(f"1 {words.METER_UNITS[meter]}", 76, decimals) for meter in METERS},
         "currency": tables.text_column("", 50), "policy": tables.text_column("Bills", 78),
         "rounding": tables.text_column("Rounds", 86), "by": tables.text_column("Published by", 126),
         "note": tables.text_column("Note", 130)},
        key=key, select="single-row", alt="Rate cards, newest first")


def price_decimals(cards: Sequence[RateCard]) -> int:
    """Decimals that show every price of `cards` exactly, two at least."""
    return max((len(exact_text(card.price_micro(meter)).partition(".")[2]) for card in cards for meter in METERS), default=2)


def card_text(card: RateCard) -> str:
    """The card as the YAML that `rates publish` reads."""
    text = {key: value for key, value in card_facts(card).items() if key not in ("name", "version")}
    return yaml.safe_dump(text, sort_keys=False, allow_unicode=True)


def first_day(newest: RateCard, now: datetime) -> datetime:
    """When a new card would begin: the first of the site's next month, or the day after the newest card begins."""
    local = now.astimezone(words.zone())
    following = (local.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)
    return max(following, newest.valid_from.astimezone(words.zone()).replace(hour=0, minute=0) + timedelta(days=1))


def fill_form(card: RateCard, begins: datetime) -> None:
    """Put a card's values into the form."""
    local = begins.astimezone(words.zone())
    st.session_state.update({f"rate_{meter}": exact_text(card.price_micro(meter)).replace(",", "") for meter in METERS})
    st.session_state.update({"rate_policy": card.policy, "rate_rounding": card.rounding, "rate_note": card.note,
                             "rate_day": local.date(), "rate_hour": time(local.hour, local.minute)})


def clear_form() -> None:
    """Forget what was typed."""
    for field in (*FIELDS, "for"):
        st.session_state.pop(f"rate_{field}", None)


def form(newest: RateCard) -> RateCard | None:
    """The fields of a new card; the card they say, or None with the sentence of what is wrong."""
    prices = st.columns(3)
    for column, meter in zip(prices, METERS, strict=True):
        column.text_input(f"{METER_NAMES[meter]}, {newest.currency} per {METER_UNITS[meter]}", key=f"rate_{meter}", max_chars=24)
    left, right = st.columns(2)
    left.date_input("Valid from", key="rate_day", format="YYYY-MM-DD", help=f"In the site's zone, {words.zone()}")
    right.time_input("at", key="rate_hour", step=3600)
    left, right = st.columns(2)
    left.selectbox("Which quantity is billed", list(Policy), key="rate_policy", format_func=lambda word: POLICY_WORDS[word])
    right.selectbox("What is rounded", list(Rounding), key="rate_rounding", format_func=lambda word: ROUNDING_WORDS[word])
    st.text_input("Why (stands in the rate book)", key="rate_note", max_chars=200)
    try:
        return typed_card(newest.tier, newest.currency)
    except DomainError as refusal:
        st.error(plain(refusal.sentence), icon=":material/error:")
        return None


def typed_card(tier: str, currency: str) -> RateCard:
    """The card the form says, read by the same reader as a file."""
    state = st.session_state
    if state["rate_day"] is None or state["rate_hour"] is None:
        raise RateError("Say from when it is valid.")
    begins = datetime.combine(state["rate_day"], state["rate_hour"], words.zone()).astimezone(UTC)
    return cards_from_text(yaml.safe_dump({
        "tier": tier, "currency": currency, "valid_from": begins.isoformat(), "policy": str(state["rate_policy"]),
        "rounding": str(state["rate_rounding"]), "prices": {meter: state[f"rate_{meter}"].strip() for meter in METERS},
        "note": state["rate_note"].strip()}))[0]


def paste(tier: str) -> None:
    """Text of a card that fills the form; what is wrong with it is said beside it."""
    with st.popover("Paste", icon=":material/content_paste:"):
        text = st.text_area("A card as YAML or JSON", key="rate_paste", height=220)
        st.button("Fill the form", key="rate_fill", on_click=_fill_from, args=(text, tier))
        if refusal := st.session_state.pop("rate_paste_refusal", ""):
            st.error(plain(refusal), icon=":material/error:")


def _fill_from(text: str, tier: str) -> None:
    try:
        card = cards_from_text(st.session_state.get("rate_paste", text))[0]
        if card.tier != tier:
            raise RateError(f"It is a card of tier {card.tier}, this one is of {tier}.")
    except DomainError as refusal:
        st.session_state["rate_paste_refusal"] = refusal.sentence
    else:
        fill_form(card, card.valid_from)


@st.cache_data(ttl=300, max_entries=16, show_spinner=False)
def _usage(tier: str, currency: str, person: str, role: str) -> tuple[datetime, pl.DataFrame]:
    """The tier's last 90 days, kept five minutes for the person who types prices."""
    return reads_operations.usage_of_tier(tier, currency)


def what_if(card: RateCard, by: Person) -> WhatIf | None:
    """What the tier's last 90 days would have cost by `card`; None when the tier used nothing."""
    since, usage = _usage(card.tier, card.currency, by.name, by.role.value)
    return None if usage.is_empty() else reads_operations.what_if(card, since, usage)


def show_what_if(found: WhatIf, currency: str) -> None:
    """Sums before and after, and whom the difference falls on."""
    before, after = found.before_micro, found.after_micro
    tables.kpi_row([
        tables.Kpi("Last 90 days, as charged", money(before), count(len(found.jobs), "job")),
        tables.Kpi("By the new card", money(after), currency),
        tables.Kpi("Difference", signed(after - before), percent(before, after)),
        tables.Kpi("Payers it falls on", f"{found.touched('payer')} of {found.jobs['payer'].n_unique()}",
                   f"in {count(found.touched('account'), 'account')}"),
    ])
    left, right = st.columns([1.9, 1])
    with left, tables.card("Who pays the difference", f"{currency}, 90 days"):
        by = st.segmented_control("By", ["payer", "account", "partition"], default="payer", required=True, key="what_if_by",
                                  format_func=lambda word: f"By {word}", label_visibility="collapsed")
        rows = found.by(by or "payer")
        tables.table(
            rows.select(pl.col(by or "payer").alias("name"), "jobs", before=pl.col("before_micro") / 1e6,
                        after=pl.col("after_micro") / 1e6, difference=pl.col("difference_micro") / 1e6),
            {"name": tables.text_column((by or "payer").capitalize(), 170), "jobs": tables.number_column("Jobs", 70),
             "before": tables.money_column("As charged", 118), "after": tables.money_column("New card", 118),
             "difference": tables.money_column("Difference", 118)}, key=f"what_if_{by}", alt="Cost before and after",
            height=9 * tables.ROW_HEIGHT)
    with right, tables.card("By meter", currency):
        rows = [(METER_NAMES.get(meter, "Rounding"), was / 1e6, now / 1e6) for meter, was, now in found.by_meter()]
        tables.table(pl.DataFrame(rows, orient="row", schema={"meter": pl.String, "was": pl.Float64, "now": pl.Float64}),
                     {"meter": tables.text_column("Meter", 84), "was": tables.money_column("As charged", 104),
                      "now": tables.money_column("New card", 104)}, key="what_if_meters", alt="Cost by meter before and after")


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
def ask_publish(card: RateCard, book: RateBook, found: WhatIf | None) -> None:
    """Say who is hit, then publish; a refusal is answered here."""
    by = access.me()
    try:
        name = next_version(card, book.cards).name
    except RateError as refusal:
        st.error(f"{plain(refusal.sentence)} Nothing was changed.", icon=":material/error:")
        return
    hit = count(book.payers.get(card.tier, 0), "payer")
    st.markdown(f"**{name}** prices every job of tier **{card.tier}** ({hit}) that ends from"
                f" **{moment(card.valid_from, book.now)}** on.")
    if card.valid_from <= book.now:
        st.markdown(":orange[:material/history: That is in the past: unbilled jobs that ended since are priced anew.]")
    if found:
        st.markdown(f"The last 90 days would have cost **{signed(found.after_micro - found.before_micro)} {card.currency}** "
                    f"({percent(found.before_micro, found.after_micro) or 'no change'}).")
    st.markdown(":gray[Receipts keep the prices they were made with. A published card is never edited; a newer one replaces it.]")
    reason = _reason(card, f"Publish {name}")
    if reason:
        why = replace(card, note=reason)
        if actions.act(lambda tx: publish_cards(tx, [why], by), "publish", done=f"{name} is published.").ok:
            clear_form()
            st.query_params.clear()
            st.rerun()


def _reason(card: RateCard, verb: str) -> str | None:
    """Why the card is published: what the form says, else asked for here."""
    if card.note:
        return card.note if yes_form("publish", verb, "Keep editing") else None
    return reason_form("publish", verb, "Keep editing", "Why (stands in the rate book)")
