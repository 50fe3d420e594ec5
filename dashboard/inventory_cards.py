"""Cards of the node inventory: its figures, and what is known of one node. Reads and draws; acts on nothing."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import inventory_parts, navigation, node_words, reads_nodes, tables, words
from engine.nodes import NodeState

IDLE_PERCENT = 5
ATTENTION = (NodeState.QUARANTINED, NodeState.MAINTENANCE)


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
