"""Node inventory: every GPU node, who holds it and what it does; add one, test it, take it out, end somebody's allocation."""

from __future__ import annotations

import streamlit as st

from dashboard import dialogs, inventory_cards, inventory_parts, navigation, node_parts, node_words, reads_nodes, tables, words
from dashboard.access import require
from engine.nodes import MOVES, NodeState
from engine.users import Action, Person

STATES = (reads_nodes.HELD, reads_nodes.FREE, *(str(state) for state in NodeState if state is not NodeState.AVAILABLE))
MOVING = {"Open…": "open", "Drain…": "drain", "Maintenance…": "maintenance", "Retire…": "retire"}


def show(person: Person) -> None:
    """The page from top to bottom."""
    page = reads_nodes.inventory(bool(st.session_state.get("retired")))
    gpus = sum(one.node.gpu_count for one in page.offers)
    manages = person.may(Action.MANAGE_NODES)
    tables.page_head("Node inventory", f"{words.count(len(page.offers), 'node')}, {words.count(gpus, 'GPU')} · prices of the "
                     f"site's default tier in {page.currency}", action=add_button if manages else None)
    if page.offers:
        tables.kpi_row(inventory_cards.kpis(page))
        listing(person, page)
    else:
        tables.nothing_here("dns", "No nodes yet", "Prepare one as docs/nodes.md says, then add it by its address.")
    cleanups(person, page)
    if manages:
        inventory_parts.draw_dialog()
        node_parts.draw_dialog()


def add_button() -> bool:
    """The primary action."""
    return st.button("Add node", type="primary", icon=":material/add:", key="add_node", on_click=dialogs.open_dialog,
                     args=("add", "", inventory_parts.PAGE))


def listing(person: Person, page: reads_nodes.Inventory) -> None:
    """The table with its filters, and below it what can be done with the row that is selected."""
    counts = reads_nodes.by_state(page.offers)
    with st.container(horizontal=True, vertical_alignment="center"):
        shown = [state for state in STATES if counts.get(state)]
        chosen = st.pills("State", shown, selection_mode="multi", key="state", bind="query-params", label_visibility="collapsed",
                          format_func=lambda state: state)
        text = st.text_input("Search", placeholder="Part of a name, site or person", icon=":material/search:", width=240, key="q",
                             bind="query-params", label_visibility="collapsed").strip().lower()
        st.toggle("Retired too", key="retired")
    found = [one for one in page.offers if (not chosen or one.state in chosen) and text in said(one)]
    if not found:
        tables.nothing_here("filter_alt_off", "No node fits", "Nothing is called that, or none is in that state.")
        return
    rows = [row(one, page) for one in found]
    picked = tables.table(rows, {
        "node": tables.text_column("Node", 100), "site": tables.text_column("Site", 80), "gpus": tables.text_column("GPUs", 150),
        "who": tables.text_column("Held by", 104), "for": tables.text_column("For", 80), "use": tables.share_column("GPU use", 120),
        "tested": tables.text_column("Tested", 96), "clock": tables.number_column("Clock, ms", 76, help="Ahead of ours at the last test"),
        "price": tables.money_column("An hour", 76), "state": tables.state_column("State", 106, STATES)},
        key=tables.key_of("inventory", (one.node.id for one in found)), select="single-row", alt="GPU nodes with who holds them")
    selected = found[picked[0]] if picked else None
    if person.may(Action.MANAGE_NODES):
        buttons(person, selected)
    if selected is not None:
        inventory_cards.details(selected, page)


def said(one: reads_nodes.Offer) -> str:
    """What a search looks through."""
    return f"{one.node.address.name} {one.node.site} {one.node.address.host} {one.held.holder if one.held else ''}".lower()


def row(one: reads_nodes.Offer, page: reads_nodes.Inventory) -> dict[str, object]:
    """A node in the table."""
    use = one.load.percent if one.held and one.load else None
    return {"node": one.node.address.name, "site": one.node.site, "gpus": node_words.gpus(one.node), "state": tables.pill(one.state),
            "who": one.held.holder if one.held else None, "for": node_words.held_for(one.held, page.now) if one.held else None,
            "use": None if use is None else round(use), "price": tables.major(one.price_micro),
            "tested": words.ago(one.node.tested_at, page.now), "clock": one.node.clock_offset_ms}


def buttons(person: Person, one: reads_nodes.Offer | None) -> None:
    """What can be done with the selected node."""
    name = one.node.address.name if one else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{words.plain(name)}** :gray[selected]" if one else ":gray[Select a node to act on it]", width="content")
        if st.button("Test", icon=":material/network_check:", disabled=one is None, key="test"):
            inventory_parts.begin_test(person, name)
        for label, kind in MOVING.items():
            st.button(label, key=f"move_{kind}", disabled=one is None or not may_move(one, kind), on_click=dialogs.open_dialog,
                      args=(kind, name, inventory_parts.PAGE))
        st.button("Model and limits…", key="limits", disabled=one is None, on_click=dialogs.open_dialog,
                  args=("limits", name, inventory_parts.PAGE))
        held = one.held if one else None
        st.button("Force release…", icon=":material/logout:", key="force", disabled=held is None or held.state not in node_parts.STOPPABLE,
                  on_click=dialogs.open_dialog, args=("release", held.id if held else "", inventory_parts.PAGE))


def may_move(one: reads_nodes.Offer, kind: str) -> bool:
    """True when the table of moves knows it."""
    return inventory_parts.MOVES[kind][0] in MOVES[one.node.state]


def cleanups(person: Person, page: reads_nodes.Inventory) -> None:
    """What could not be cleaned: nobody is charged for it, and nobody gets the node."""
    for one in page.cleanup_failed:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            tables.state_badge(str(one.state))
            about = f"What {one.holder} had is over and charged to its end; its node could not be cleaned."
            st.markdown(words.plain(about), width="content")
            st.page_link(navigation.page_of("allocation"), label="Open", query_params={"id": one.id})
            if person.may(Action.MANAGE_NODES) and st.button("Try again now", key=f"cleanup_{one.id}"):
                inventory_parts.try_cleanup(person, one)


show(require(Action.SEE_NODES))
