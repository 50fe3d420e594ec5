"""Inbox: what payment providers told us, what became of each word, and having one applied again."""

import polars as pl
import streamlit as st

from dashboard import access, actions, money_parts, reads_money, tables
from dashboard.confirm import yes_form
from dashboard.words import count, moment, plain
from engine.services.events import replay_event
from engine.users import Action, Person

STATES = ("received", "processing", "processed", "failed")
person = access.require(Action.SEE_FINANCE)


@st.dialog("Apply the event again?", icon=":material/replay:")
def ask_replay(number: int, by: Person) -> None:
    """Confirm, then have a sidecar apply it."""
    st.markdown(f"Event {number} is applied as if it had just come. Money that was posted is not posted twice.")
    if yes_form("replay", "Apply again", "Leave it") and actions.act(
            lambda tx: replay_event(tx, number, by), "replay", f"Event {number} is due: a running sidecar applies it now.").ok:
        st.rerun()


def detail(number: int, by: Person) -> None:
    """One event: what became of it, and what came, byte for byte."""
    found = reads_money.event(number)
    if found is None:
        return
    with tables.card(f"Event {found.id:,}", f"{plain(found.provider)} · {plain(found.kind)}", height="content"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            with st.container(horizontal=True, vertical_alignment="center", width="content"):
                tables.state_badge(found.state)
                st.text(found.outcome or "It waits to be applied.", width="content")
            if by.may(Action.REFUND) and st.button("Apply again…", icon=":material/replay:", key="replay"):
                ask_replay(found.id, by)
        with st.expander("What came", type="compact"):
            st.code(found.body.decode("utf-8", "replace"), language=None, wrap_lines=True)


state, text, skipped = money_parts.chosen(STATES)
view = reads_money.waiting_list("inbox", state, text, money_parts.ROWS, skipped)
tables.page_head("Inbox", "what payment providers told us, each word kept once · forged and unreadable ones are refused at the door"
                 " and only counted")
money_parts.waiting_kpis(view.listed.states, ("received", "processing"), "failed", "processed", view.oldest_seconds)
money_parts.filters(view.listed.states, STATES, "events", "Event, payment or outcome")
if view.listed.rows.is_empty():
    if view.listed.states:
        tables.nothing_here("filter_alt_off", "No event matches", "Nothing is in this state with these words.",
                            lambda: st.button("Clear filters", on_click=money_parts.clear))
    else:
        tables.nothing_here("move_to_inbox", "No provider has told anything yet", "Events appear here when somebody pays.")
    actions.show_toast()
    st.stop()
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    tables.sums(count(view.listed.matching, "event"))
    st.markdown(tables.small("Select an event to read it"), width="content")
rows = view.listed.rows
picked = tables.table(
    rows.select(pl.col("id").cast(pl.String), at=pl.Series([moment(at, view.now) for at in rows["received_at"]], dtype=pl.String),
                provider="provider", kind="kind", outcome="outcome", attempts="attempts",
                state=pl.concat_list(pl.col("state"))),
    {"id": tables.text_column("Event", 70), "at": tables.text_column("Came", 104), "provider": tables.text_column("Provider", 90),
     "kind": tables.text_column("Kind", 140), "outcome": tables.text_column("What became of it", 400),
     "attempts": tables.number_column("Tries", 56), "state": tables.state_column("State", 106, STATES)},
    key=tables.key_of("inbox", rows["id"].cast(pl.String)), select="single-row", alt="Events of the inbox, newest first")
money_parts.foot(view.listed.matching, lambda: reads_money.whole_list("inbox", state, text), "inbox", view.now)
if picked:
    detail(int(rows["id"][picked[0]]), person)
