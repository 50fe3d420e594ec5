"""Outbox: what is done outside once a decision stands, what could not be done, and having it tried again."""

import polars as pl
import streamlit as st

from dashboard import access, actions, money_parts, reads_money, tables
from dashboard.confirm import yes_form
from dashboard.words import count, moment, plain
from engine.services.outbox import replay_job
from engine.users import Action, Person

STATES = ("queued", "working", "dead", "done")
person = access.require(Action.SEE_FINANCE)


@st.dialog("Try the job again?", icon=":material/replay:")
def ask_replay(number: int, kind: str, by: Person) -> None:
    """Confirm, then have a sidecar try it."""
    st.markdown(f"Job {number} ({plain(kind)}) is tried again at once, as if for the first time. Whoever does it looks first whether"
                " it was done already.")
    if yes_form("replay", "Try again", "Leave it") and actions.act(
            lambda tx: replay_job(tx, number, by), "replay", f"Job {number} is due: a running sidecar tries it now.").ok:
        st.rerun()


def detail(row: dict[str, object], by: Person) -> None:
    """One job: what became of it, and what it asks for."""
    number, state = int(str(row["id"])), str(row["state"])
    with tables.card(f"Job {number:,}", f"{plain(str(row['kind']))} · queued by {plain(str(row['created_by']))}", height="content"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            with st.container(horizontal=True, vertical_alignment="center", width="content"):
                tables.state_badge(state)
                st.text(str(row["outcome"]) or "It waits for its turn.", width="content")
            if by.may(Action.REFUND) and st.button("Try again…", icon=":material/replay:", key="replay",
                                                   disabled=state not in ("dead", "queued")):
                ask_replay(number, str(row["kind"]), by)
        tables.rows_of([("Key", str(row["key"])), *((name, str(value)) for name, value in reads_money.job_payload(number).items())])


state, text, skipped = money_parts.chosen(STATES)
view = reads_money.waiting_list("outbox", state, text, money_parts.ROWS, skipped)
tables.page_head("Outbox", "what is done outside once a decision stands: refunds asked for, documents, mail")
money_parts.waiting_kpis(view.listed.states, ("queued", "working"), "dead", "done", view.oldest_seconds)
money_parts.filters(view.listed.states, STATES, "jobs", "Kind, key or outcome")
if view.listed.rows.is_empty():
    if view.listed.states:
        tables.nothing_here("filter_alt_off", "No job matches", "Nothing is in this state with these words.",
                            lambda: st.button("Clear filters", on_click=money_parts.clear))
    else:
        tables.nothing_here("outbox", "Nothing had to be done outside yet", "Jobs appear here with the first refund, document or mail.")
    actions.show_toast()
    st.stop()
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    tables.sums(count(view.listed.matching, "job"))
    st.markdown(tables.small("Select a job to read it"), width="content")
rows = view.listed.rows
picked = tables.table(
    rows.select(pl.col("id").cast(pl.String), at=pl.Series([moment(at, view.now) for at in rows["created_at"]], dtype=pl.String),
                kind="kind", key="key", outcome="outcome", attempts="attempts", state=pl.concat_list(pl.col("state"))),
    {"id": tables.text_column("Job", 60), "at": tables.text_column("Queued", 104), "kind": tables.text_column("Kind", 124),
     "key": tables.text_column("Key", 210), "outcome": tables.text_column("What became of it", 320),
     "attempts": tables.number_column("Tries", 56), "state": tables.state_column("State", 96, STATES)},
    key=tables.key_of("outbox", rows["id"].cast(pl.String)), select="single-row", alt="Jobs of the outbox, newest first")
money_parts.foot(view.listed.matching, lambda: reads_money.whole_list("outbox", state, text), "outbox", view.now)
if picked:
    detail(rows.row(picked[0], named=True), person)
