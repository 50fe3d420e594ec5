"""Dialogs about nodes themselves: look at one, compare its key and add it; test it; move it to another state; change its limits.

A sidecar does the looking; the dialog waits for what it says and speaks to no node.
"""

from __future__ import annotations

import streamlit as st

from dashboard import actions, confirm, dialogs, node_words, reads_nodes, tables, words
from dashboard.access import me
from engine.allocations import Allocation
from engine.errors import DomainError
from engine.gpu_readings import BadReading, rate_model, sold_as
from engine.looks import Look, Stage
from engine.money import amount_text, parse_micro
from engine.nodes import Node, NodeState
from engine.services.allocations import retry_cleanup
from engine.services.looks import add_seen, ask_look, ask_test, confirm_look
from engine.services.nodes import change_node, move_node
from engine.users import Person

PAGE = "node-inventory"
LOOK_EVERY = "1s"
WAITS = {Stage.ASKING: "A sidecar asks which key is shown there.", Stage.PROBING: "A sidecar reads what the node has."}
MOVES: dict[str, tuple[NodeState, str, str]] = {
    "open": (NodeState.AVAILABLE, "Open node", "People can take it from now on, at the price of their rate card."),
    "drain": (NodeState.DRAINING, "Drain node", "Whoever holds it keeps it to the end, charged as before; nobody gets it after that."),
    "maintenance": (NodeState.MAINTENANCE, "Take into maintenance", "Nobody can take it until it is opened again."),
    "retire": (NodeState.RETIRED, "Retire node", "It is gone for good: it cannot be opened again. Its history and its charges stay."),
}


def draw_dialog() -> None:
    """The dialog about a node that is open, if one is."""
    kind, subject = dialogs.opened()
    if kind == "add":
        st.dialog("Add a node", width="medium", on_dismiss=dialogs.close)(_add)(subject)
    elif kind == "test":
        st.dialog("Test a node", on_dismiss=dialogs.close)(_test)(subject)
    elif kind in MOVES:
        st.dialog(f"{MOVES[kind][1]} {subject}?", on_dismiss=dialogs.close)(_move)(kind, subject)
    elif kind == "limits":
        st.dialog(f"Change {subject}?", on_dismiss=dialogs.close)(_limits)(subject)


def _close() -> None:
    dialogs.close()
    st.rerun()


def _add(id: str) -> None:
    if not id:
        _ask_where()
        return
    look = reads_nodes.look(me(), id)
    if look.stage in WAITS:
        wait(id, look.stage)
    elif look.stage is Stage.SHOWN:
        _compare(look)
    elif look.stage is Stage.SEEN:
        _seen(look)
    else:
        _failed(look)


def _ask_where() -> None:
    with st.form("look", border=False):
        name = st.text_input("Name", placeholder="gpu-a05", max_chars=63, key="add_name")
        left, right = st.columns([3, 1])
        host = left.text_input("Host name or IP address", placeholder="gpu-a05.cluster.example.org", max_chars=253, key="add_host")
        port = right.number_input("Port", min_value=1, max_value=65535, value=22, key="add_port")
        st.markdown(tables.small("A sidecar asks there for the host key. Nothing of ours is shown to it before you compared that key."))
        with st.container(horizontal=True, horizontal_alignment="right"):
            kept = st.form_submit_button("Not now")
            pressed = st.form_submit_button("Look at it", type="primary")
    if kept:
        _close()
    if pressed:
        asked = actions.act(lambda tx: ask_look(tx, name.strip(), host.strip(), int(port), me()), "look")
        if asked.value is not None:
            dialogs.open_dialog("add", asked.value.id, PAGE)
            st.rerun()


@st.fragment(run_every=LOOK_EVERY)
def wait(id: str, stage: Stage) -> None:
    """Until a sidecar has answered."""
    st.markdown(f":gray[:material/hourglass_top:] {WAITS[stage]}")
    st.markdown(tables.small("It takes some seconds. Nothing happens? Then no sidecar runs that can reach nodes."))
    if reads_nodes.look(me(), id).stage is not stage:
        st.rerun()


def _compare(look: Look) -> None:
    assert look.host_key is not None
    fingerprint = look.host_key.fingerprint
    st.markdown(f"**{words.plain(f'{look.host}:{look.port}')}** shows this host key:")
    st.code(fingerprint, language=None)
    st.markdown("Compare it with what this says on the node's own console, not over the network:")
    st.code("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub", language=None)
    said = confirm.yes_form("compare", "It is this key", "It is another key")
    if said and actions.act(lambda tx: confirm_look(tx, look.id, fingerprint, me()), "compare").ok:
        st.rerun()


def _found(look: Look) -> list[tuple[str, str]]:
    assert look.probe is not None
    gpus, clock = look.probe.gpus, look.probe.clock
    return [("GPUs", f"{len(gpus)} × {gpus[0].name}"),
            ("Memory of each", f"{gpus[0].memory_mib:,} MiB" if gpus[0].memory_mib else "not known to its driver"),
            ("Clock ahead of ours", f"{clock.offset_ms:,} ms, give or take {clock.within_ms:,}"),
            ("Missing programs", ", ".join(look.probe.missing) or "none")]


def _seen(look: Look) -> None:
    assert look.probe is not None
    tables.rows_of(_found(look))
    try:
        model = rate_model(sold_as(look.probe.gpus).model)
    except BadReading as refusal:
        st.error(f"{words.plain(refusal.sentence)} Nothing was changed.", icon=":material/error:")
        return
    with st.form("add", border=False):
        left, right = st.columns(2)
        site = left.text_input("Site", value=reads_nodes.inventory().site, max_chars=64, key="add_site")
        sold = right.text_input("Model on rate cards", value=model, max_chars=64, key="add_model",
                                help="Its price is that of this GPU model on the rate card of whoever takes it.")
        with st.container(horizontal=True, horizontal_alignment="right"):
            kept = st.form_submit_button("Not now")
            pressed = st.form_submit_button("Add this node", type="primary")
    if kept:
        _close()
    if pressed and actions.act(lambda tx: add_seen(tx, look.id, site, me(), sold), "add",
                               f"{look.name} is added, in maintenance until you open it.").ok:
        _close()


def _failed(look: Look) -> None:
    st.error(f"{words.plain(look.trouble)} Nothing was changed.", icon=":material/error:")
    with st.container(horizontal=True, horizontal_alignment="right"):
        st.button("Close", on_click=dialogs.close, key="look_close")
        if look.node_id is None and st.button("Look again", key="look_again", type="primary"):
            asked = actions.act(lambda tx: ask_look(tx, look.name, look.host, look.port, me()), "look")
            if asked.value is not None:
                dialogs.open_dialog("add", asked.value.id, PAGE)
                st.rerun()


def begin_test(person: Person, name: str) -> None:
    """Ask a sidecar, and show what it says."""
    asked = actions.act(lambda tx: ask_test(tx, name, person), f"test {name}")
    if asked.value is not None:
        dialogs.open_dialog("test", asked.value.id, PAGE)
        st.rerun()


def _test(id: str) -> None:
    look = reads_nodes.look(me(), id)
    st.markdown(f"**{words.plain(look.name)}** :gray[{words.plain(f'{look.host}:{look.port}')}]")
    if look.stage in WAITS:
        wait(id, look.stage)
        return
    if look.probe is not None:
        tables.rows_of(_found(look))
    if look.trouble:
        _failed(look)
        return
    st.badge("It is what we sell it as", icon=":material/check_circle:", color="green")
    st.button("Close", on_click=dialogs.close, key="test_close")


def _move(kind: str, name: str) -> None:
    to, verb, words_about = MOVES[kind]
    st.markdown(words_about)
    holder = reads_nodes.holder(name)
    if holder is not None:
        st.markdown(words.plain(f"{holder.holder} holds it ({holder.wallet} pays)."))
    if to is NodeState.AVAILABLE:
        reason = "" if confirm.yes_form("move", verb, "Leave it as it is") else None
    else:
        reason = confirm.reason_form("move", verb, "Leave it as it is")
    if reason is not None and actions.act(lambda tx: move_node(tx, name, to, reason, me()), "move", f"{name} is {to}.").ok:
        _close()


def _limits(name: str) -> None:
    node = reads_nodes.node(name)
    st.markdown("Who holds it keeps their price. Empty means the site's own rule.")
    with st.form("limits", border=False):
        model = st.text_input("Model on rate cards", value=node.rate_model, max_chars=64, key="limits_model")
        most = st.text_input("At most so many of its model a person", value=str(node.per_user or ""), key="limits_most")
        least = st.text_input("A wallet must hold, to begin", key="limits_least",
                              value="" if node.minimum_balance_micro is None else amount_text(node.minimum_balance_micro))
        with st.container(horizontal=True, horizontal_alignment="right"):
            kept = st.form_submit_button("Leave it as it is")
            pressed = st.form_submit_button("Change node", type="primary")
    if kept:
        _close()
    if pressed:
        _change(name, model, most, least)


def _change(name: str, model: str, most: str, least: str) -> None:
    try:
        per_user = node_words.whole_number(most)
        micro = parse_micro(least.replace(",", "")) if least.strip() else None
    except DomainError as refusal:
        st.error(f"{words.plain(refusal.sentence)} Nothing was changed.", icon=":material/error:")
        return
    if actions.act(lambda tx: change_node(tx, name, me(), model=model.strip().lower(), per_user=per_user, minimum_balance_micro=micro),
                   "limits", f"{name} is changed.").ok:
        _close()


def try_cleanup(person: Person, one: Allocation) -> None:
    """Now instead of after its pause."""
    actions.act(lambda tx: retry_cleanup(tx, one.id, person), f"cleanup {one.id}", "A sidecar tries to clean it now.")


def about(node: Node, offer: reads_nodes.Offer) -> list[tuple[str, str]]:
    """What is known of a node, in pairs."""
    return [("Address", f"{node.address.host}:{node.address.port}"), ("Host key", node.address.host_key.fingerprint),
            ("Driver's name of its GPUs", node.gpu_model), ("Model on rate cards", node.rate_model),
            ("At most a person", f"{node.per_user} of its model" if node.per_user else "the site's limit"),
            ("To begin, a wallet holds", words.money(node.minimum_balance_micro) if node.minimum_balance_micro is not None
             else f"{words.money(offer.least_micro)} by the site's rule"),
            ("Why it stands there", node.reason or words.NOTHING)]
