"""Receipts: what was issued, what is owed, and making the next one after looking at it first."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import streamlit as st

from dashboard import navigation, reads, tables, words
from dashboard.access import require
from dashboard.creating import create
from dashboard.scope_switch import scope_switch, whose
from engine.receipts import Receipt
from engine.users import Action, Person

STATES = ("all", "pending", "overdue", "paid", "refunded", "void")


def show(person: Person) -> None:
    """The page from top to bottom."""
    standing = reads.standing(person)
    head = st.container()
    filters = st.container(horizontal=True, vertical_alignment="center")
    with filters:
        choice = scope_switch(person, "receipts", projects=False)
    found = reads.receipts(person, choice)
    with head:
        can = person.may(Action.BILL_OWN) or person.may(Action.BILL_ALL)
        pressed = tables.page_head("Receipts", whose(person, choice, standing), None, create_button if can else None)
    if can and (pressed or st.query_params.pop("create", None)):
        st.session_state["create_moment"] = standing.now
        create(person, choice)
    if not found:
        tables.nothing_here("receipt_long", "No receipts yet", "A receipt is made from ended jobs that are not billed yet.")
        return
    states = {receipt.id: reads.receipt_state(receipt, standing.now) for receipt in found}
    with filters:
        chosen = state_filter(list(states.values()))
    listed(found, states, chosen, choice, standing)


def create_button() -> bool:
    """The page's one action."""
    return st.button("Create receipt", type="primary", icon=":material/add:", key="create_receipt")


def listed(found: list[Receipt], states: dict[str, str], chosen: str, choice: str, standing: reads.Standing) -> None:
    """Sums and table; selecting a row opens it."""
    rows = [receipt for receipt in found if chosen in ("all", states[receipt.id])]
    owed = [receipt for receipt in rows if states[receipt.id] in ("pending", "overdue")]
    live = sum(receipt.total_micro for receipt in rows if states[receipt.id] != "void")
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        with st.container(width="content"):
            tables.sums(words.count(len(rows), "receipt"), words.money(live, standing.currency),
                        f"{words.money(sum(one.total_micro for one in owed))} open" if owed else "nothing open",
                        *(["void ones not counted"] if "void" in states.values() and chosen in ("all", "void") else []))
        st.markdown(tables.small("Select a receipt to open it"), width="content")
    cells = [row(receipt, states[receipt.id]) for receipt in rows]
    selected = tables.table(cells, columns(standing.currency, choice == reads.ALL), key=f"receipts_{choice}_{chosen}",
                            select="single-row", alt="Receipts", height=430)
    if selected:
        st.switch_page(navigation.page_of("receipt"), query_params={"id": rows[selected[0]].number})


def state_filter(states: list[str]) -> str:
    """One pill a state that occurs, with its count; the choice stands in the address."""
    present = [state for state in STATES if state == "all" or state in states]
    now = st.query_params.get("state", "all")
    st.session_state["receipt_state"] = now if now in present else "all"
    st.pills("State", present, key="receipt_state", label_visibility="collapsed", required=True, on_change=_state_chosen,
             format_func=lambda state: f"{state.capitalize()} {len(states) if state == 'all' else states.count(state)}")
    return str(st.session_state["receipt_state"] or "all")


def _state_chosen() -> None:
    chosen = st.session_state["receipt_state"]
    if chosen and chosen != "all":
        st.query_params["state"] = chosen
    else:
        st.query_params.pop("state", None)


def row(receipt: Receipt, state: str) -> dict[str, object]:
    """One receipt as table cells; times in the site's zone."""
    return {"number": receipt.number, "payer": receipt.payer, "tier": receipt.tier, "jobs": receipt.lines,
            "issued": local(receipt.issued_at), "before": local(receipt.ended_before - timedelta(seconds=1)),
            "due": local(receipt.due_at), "paid": local(receipt.paid_at) if receipt.paid_at else None,
            "total": tables.major(receipt.total_micro), "state": tables.pill(state)}


def local(instant: datetime) -> date:
    """The day of an instant, where the site is."""
    return instant.astimezone(words.zone()).date()


def columns(currency: str, payers: bool) -> dict[str, object]:
    """Columns that fit the page; the payer only where there are several."""
    day = st.column_config.DateColumn
    whom = {"payer": tables.text_column("Payer", 130)} if payers else {}
    return {"number": tables.text_column("Receipt", 132), **whom, "tier": tables.text_column("Tier", 72),
            "before": day("Jobs up to", width=104, format="D MMM YYYY"), "jobs": tables.number_column("Jobs", 64),
            "issued": day("Issued", width=104, format="D MMM YYYY"), "due": day("Due", width=104, format="D MMM YYYY"),
            "paid": day("Paid", width=104, format="D MMM YYYY"), "total": tables.money_column(currency, 92),
            "state": tables.state_column("State", 88, STATES[1:])}


show(require(Action.SEE_OWN))
