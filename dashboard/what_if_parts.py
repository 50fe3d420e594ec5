"""Parts of the what-if page: the draft, the figures before and after, who pays more, and publishing what was tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from time import monotonic
from typing import Any

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from dashboard import access, actions, charts, exports, rate_words, reads_what_if, tables, words
from dashboard.confirm import reason_form
from dashboard.rate_drafts import percent, signed
from dashboard.reads_operations import RateBook
from dashboard.reads_what_if import Answer
from dashboard.words import METER_NAMES, count, money, plain
from engine.errors import DomainError
from engine.money import exact_text, parse_micro
from engine.rate_text import cards_to_text
from engine.rates import METER_UNITS, METERS, Policy, RateCard, with_prices
from engine.rerating import Effect
from engine.services.rates import publish_cards
from engine.services.rerating import rerate_cards

ACCENT = {"light": "#1F5FA8", "dark": "#7FB2F0"}
MODES = {"prices": "Prices", "text": "As text"}
RANKED = 9
NOTICED_SECONDS = 0.4


def choices(book: RateBook) -> list[RateCard]:
    """Published cards to start from: those valid now first, then the others, newest first."""
    now = [card for line in book.lines if (card := book.valid(line))]
    return [*now, *(card for card in sorted(book.cards, key=lambda card: card.valid_from, reverse=True) if card not in now)]


def filters(book: RateBook) -> tuple[RateCard, date, date, str]:
    """The row above the draft: the card it starts from, the days that are looked at, and how it is written."""
    cards = {card.name: card for card in choices(book)}
    usual = reads_what_if.usual_days(book.now)
    with st.container(horizontal=True, vertical_alignment="center"):
        name = st.selectbox("Start from", list(cards), key="card", bind="query-params", label_visibility="collapsed", width=220)
        span = st.date_input("Jobs that ended", value=usual, max_value=usual[1], key="what_if_days", format="YYYY-MM-DD",
                             label_visibility="collapsed", width=230, help="Days of the site on which the jobs ended")
        mode = st.segmented_control("How", list(MODES), default="prices", required=True, key="what_if_mode",
                                    format_func=lambda word: MODES[word], label_visibility="collapsed")
    first, last = span if isinstance(span, tuple) and len(span) == 2 else usual
    return cards[name], first, last, mode or "prices"


def since_words(card: RateCard, now: datetime) -> str:
    """From when a published card holds."""
    return "valid from the beginning" if card.valid_from.year < 2000 else f"valid from {words.day(card.valid_from, now)}"


def draft(start: RateCard, mode: str) -> str:
    """The draft as text, from fields or as it was pasted; what is wrong with a field is said here."""
    if mode == "text":
        return st.text_area("Cards as YAML or JSON, one or several", cards_to_text([start]), height=260, key=f"what_if_text_{start.name}")
    columns = st.columns(4)
    typed = {meter: column.text_input(
        f"{METER_NAMES[meter]}, {start.currency} per {METER_UNITS[meter]}", exact_text(start.price_micro(meter)).replace(",", ""),
        key=f"what_if_{meter}_{start.name}", max_chars=24, disabled=not _simple(start, meter),
        help=None if _simple(start, meter) else "This price has steps or packages: change it as text.")
        for column, meter in zip(columns, METERS, strict=False)}
    policy = columns[3].selectbox(
        "Which quantity is billed", list(Policy), list(Policy).index(start.policy), key=f"what_if_policy_{start.name}",
        format_func=lambda word: rate_words.POLICY_WORDS.get(word, str(word)))
    try:
        prices = {meter: parse_micro(text.strip()) for meter, text in typed.items() if _simple(start, meter) and start.price(meter)}
        added = {meter: micro for meter, text in typed.items() if not start.price(meter) and (micro := parse_micro(text.strip()))}
    except DomainError as refusal:
        st.error(plain(refusal.sentence), icon=":material/error:")
        return ""
    return cards_to_text([_with(start, prices | added, policy)])


def _simple(card: RateCard, meter: str) -> bool:
    price = card.price(meter)
    return price is None or (len(price.steps) == 1 and not price.package)


def _with(card: RateCard, prices: dict[str, int], policy: Policy) -> RateCard:
    """`card` with these flat prices; GPU models keep theirs."""
    models = tuple(price for price in card.prices if price.model)
    changed = with_prices(card, **prices)
    return replace(changed, policy=policy, version=0, note="", prices=(*(price for price in changed.prices if not price.model), *models))


@contextmanager
def underway() -> Iterator[Callable[[float], None]]:
    """How far pricing is, once it takes longer than one hardly notices; nothing stays of it."""
    begun, place = monotonic(), st.empty()

    def progress(share: float) -> None:
        if monotonic() - begun > NOTICED_SECONDS:
            place.progress(min(1.0, share), f"Pricing every job of these days again, to the last micro-unit: {share:.0%}")

    try:
        yield progress
    finally:
        place.empty()


def figures(effect: Effect) -> None:
    """Before, after, the difference, and how much of it lies on receipts."""
    before, after = effect.before_micro, effect.after_micro
    payers = effect.by("payer")
    touched = int((payers["difference_micro"] != 0).sum())
    on_receipts = effect.total("receipted_difference_micro")
    tables.kpi_row([
        tables.Kpi("As charged", money(before), count(effect.jobs, "job")),
        tables.Kpi("By the draft", money(after), effect.currency),
        tables.Kpi("Difference", signed(after - before), percent(before, after) if after != before else "no change"),
        tables.Kpi("Of it on receipts", signed(on_receipts) if effect.receipted_known else words.NOTHING,
                   count(effect.total("receipted_jobs"), "job") if effect.receipted_known else "counted when you re-rate",
                   help=f"Issued receipts stay as they are; re-rating would bring this as adjustments. The difference falls on "
                        f"{count(touched, 'payer')} of {len(payers)}."),
    ])


def pictures(effect: Effect, first: date, last: date) -> None:
    """Every day before and after, and on which tiers or accounts the difference falls."""
    left, right = st.columns([1.9, 1])
    with left, tables.card("Day by day", f"{effect.currency}, by the day jobs ended"):
        _daily(reads_what_if.days(effect, first, last))
    with right, tables.card("Where it falls", effect.currency):
        kind = st.segmented_control("By", ["tier", "account"], default="account", required=True, key="what_if_kind",
                                    format_func=lambda word: f"By {word}", label_visibility="collapsed") or "account"
        rows = effect.by(kind).filter(pl.col("difference_micro") != 0)
        if rows.is_empty():
            st.markdown(f"Nothing differs: every {kind} pays what it was charged.")
            return
        _ranked(rows["name"].to_list()[:RANKED], rows["difference_micro"].to_list()[:RANKED])
        if len(rows) > RANKED:
            st.markdown(tables.small(f"the {RANKED} largest of {count(len(rows), kind)}"))


def _daily(days: pl.DataFrame) -> Any:
    tone = charts.theme()
    x = [day.isoformat() for day in days["day"]]
    before, after = ([micro / 1e6 for micro in days[name]] for name in ("before_micro", "after_micro"))
    figure = go.Figure([
        go.Bar(x=x, y=before, name="As charged", marker={"color": charts.BAR[tone], "opacity": 0.55}, hovertemplate="%{y:,.2f}"),
        go.Scatter(x=x, y=after, name="By the draft", mode="lines", line={"color": ACCENT[tone], "width": 2, "shape": "hvh"},
                   hovertemplate="%{y:,.2f}")])
    figure.update_layout(height=262, margin={"l": 0, "r": 0, "t": 8, "b": 0}, bargap=0.22, hovermode="x unified", showlegend=True,
                         legend={"orientation": "h", "y": 1.03, "yanchor": "bottom", "x": 0, "traceorder": "normal", "font": {"size": 12}})
    figure.update_xaxes(type="date", showgrid=False, tickformat="%-d %b", fixedrange=True, title=None)
    figure.update_yaxes(tickformat=",.0f", nticks=5, zeroline=False, fixedrange=True, title=None, rangemode="tozero")
    return st.plotly_chart(figure, key="what_if_days_chart", config=charts.CONFIG, alt="Cost by day, as charged and by the draft")


def _ranked(names: Sequence[str], micro: Sequence[int]) -> Any:
    tone = charts.theme()
    values = [amount / 1e6 for amount in micro]
    most = max([abs(value) for value in values], default=0) or 1.0
    figure = go.Figure(go.Bar(
        x=values, y=list(names), orientation="h", text=[signed(amount) for amount in micro], textposition="outside",
        textfont={"size": 12, "color": charts.INK[tone]}, cliponaxis=False, hoverinfo="skip",
        marker={"color": [ACCENT[tone] if value > 0 else charts.BAR[tone] for value in values]}))
    figure.update_layout(height=218, margin={"l": 0, "r": 72, "t": 8, "b": 0}, bargap=0.28, showlegend=False)
    low, high = min(0.0, *values, 0.0), max(0.0, *values, 0.0)
    figure.update_xaxes(visible=False, fixedrange=True, range=[low - (0.62 * most if low else 0), high + (0.05 * most if not low else 0)])
    figure.update_yaxes(autorange="reversed", fixedrange=True, ticks="", automargin=True, type="category")
    return st.plotly_chart(figure, key="what_if_ranked", config=charts.CONFIG, alt="Difference by tier or account")


def payers(effect: Effect, now: datetime) -> None:
    """Who pays more and who pays less, to be searched and saved."""
    rows = effect.by("payer").filter(pl.col("difference_micro") != 0)
    if rows.is_empty():
        tables.nothing_here("balance", "Nobody pays another sum", "The draft costs every payer the same as the cards that hold.")
        return
    more, less = rows.filter(pl.col("difference_micro") > 0), rows.filter(pl.col("difference_micro") < 0)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        with st.container(width="content"):
            tables.sums(f"{count(len(more), 'payer')} pay{'s' * (len(more) == 1)} more", signed(int(more["difference_micro"].sum())),
                        f"{count(len(less), 'payer')} pay{'s' * (len(less) == 1)} less, {signed(int(less['difference_micro'].sum()))}",
                        effect.currency)
        with st.container(horizontal=True, width="content"):
            asked = st.text_input("Find a payer", key="what_if_payer", placeholder="Find a payer", icon=":material/search:",
                                  label_visibility="collapsed", width=180, max_chars=128)
            st.download_button("CSV", lambda: exports.csv(_exported(rows, effect.currency)), f"what-if-{now:%Y-%m-%d}.csv", "text/csv",
                               icon=":material/download:", on_click="ignore")
    shown = rows.filter(pl.col("name").str.contains(asked.strip(), literal=True)) if asked.strip() else rows
    tables.table(
        shown.select("name", "jobs", before=pl.col("before_micro") / 1e6, after=pl.col("after_micro") / 1e6,
                     difference=pl.col("difference_micro") / 1e6, receipted=pl.col("receipted_difference_micro") / 1e6),
        {"name": tables.text_column("Payer", 260), "jobs": tables.number_column("Jobs", 90),
         "before": tables.money_column(f"As charged, {effect.currency}", 150),
         "after": tables.money_column(f"By the draft, {effect.currency}", 150),
         "difference": tables.money_column(f"Difference, {effect.currency}", 150),
         **({"receipted": tables.money_column("Of it on receipts", 140)} if effect.receipted_known else {})},
        key="what_if_payers", alt="Payers by the difference they would pay")


def _exported(rows: pl.DataFrame, currency: str) -> pl.DataFrame:
    return rows.select(pl.col("name").alias("payer"), "jobs", pl.lit(currency).alias("currency"),
                       *(exports.exact(f"{name}_micro").alias(name) for name in ("before", "after", "difference", "receipted_difference")))


def publishing(answer: Answer, now: datetime) -> None:
    """From when the draft shall hold, and the two ways of making it so."""
    today = now.astimezone(words.zone()).date()
    with tables.card("Make it so", f"a day begins at midnight, {words.zone().key}"), st.container(
            horizontal=True, vertical_alignment="bottom"):
        day = st.date_input("Valid from", value=_next_month(now), key="what_if_from", format="YYYY-MM-DD", width=180)
        begins = datetime.combine(day or today, time(), words.zone()).astimezone(UTC)
        drafts = reads_what_if.dated(answer.drafts, begins)
        if st.button("Publish…", type="primary", icon=":material/sell:", key="what_if_publish"):
            ask_publish(drafts, now)
        if st.button("Re-rate…", icon=":material/history:", key="what_if_rerate", disabled=begins > now,
                     help="For a day that is past: also jobs on receipts get the new price, as adjustments on the next one."):
            ask_rerate(drafts, now)


def _next_month(now: datetime) -> date:
    return (now.astimezone(words.zone()).date().replace(day=1) + timedelta(days=32)).replace(day=1)


@st.dialog("Publish this draft?", icon=":material/sell:")
def ask_publish(drafts: tuple[RateCard, ...], now: datetime) -> None:
    """Say what it prices, ask why, publish; a refusal is answered here."""
    by = access.me()
    st.markdown(f"It prices the jobs of **{plain(', '.join(card.line for card in drafts))}** that end from "
                f"**{words.moment(drafts[0].valid_from, now)}** on. Receipts keep the prices they were made with.")
    if drafts[0].valid_from <= now:
        st.markdown(":orange[:material/history: That is in the past: unbilled jobs that ended since are priced anew. It is refused "
                    "where jobs since then are on receipts: re-rate instead.]")
    if reason := reason_form("what_if_publish", "Publish", "Keep editing", "Why (stands in the rate book)"):
        cards = [replace(card, note=reason) for card in drafts]
        if actions.act(lambda tx: publish_cards(tx, cards, by), "what_if_publish", done="The draft is published.").ok:
            reads_what_if.forget()
            st.rerun()


@st.dialog("Price jobs again?", icon=":material/history:")
def ask_rerate(drafts: tuple[RateCard, ...], now: datetime) -> None:
    """Say whom it hits and what happens to receipts, ask why, do it; a refusal is answered here."""
    by = access.me()
    try:
        effect = reads_what_if.rerating(drafts, by)
    except DomainError as refusal:
        st.error(f"{plain(refusal.sentence)} Nothing was changed.", icon=":material/error:")
        return
    billed, changed = effect.total("receipted_jobs"), effect.total("changed_jobs")
    st.markdown(f"**{count(changed, 'job')}** that ended since **{words.moment(drafts[0].valid_from, now)}** cost "
                f"**{money(abs(effect.difference_micro))} {effect.currency} {'less' if effect.difference_micro < 0 else 'more'}** in all.")
    if billed:
        st.markdown(f":orange[:material/warning: {count(billed, 'job')} of them {'stands' if billed == 1 else 'stand'} on issued receipts: "
                    f"the next receipts of {_payers_with_receipts(effect)} carry adjustments of "
                    f"{signed(effect.total('receipted_difference_micro'))} {effect.currency}.]")
    st.markdown(":gray[Issued receipts and their lines stay as they are. Jobs on no receipt get the new price at once.]")
    if reason := reason_form("what_if_rerate", "Re-rate", "Keep editing", "Why (stands in the rate book and in the audit chain)"):
        cards = [replace(card, note=reason) for card in drafts]
        done = actions.act(lambda tx: rerate_cards(tx, cards, by, reason), "what_if_rerate")
        if done.ok and done.value is not None:
            st.session_state["toast"] = _said(done.value.effect)
            st.cache_data.clear()
            reads_what_if.forget()
            st.rerun()


def _payers_with_receipts(effect: Effect) -> str:
    return count(int((effect.by("payer")["receipted_jobs"] > 0).sum()), "payer")


def _said(effect: Effect | None) -> str:
    if effect is None:
        return "The rate book says this already. Nothing was changed."
    return f"{count(effect.jobs, 'job')} priced again: {signed(effect.difference_micro)} {effect.currency}."
