"""Node inventory: every GPU node, who holds it and what it does; add one, test it, take it out, end somebody's allocation."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import dialogs, inventory_parts, navigation, node_parts, node_words, reads_nodes, tables, words
from dashboard.access import require
from engine.nodes import MOVES, NodeState
from engine.users import Action, Person

IDLE_PERCENT = 5
ATTENTION = (NodeState.QUARANTINED, NodeState.MAINTENANCE)
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
        tables.kpi_row(kpis(page))
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


def kpis(page: reads_nodes.Inventory) -> list[tables.Kpi]:
    """What is in people's hands, what it does, what idles, what somebody must look at."""
    held = [one for one in page.offers if one.held is not None]
    loads = [one.load.percent for one in held if one.load and one.load.percent is not None]
    idle = [one for one in held if one.load and one.load.percent is not None and one.load.percent < IDLE_PERCENT]
    burnt = sum(one.held.price_micro_per_hour for one in idle if one.held)
    looked = [one.node for one in page.offers if one.node.state in ATTENTION]
    return [
        tables.Kpi("Held", f"{len(held)} of {len(page.offers)}",
                   f"{sum(one.node.gpu_count for one in held)} of {sum(one.node.gpu_count for one in page.offers)} GPUs"),
        tables.Kpi("GPU use, held", f"{sum(loads) / len(loads):.0f}%" if loads else words.NOTHING, "last hour"),
        tables.Kpi(f"Idle while charged, {page.currency}/h", words.money(burnt), idle[0].node.address.name if idle else "none",
                   colour="orange" if idle else "gray",
                   help=f"Held nodes whose GPUs were busy for less than {IDLE_PERCENT}% of the last hour"),
        tables.Kpi("Needs attention", f"{len(looked) + len(page.cleanup_failed)}",
                   ", ".join(f"{node.address.name} {node.state}" for node in looked[:2]) or "none", colour="orange" if looked else "gray"),
    ]


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
        details(selected, page)


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


def details(one: reads_nodes.Offer, page: reads_nodes.Inventory) -> None:
    """Address, key, limits, history, and who had it."""
    events, had = reads_nodes.node_history(one.node.address.name)
    left, right = st.columns(2)
    with left, tables.card(words.plain(one.node.address.name), one.node.site, key="about_card"):
        tables.rows_of(inventory_parts.about(one.node, one))
    with right, tables.card("History", key="node_history"):
        rows = [{"at": words.moment(event.at, page.now), "state": tables.pill(event.to_state), "why": f"{event.reason} ({event.actor})"}
                for event in reversed(events)]
        tables.table(rows, {"at": tables.text_column("When", 100), "state": tables.state_column("State", 106, [str(s) for s in NodeState]),
                            "why": tables.text_column("Why, and who", 240)}, key="node_events", alt="History of the node", height=250)
    holders(had, page)


def holders(had: Sequence[reads_nodes.Allocation], page: reads_nodes.Inventory) -> None:
    """The last allocations on a node."""
    if not had:
        return
    with tables.card("Who had it", f"the newest {len(had)}", height="content", key="who_had_it"):
        rows = [{"who": one.holder, "wallet": one.wallet, "since": words.moment(one.active_at or one.requested_at, page.now),
                 "for": node_words.held_for(one, page.now), "state": tables.pill(str(one.state)), "why": one.reason or None,
                 "cost": tables.major(one.charged_micro), "id": f"{navigation.address('allocation')}?id={one.id}"} for one in had]
        tables.table(rows, {
            "who": tables.text_column("Who", 110), "wallet": tables.text_column("Wallet", 120), "since": tables.text_column("From", 100),
            "for": tables.text_column("For", 90), "state": tables.state_column("State", 110),
            "why": tables.text_column("Why it ended", 220), "cost": tables.money_column("Cost", 90),
            "id": tables.link_column("", 60, "open")}, key="who_had",
            alt="Allocations on this node")


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
