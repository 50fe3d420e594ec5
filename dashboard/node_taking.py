"""Taking a node: the dialog that says what it costs and how long the wallet lasts, and the one that shows a new key once.

A key that is made here lives in the session between the click and the end of the dialog that shows it, and nowhere else.
"""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from dashboard import actions, dialogs, node_words, reads_nodes, tables, wallet_parts, words
from dashboard.access import me
from data.ssh_keys import KeyPair, new_key_pair
from engine.errors import DomainError
from engine.services.allocations import request_allocation
from engine.users import Person

PAGE = "nodes"
NEW, PASTE, LAST = "Make me a key", "Paste my key", "The key I used last"


def take(name: str, wallet: str) -> None:
    """The dialog about a node."""
    st.dialog(f"Take {name}?", width="medium", on_dismiss=dialogs.close)(_take)(name, wallet)


def _take(name: str, wallet: str) -> None:
    person = me()
    try:
        page, offer = reads_nodes.offer(person, name, st.session_state.get("take_wallet") or wallet)
    except DomainError as refusal:
        st.error(f"{words.plain(refusal.sentence)} Nothing was changed.", icon=":material/error:")
        return
    st.markdown(f"**{words.plain(node_words.gpus(offer.node))}** :gray[{words.plain(offer.node.site)}]")
    if len(page.purses) > 1:
        st.segmented_control("Wallet that pays", [one.owner for one in page.purses], default=page.purse.owner, required=True,
                             key="take_wallet", format_func=wallet_parts.whose)
    if offer.price_micro is None:
        st.error("No rate card prices this node for that wallet: ask an admin.", icon=":material/error:")
        return
    costs(page, offer, offer.price_micro)
    options = [*([LAST] if page.last_key else []), NEW, PASTE]
    kind = st.segmented_control("SSH key", options, default=options[0], required=True, key="take_key")
    with st.form("take", border=False, enter_to_submit=False):
        typed = st.text_area("Public key", placeholder="ssh-ed25519 AAAA… you@laptop", height=80, key="take_typed") if kind == PASTE else ""
        if kind == NEW:
            st.markdown(tables.small("You download its private half with the next step; it is shown once and kept nowhere here."))
        left, right = st.columns(2)
        term = left.selectbox("Keep it", list(node_words.TERMS), key="take_term")
        idle = right.selectbox("When its GPUs do nothing", list(node_words.IDLE), key="take_idle")
        with st.container(horizontal=True, horizontal_alignment="right"):
            kept = st.form_submit_button("Not now")
            pressed = st.form_submit_button("Take node", type="primary", icon=":material/play_arrow:")
    if kept:
        dialogs.close()
        st.rerun()
    if pressed:
        begin(person, page, offer, _key_text(str(kind), typed, page.last_key, name), str(term), str(idle))


def costs(page: reads_nodes.Catalogue, offer: reads_nodes.Offer, price_micro: int) -> None:
    """The price, what the wallet holds, and how long that lasts with what runs on it already."""
    purse = page.purse
    lasts = purse.lasts_seconds(price_micro)
    rows = [("Price an hour", words.money(price_micro, purse.currency)),
            ("Needed to begin", words.money(offer.least_micro, purse.currency)),
            ("The wallet holds", words.money(purse.left_micro, purse.currency))]
    if purse.burn_micro:
        rows.append(("Already runs on it, an hour", words.money(purse.burn_micro, purse.currency)))
    tables.rows_of([*rows, ("It lasts until", node_words.lasts_until(lasts, page.now))])
    st.markdown(tables.small("Charged by the second from when you can log in. The price stays as it is for this allocation."))


def _key_text(kind: str, typed: str, last: str, name: str) -> str:
    """The public key to use; a new pair stays in the session until its dialog ends, so that a second click finds the same one."""
    if kind == NEW:
        if dialogs.SECRET not in st.session_state:
            st.session_state[dialogs.SECRET] = new_key_pair(f"corehours-{name}")
        pair: KeyPair = st.session_state[dialogs.SECRET]
        return pair.public.line
    dialogs.forget_secret()
    return last if kind == LAST else typed


def begin(person: Person, page: reads_nodes.Catalogue, offer: reads_nodes.Offer, key_text: str, term: str, idle: str) -> None:
    """Ask for the node; once, however often the button is pressed."""
    name, hours = offer.node.address.name, node_words.TERMS[term]
    until = None if hours is None else page.now + timedelta(hours=hours)
    form = f"take {name}"
    request = actions.form_key(form)
    asked = actions.act(lambda tx: request_allocation(tx, name, key_text, page.purse.owner, person, request, until, node_words.IDLE[idle]),
                        form, f"{name} is being set up for you.")
    if asked.value is None:
        return
    if dialogs.SECRET in st.session_state:
        dialogs.open_dialog("taken", asked.value.id, PAGE)
    else:
        dialogs.close()
    st.rerun()


def taken(id: str) -> None:
    """The dialog that shows a new private key, once."""
    st.dialog("Keep this key", width="medium", dismissible=True, on_dismiss=dialogs.close)(_taken)(id)


def _taken(id: str) -> None:
    pair: KeyPair | None = st.session_state.get(dialogs.SECRET)
    if pair is None:
        dialogs.close()
        st.rerun()
    assert pair is not None
    held, _ = reads_nodes.held(me(), id)
    name = f"corehours-{held.node.address.name}"
    st.markdown(f"This private key is the only way into **{words.plain(held.node.address.name)}**. It is shown this once and kept "
                "nowhere here: download it before you close this.")
    st.download_button("Download private key", lambda: pair.private, name, "application/octet-stream", on_click="ignore", type="primary",
                       icon=":material/download:", key="private_key")
    st.markdown("Then, in a terminal where the file is:")
    st.code(f"chmod 600 {name}\n{node_words.ssh_command(held.node, held.allocation, name)}", language=None)
    price = words.money(held.allocation.price_micro_per_hour, held.allocation.currency)
    st.markdown(tables.small(f"At {price} an hour the wallet lasts for "
                             f"{_lasts(held)}."))
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("I have the key", key="have_key"):
            dialogs.close()
            st.rerun()


def _lasts(held: reads_nodes.Held) -> str:
    more = 0 if held.allocation.active_at else held.allocation.price_micro_per_hour
    seconds = held.purse.lasts_seconds(more)
    return "good" if seconds is None else node_words.lasts(seconds)
