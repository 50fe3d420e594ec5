"""One allocation: where it stands, what it cost day by day, what its GPUs did, its history, and the steps on its node."""

from __future__ import annotations

import streamlit as st

from dashboard import charts, dialogs, exports, navigation, node_parts, node_words, reads_nodes, tables, wallet_parts, words
from dashboard.access import require
from engine.errors import DomainError
from engine.ssh_keys import parse_public_key
from engine.users import Action, Person

FEW_DAYS = 4                            # as bars with their amounts: an axis of days needs more


def show(person: Person) -> None:
    """The page from top to bottom."""
    try:
        page = reads_nodes.allocation(person, st.query_params.get("id", ""))
    except DomainError:
        tables.page_head("Allocation")
        tables.nothing_here("dns", "No such allocation", "It does not exist, or it is not yours to see.", back)
        return
    held, one = page.held, page.held.allocation
    whose = f"{words.plain(one.holder)} · paid by {words.plain(wallet_parts.whose(one.wallet))} · rate card {words.plain(one.rate_card)}"
    tables.page_head(held.node.address.name, f"{words.plain(node_words.gpus(held.node))} · {whose} · amounts in {one.currency}")
    with st.container(border=True, key="standing"):
        node_parts.head(held, page.now, link=False)
        st.markdown(words.plain(node_words.STANDS[one.state]))
        if one.live:
            node_parts.live(one.id)
        else:
            node_parts.figures(held, page.now, one.id)
        if node_parts.may_act(person, one):
            node_parts.buttons(one, "allocation")
    charges(page)
    wide, narrow = st.columns([3, 2])
    with wide, tables.card("History", key="history"):
        history(page)
    with narrow, tables.card("On the node", "what was asked of it", key="steps"):
        steps(page)
    about(page)
    if one.live and one.user_id == person.id:
        node_parts.watch(reads_nodes.signature(person))
    if dialogs.opened()[1] == one.id:
        node_parts.draw_dialog()


def back() -> None:
    """To one's own."""
    st.page_link(navigation.page_of("nodes"), label="GPU nodes", icon=":material/arrow_back:")


def charges(page: reads_nodes.AllocationPage) -> None:
    """Charges by day as a picture, a table and a file."""
    one, days = page.held.allocation, page.days
    if not days:
        tables.nothing_here("payments", "Nothing was charged", "Charges begin when its holder can log in.")
        return
    wide, narrow = st.columns([3, 2])
    with wide, tables.card("Cost by day", one.currency, key="days_card"):
        picture(page)
    total = f"{words.money(one.charged_micro, one.currency)} for {words.hours(one.billed_seconds)} hours"
    with narrow, tables.card("Days", total, key="table_card"):
        tables.table(node_parts.days_table(days), {
            "day": tables.text_column("Day", 64), "hours": tables.text_column("Hours", 62), "free": tables.text_column(
                "Free", 56, help="Hours in which the node was out of reach: not charged"),
            "charges": tables.number_column("Charges", 66), "cost": tables.money_column(f"Cost, {one.currency}", 92, decimals=4)},
            key="days", alt="Charges by day", height=236)
        st.download_button("Charges as CSV", lambda: exports.csv(node_parts.days_file(days, one)), f"{one.id}.csv", "text/csv",
                           on_click="ignore", icon=":material/download:", key="days_csv")


def picture(page: reads_nodes.AllocationPage) -> None:
    """Bars with their amounts for a few days, a row of days for more."""
    days, alt = page.days, "Cost of the allocation by day"
    if len(days) < FEW_DAYS:
        charts.ranking([words.day(one.day) for one in days], [one.micro for one in days], "few_days", height=40 + 36 * len(days), alt=alt)
        return
    unfinished = days[-1].day if page.held.allocation.stopped_at is None else None
    charts.stacked_days([one.day for one in days], {"extra": [one.micro for one in days]}, "all_days", unfinished=unfinished, alt=alt)


def history(page: reads_nodes.AllocationPage) -> None:
    """Every state it was in."""
    rows = [{"at": words.moment(event.at, page.now), "state": tables.pill(event.to_state), "actor": event.actor,
             "why": event.reason or None} for event in page.events]
    states = sorted({event.to_state for event in page.events})
    tables.table(rows, {"at": tables.text_column("When", 110), "state": tables.state_column("State", 110, states),
                        "actor": tables.text_column("By", 90), "why": tables.text_column("Why", 250)}, key="events",
                 alt="History of the allocation")


def steps(page: reads_nodes.AllocationPage) -> None:
    """What was asked of the node and what it said is done."""
    if not page.steps:
        st.markdown(tables.small("Nothing was asked of the node yet."))
        return
    rows = [{"step": node_words.STEPS[one.step], "done": words.moment(one.done_at, page.now) if one.done_at else "asked for",
             "tries": one.attempts} for one in page.steps]
    tables.table(rows, {"step": tables.text_column("Step", 205), "done": tables.text_column("Done", 96),
                        "tries": tables.number_column("Tries", 48)}, key="node_steps", alt="Steps on the node")


def about(page: reads_nodes.AllocationPage) -> None:
    """Who and on which terms."""
    one = page.held.allocation
    with tables.card("Terms", height="content", key="terms_card"):
        tables.rows_of([
            ("Allocation", one.id), ("Asked for", words.moment(one.requested_at, page.now)),
            ("Price", f"{words.money(one.price_micro_per_hour, one.currency)} an hour, by the second, rounded down once"),
            ("End", f"{node_words.terms(one, page.now)}"), ("User on the node", one.tenant),
            ("Key", parse_public_key(one.public_key).fingerprint),
            ("Why it stands there", one.reason or words.NOTHING)])


show(require(Action.SEE_OWN))
