"""Whose usage a page shows: one's own, the projects one leads, everybody's. The choice stands in the address."""

from __future__ import annotations

import streamlit as st

from dashboard import reads, words
from data.postgres.shelves.usage_reads import Scope
from engine.users import Person


def scope_switch(person: Person, what: str = "usage", projects: bool = True) -> str:
    """Draw the switch where there is a choice; returns reads.OWN, PROJECTS or ALL. `what` is what is shown of them."""
    options = [option for option in reads.scopes(person) if projects or option != reads.PROJECTS]
    if len(options) == 1:
        return options[0]
    usual = reads.usual_scope(person)
    now = st.query_params.get("whose", usual)
    st.session_state["whose"] = now if now in options else usual
    labels = {reads.OWN: f"My {what}", reads.PROJECTS: "My projects", reads.ALL: "Everybody"}
    chosen = st.segmented_control("Whose usage", options, required=True, key="whose", format_func=lambda choice: labels[choice],
                                  label_visibility="collapsed", on_change=_remember, args=(usual,))
    return chosen or usual


def _remember(usual: str) -> None:
    chosen = st.session_state["whose"]
    if chosen and chosen != usual:
        st.query_params["whose"] = chosen
    else:
        st.query_params.pop("whose", None)


def whose(person: Person, choice: str, standing: reads.Standing) -> str:
    """The words under a title: whose usage, at which tier and card, in which currency."""
    if choice == reads.ALL:
        return f"Everybody · amounts in {standing.currency}"
    if choice == reads.PROJECTS:
        return f"Projects {words.plain(', '.join(person.projects))} · amounts in {standing.currency}"
    return (f"{words.plain(person.payer)} · tier {standing.tier} · rate card {words.plain(standing.card)}"
            f" · amounts in {standing.currency}")


def scope(person: Person, choice: str) -> Scope:
    """The rows behind the choice."""
    return reads.scope_of(person, choice)
