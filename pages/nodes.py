"""GPU nodes: what I hold, live, and every node there is with its price an hour for the wallet that would pay."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import dialogs, navigation, node_parts, node_taking, node_words, reads_nodes, tables, wallet_parts, words
from dashboard.access import require
from engine.allocations import burn_micro_per_hour
from engine.users import Action, Person

ACROSS = 4
MOST_CARDS = 48


def show(person: Person) -> None:
    """The page from top to bottom."""
    page = reads_nodes.catalogue(person, st.query_params.get("wallet", ""))
    mine = reads_nodes.mine(person)
    purse = page.purse
    tables.page_head("GPU nodes", f"prices for the wallet of {words.plain(wallet_parts.whose(purse.owner))} · amounts in {purse.currency}")
    if not page.offers and not mine.held:
        tables.nothing_here("dns", "No nodes yet", "GPU nodes that can be rented by the minute appear here.")
        return
    tables.kpi_row(kpis(page, mine))
    for held in mine.held:
        with st.container(border=True, key=f"held_{held.allocation.id}"):
            node_parts.head(held, mine.now)
            node_parts.live(held.allocation.id)
            node_parts.buttons(held.allocation, "nodes")
    choices(page)
    catalogue(person, page, {held.node.id for held in mine.held})
    earlier(mine)
    node_parts.watch(reads_nodes.signature(person))
    draw_dialog(purse)


def draw_dialog(purse: reads_nodes.Purse) -> None:
    """What is open over the page, if anything."""
    kind, subject = dialogs.opened()
    if kind == "take":
        node_taking.take(subject, purse.owner)
    elif kind == "taken":
        node_taking.taken(subject)
    else:
        node_parts.draw_dialog()


def kpis(page: reads_nodes.Catalogue, mine: reads_nodes.Mine) -> list[tables.Kpi]:
    """What is free, what I hold and burn, and how long the chosen wallet lasts."""
    states = reads_nodes.by_state(page.offers)
    burn = burn_micro_per_hour(held.allocation for held in mine.held if held.allocation.currency == page.purse.currency)
    seconds = page.purse.lasts_seconds()
    return [
        tables.Kpi("Free", f"{states.get(reads_nodes.FREE, 0)} of {len(page.offers)}", f"{states.get(reads_nodes.HELD, 0)} allocated"),
        tables.Kpi("Mine", f"{len(mine.held)}", f"at most {page.most} at once"),
        tables.Kpi(f"My burn per hour, {page.purse.currency}", words.money(burn), "while they are active"),
        tables.Kpi("Wallet", words.money(page.purse.left_micro),
                   "nothing runs on it" if seconds is None else f"lasts for {node_words.lasts(seconds)}",
                   colour="orange" if seconds is not None and seconds < 86400 else "gray",
                   help="What can be spent, less what already ran and is not charged yet"),
    ]


def choices(page: reads_nodes.Catalogue) -> None:
    """Which wallet, which models, only what is free, a search."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if len(page.purses) > 1:
            st.segmented_control("Wallet", [one.owner for one in page.purses], default=page.purse.owner, required=True, key="nodes_wallet",
                                 format_func=wallet_parts.whose, label_visibility="collapsed", on_change=choose_wallet)
        st.pills("Model", models(page.offers), selection_mode="multi", key="model", bind="query-params", label_visibility="collapsed")
        st.text_input("Search", placeholder="Part of a name, GPU or site", icon=":material/search:", width=220, key="q",
                      bind="query-params", label_visibility="collapsed")
        st.toggle("Free only", key="free", bind="query-params")


def choose_wallet() -> None:
    """Write it into the address."""
    st.query_params["wallet"] = st.session_state["nodes_wallet"]
    st.session_state.pop("take_wallet", None)


def models(offers: Sequence[reads_nodes.Offer]) -> list[str]:
    """Every model once, as rate cards write them."""
    return sorted({one.node.rate_model for one in offers})


def fits(one: reads_nodes.Offer) -> bool:
    """True when the filters leave it in."""
    chosen, text = st.session_state.get("model") or [], st.session_state.get("q", "").strip().lower()
    said = f"{one.node.address.name} {one.node.gpu_model} {one.node.rate_model} {one.node.site}".lower()
    kept = one.state == reads_nodes.FREE or not st.session_state.get("free")
    return kept and text in said and (not chosen or one.node.rate_model in chosen)


def catalogue(person: Person, page: reads_nodes.Catalogue, own: set[str]) -> None:
    """Cards, the cheapest first."""
    found = [one for one in page.offers if fits(one)]
    if not found:
        tables.nothing_here("filter_alt_off", "No node fits", "Nothing is called that, or none of these is free.")
        return
    tables.sums(words.count(len(found), "node"), words.count(sum(one.node.gpu_count for one in found), "GPU"), "the cheapest first")
    for start in range(0, min(len(found), MOST_CARDS), ACROSS):
        for column, one in zip(st.columns(ACROSS), found[start:start + ACROSS], strict=False):
            with column:
                node_parts.offer_card(one, page.purse.currency, one.node.id in own, person.may(Action.RENT))
    if len(found) > MOST_CARDS:
        st.markdown(tables.small(f"and {len(found) - MOST_CARDS:,} more: search, or choose a model"))


def earlier(mine: reads_nodes.Mine) -> None:
    """Those that are over."""
    if not mine.over:
        return
    with tables.card("Earlier", f"{words.count(len(mine.over), 'allocation')} that ended", height="content", key="earlier"):
        rows = [{"node": node.address.name, "gpus": node_words.gpus(node),
                 "since": words.moment(one.active_at or one.requested_at, mine.now), "for": node_words.held_for(one, mine.now),
                 "state": tables.pill(str(one.state)), "why": one.reason,
                 "cost": tables.major(one.charged_micro), "currency": one.currency} for one, node in mine.over]
        picked = tables.table(rows, {
            "node": tables.text_column("Node", 110), "gpus": tables.text_column("GPUs", 160), "since": tables.text_column("From", 110),
            "for": tables.text_column("For", 90), "state": tables.state_column("State", 96, ["released", "failed"]),
            "why": tables.text_column("Why it ended", 230), "currency": tables.text_column("", 52),
            "cost": tables.money_column("Cost", 90)},
            key=tables.key_of("earlier", (one.id for one, _ in mine.over)), select="single-row", alt="Allocations that are over")
        if st.button("Open", icon=":material/open_in_new:", disabled=not picked, key="open_allocation") and picked:
            st.switch_page(navigation.page_of("allocation"), query_params={"id": mine.over[picked[0]][0].id})


show(require(Action.SEE_OWN))
