"""Refunds and disputes: what is on its way back, what a payer's bank asks for, and giving money back."""

from collections.abc import Sequence
from typing import Any

import polars as pl
import streamlit as st

from dashboard import access, actions, money_parts, reads_money, refund_parts, tables
from dashboard.reads_money import MoneyBack
from dashboard.words import count, moment, money
from engine.users import Action

STATES = {"refunds": ("requested", "submitted", "succeeded", "failed"), "disputes": ("open", "won", "lost")}
person = access.require(Action.SEE_FINANCE)


def amounts(found: list[tuple[str, int, int]], currency: str) -> str:
    """Sums by currency: `1,234.56 THB`; several are listed, never added."""
    return ", ".join(money(micro, name) for name, _, micro in found) or money(0, currency)


def figures(page: MoneyBack) -> None:
    """What is on its way, and what did not arrive."""
    waits, open_ = sum(number for _, number, _ in page.under_way), page.disputes.get("open", 0)
    tables.kpi_row([
        tables.Kpi("On its way back", amounts(page.under_way, page.currency), count(waits, "refund")),
        tables.Kpi("Refunds failed", f"{page.refunds.get('failed', 0):,}", "can be given back again",
                   colour="orange" if page.refunds.get("failed") else "gray"),
        tables.Kpi("In dispute", amounts(page.disputed, page.currency), count(open_, "open dispute"), colour="orange" if open_ else "gray"),
        tables.Kpi("Disputes lost", f"{page.disputes.get('lost', 0):,}", f"{page.disputes.get('won', 0)} won"),
    ])


def table(what: str, page: MoneyBack, states: Sequence[str]) -> list[int]:
    """The list itself."""
    rows = page.listed.rows
    at = "requested_at" if what == "refunds" else "opened_at"
    columns: dict[str, Any] = {
        "at": tables.text_column("Requested" if what == "refunds" else "Opened", 104), "reference": tables.text_column("Payment", 176),
        "receipt": tables.text_column("Receipt", 126), "wallet": tables.text_column("Payer", 120),
        "provider": tables.text_column("Provider", 90), "reason": tables.text_column("Reason", 160),
        "amount": tables.money_column("Amount", 86),
        "currency": tables.text_column("", 46), "state": tables.state_column("State", 92, states)}
    return tables.table(
        rows.select("reference", "receipt", "wallet", "provider", "reason", "currency", amount=pl.col("amount_micro") / 1e6,
                    at=pl.Series([moment(one, page.now) for one in rows[at]], dtype=pl.String), state=pl.concat_list(pl.col("state"))),
        columns, key=tables.key_of(what, rows["id"]), select="single-row", alt=what.capitalize())


what = st.query_params.get("show", "refunds")
what = what if what in STATES else "refunds"
state, text, skipped = money_parts.chosen(STATES[what])
page = reads_money.money_back(what, state, text, money_parts.ROWS, skipped)
pressed = tables.page_head(
    "Refunds & disputes", "money on its way back to payers, and what their banks ask for",
    action=(lambda: st.button("Give money back…", icon=":material/undo:", type="primary", key="ask_refund"))
    if person.may(Action.REFUND) else None)
if pressed:
    refund_parts.ask_refund()
figures(page)
with st.container(horizontal=True, vertical_alignment="center"):
    shown = st.segmented_control("Which", list(STATES), default=what, required=True, key=f"which_{what}", label_visibility="collapsed",
                                 format_func=lambda one: f"{one.capitalize()} {sum(getattr(page, one).values())}")
    if shown != what:
        st.query_params.from_dict({"show": str(shown)})
        st.rerun()
    money_parts.filters(page.listed.states, STATES[what], what, "Payment, receipt, payer or reason")
if page.listed.rows.is_empty():
    if page.listed.states:
        tables.nothing_here("filter_alt_off", "None matches", "Nothing is in this state with these words.",
                            lambda: st.button("Clear filters", on_click=money_parts.clear))
    else:
        tables.nothing_here("undo", "Nothing was given back yet" if what == "refunds" else "No dispute yet",
                            "Refunds made in a provider's dashboard appear here too." if what == "refunds"
                            else "When a payer's bank asks for money back, the provider tells us.")
    actions.show_toast()
    st.stop()
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    tables.sums(count(page.listed.matching, what[:-1]))
    st.markdown(tables.small(f"Select a {what[:-1]} to see its steps"), width="content")
picked = table(what, page, STATES[what])
money_parts.foot(page.listed.matching, lambda: reads_money.whole_list(what, state, text), what, page.now)
if picked:
    row = page.listed.rows.row(picked[0], named=True)
    (refund_parts.refund_card if what == "refunds" else refund_parts.dispute_card)(row)
