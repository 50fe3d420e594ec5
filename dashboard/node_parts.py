"""Parts of the pages about GPU nodes: an allocation's live figures, its dialogs, a node's card in the catalogue.

What changes by itself is looked at every few seconds by a fragment that changes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import polars as pl
import streamlit as st

from dashboard import actions, charts, confirm, dialogs, exports, navigation, node_words, reads_nodes, tables, words
from dashboard.access import me
from data.postgres.shelves.node_reads import DayOfCharges
from engine.allocations import Allocation, AllocationState
from engine.errors import DomainError
from engine.services.allocations import change_terms, release_allocation
from engine.users import Action, Person

LOOK_EVERY = "3s"
KEEP_END = "leave its end as it is"
STOPPABLE = frozenset({AllocationState.REQUESTED, AllocationState.PROVISIONING, AllocationState.ACTIVE, AllocationState.SUSPENDED})
CAN_LOG_IN = frozenset({AllocationState.ACTIVE, AllocationState.SUSPENDED})


@st.fragment(run_every=LOOK_EVERY)
def watch(seen: str) -> None:
    """Draw the page anew once a state on it changed; not while a dialog is open, which would lose what is typed."""
    if not dialogs.opened()[0] and reads_nodes.signature(me()) != seen:
        st.rerun()


@st.fragment(run_every=LOOK_EVERY)
def live(id: str) -> None:
    """An allocation's figures of this moment."""
    held, now = reads_nodes.held(me(), id)
    figures(held, now, f"live_{id}")


def figures(held: reads_nodes.Held, now: datetime, key: str, height: int = 118) -> None:
    """Cost so far, price, how long the wallet lasts, how to log in, and what its GPUs did."""
    one, purse = held.allocation, held.purse
    left, right = st.columns([3, 2], vertical_alignment="top")
    with left:
        if one.state in CAN_LOG_IN:
            st.code(node_words.ssh_command(held.node, one), language=None)
        else:
            st.markdown(words.plain(node_words.STANDS[one.state]))
        with st.container(horizontal=True):         # two lines on a phone
            _metric(f"So far, {one.currency}", words.money(one.charged_micro), charged_note(one, now))
            _metric(f"An hour, {one.currency}", words.money(one.price_micro_per_hour),
                    f"all on this wallet {words.money(purse.burn_micro)}")
            _metric("Wallet lasts", node_words.lasts(purse.lasts_seconds()), runway_note(purse, now),
                    "off" if _enough(purse) else "orange")
    with right:
        load(held, key, height)


def _metric(label: str, value: str, note: str, colour: Literal["off", "orange"] = "off") -> None:
    st.metric(label, value, note, delta_color=colour, delta_arrow="off", width=176)


def charged_note(one: Allocation, now: datetime) -> str:
    """Up to when that was charged."""
    if one.charged_to is None:
        return "not charged yet"
    return f"charged to {words.moment(one.charged_to, now)}"


def runway_note(purse: reads_nodes.Purse, now: datetime) -> str:
    """Until when, and which wallet it is."""
    seconds = purse.lasts_seconds()
    if seconds is None:
        return f"wallet {purse.owner}"
    if seconds > 3650 * 86400:
        return "more than ten years"
    return f"until {words.moment(now + timedelta(seconds=seconds), now)}"


def _enough(purse: reads_nodes.Purse) -> bool:
    seconds = purse.lasts_seconds()
    return seconds is None or seconds >= 86400


def load(held: reads_nodes.Held, key: str, height: int) -> None:
    """The curve of its GPUs; a sentence while nothing was measured. The height is the same."""
    rows = held.curve
    with st.container(gap=None, height=height + 28, border=False):
        newest = rows["percent"].drop_nulls().to_list()
        st.markdown(tables.small(f"GPU use, % · {newest[-1]:.0f} now" if newest else "GPU use, %"))
        if newest:
            charts.curve(rows["at"].to_list(), rows["percent"].to_list(), f"load_{key}", top=100, height=height,
                         alt=f"Use of the GPUs of {held.node.address.name} in percent")
        else:
            st.markdown(tables.small("Nothing measured in these hours."))


def head(held: reads_nodes.Held, now: datetime, link: bool = True) -> None:
    """Name, state, GPUs, site, since when and on which terms."""
    one, node = held.allocation, held.node
    with st.container(horizontal=True, vertical_alignment="center"):
        if link:
            st.page_link(navigation.page_of("allocation"), label=f"**{words.plain(node.address.name)}**", query_params={"id": one.id})
        tables.state_badge(str(one.state))
        since = f" · for {node_words.held_for(one, now)}" if one.active_at else ""
        about = f"{node_words.gpus(node)} · {node.site}{since} · {node_words.terms(one, now)}"
        st.markdown(tables.small(words.plain(about)), width="content")


def buttons(one: Allocation, page: str) -> None:
    """What its holder may do with it."""
    with st.container(horizontal=True):
        st.button("Release…", icon=":material/logout:", key=f"release_{one.id}", disabled=one.state not in STOPPABLE,
                  on_click=dialogs.open_dialog, args=("release", one.id, page))
        st.button("Change end or idle rule…", icon=":material/schedule:", key=f"terms_{one.id}", disabled=one.state not in STOPPABLE,
                  on_click=dialogs.open_dialog, args=("terms", one.id, page))


def draw_dialog() -> bool:
    """The dialog about an allocation that is open, if one is."""
    kind, id = dialogs.opened()
    if kind not in DIALOGS:
        return False
    try:
        held, now = reads_nodes.held(me(), id)
    except DomainError:
        dialogs.close()
        return False
    title, draw = DIALOGS[kind]
    st.dialog(f"{title} {held.node.address.name}?", on_dismiss=dialogs.close)(draw)(held, now)
    return True


def _release(held: reads_nodes.Held, now: datetime) -> None:
    one, person, name = held.allocation, me(), held.node.address.name
    ours = one.user_id == person.id
    st.markdown(f"{'Your login' if ours else words.plain(f'The login of {one.holder}')} is closed, what runs on it is ended and the key is "
                f"removed. Charging stops with this second; {words.money(one.charged_micro, one.currency)} was charged so far, up to "
                f"{words.moment(one.charged_to, now)}.")
    if ours:
        reason = "" if confirm.yes_form("release", "Release node", "Keep it") else None
    else:
        st.markdown(tables.small(words.plain(f"{one.holder} is told, with your reason.")))
        reason = confirm.reason_form("release", "Force release", "Keep running")
    if reason is None:
        return
    done = actions.act(lambda tx: release_allocation(tx, one.id, person, reason), "release", f"{name} is released.")
    if done.ok:
        dialogs.close()
        st.rerun()


def _terms(held: reads_nodes.Held, now: datetime) -> None:
    one = held.allocation
    st.markdown(words.plain(f"Now: {node_words.terms(one, now)}. It is charged as before until its end."))
    with st.form("terms", border=False):
        term = st.selectbox("Its end, from now", [KEEP_END, *node_words.TERMS], key="terms_end")
        kept = next((word for word, minutes in node_words.IDLE.items() if minutes == one.idle_minutes), "tell me only")
        idle = st.selectbox("When its GPUs do nothing", list(node_words.IDLE), index=list(node_words.IDLE).index(kept), key="terms_idle")
        with st.container(horizontal=True, horizontal_alignment="right"):
            way_out = st.form_submit_button("Leave as it is")
            pressed = st.form_submit_button("Change terms", type="primary")
    if way_out:
        dialogs.close()
        st.rerun()
    if pressed:
        _change(me(), one, str(term), node_words.IDLE[str(idle)], now)


def _change(person: Person, one: Allocation, term: str, idle: int | None, now: datetime) -> None:
    hours = node_words.TERMS.get(term)
    until = one.until_at if term == KEEP_END else None if hours is None else now + timedelta(hours=hours)
    done = actions.act(lambda tx: change_terms(tx, one.id, person, until, idle), "terms", "The terms are changed.")
    if done.ok:
        dialogs.close()
        st.rerun()


DIALOGS = {"release": ("Release", _release), "terms": ("Change the terms of", _terms)}


def offer_card(offer: reads_nodes.Offer, currency: str, own: bool, may_rent: bool) -> None:
    """A node in the catalogue."""
    node = offer.node
    with st.container(border=True, height="stretch", gap="xsmall"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.markdown(f"**{words.plain(node.address.name)}**", width="content")
            tables.state_badge(offer.state)
        st.markdown(tables.small(words.plain(f"{node_words.gpus(node)} · {node.site}")))
        if offer.price_micro is None:
            st.markdown(tables.small("no price for this wallet"))
        else:
            st.markdown(f"**{words.money(offer.price_micro)}** :gray[:small[{currency} an hour]]")
        label = "Yours" if own else "Take…"
        st.button(label, key=f"take_{node.id}", disabled=not (offer.may_be_taken and may_rent), width="stretch",
                  on_click=dialogs.open_dialog, args=("take", node.address.name, "nodes"))


def days_table(days: list[DayOfCharges]) -> pl.DataFrame:
    """Charges by day for a table, the newest first."""
    return pl.DataFrame(
        [(words.day(one.day), words.hours(one.billed_seconds), words.hours(one.unbilled_seconds) if one.unbilled_seconds else None,
          one.charges, one.micro / 1e6) for one in reversed(days)], orient="row",
        schema={"day": pl.String, "hours": pl.String, "free": pl.String, "charges": pl.Int64, "cost": pl.Float64})


def days_file(days: list[DayOfCharges], one: Allocation) -> pl.DataFrame:
    """Charges by day for a file, exact."""
    rows = pl.DataFrame([(one.id, day.day, day.billed_seconds, day.unbilled_seconds, day.charges, day.micro, one.currency) for day in days],
                        orient="row", schema={"allocation": pl.String, "day": pl.Date, "billed_seconds": pl.Int64,
                                              "unbilled_seconds": pl.Int64, "charges": pl.Int64, "amount_micro": pl.Int64,
                                              "currency": pl.String})
    return rows.with_columns(exports.exact("amount_micro").alias("amount")).drop("amount_micro")


def may_act(person: Person, one: Allocation) -> bool:
    """True when the buttons about it work for this person."""
    return (one.user_id == person.id and person.may(Action.RENT)) or person.may(Action.MANAGE_NODES)
