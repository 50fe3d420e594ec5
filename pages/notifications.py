"""Notifications: what I was told about my nodes and wallets, the newest first."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from dashboard import actions, bell, navigation, reads_billing, tables, words
from dashboard.access import require
from engine.documents import Language
from engine.notice_words import sentence
from engine.notices import Notice
from engine.users import Action, Person

MOST = 50


def show(person: Person) -> None:
    """The page from top to bottom."""
    notices, now = reads_billing.notices(person)
    new = [one for one in notices if one.seen_at is None]
    if tables.page_head("Notifications", f"{len(new)} new" if new else "nothing new", action=(lambda: seen_button()) if new else None):
        newest = new[0].id
        if actions.act(lambda tx: tx.notices.seen(person.id, newest), "seen").ok:
            st.rerun()
    if not notices:
        tables.nothing_here("notifications", "Nobody told you anything yet", "When a node is ready, a wallet runs low or an allocation "
                            "ends, it stands here.")
        return
    only_new = st.toggle("New only", key="new", bind="query-params")
    shown = (new if only_new else notices)[:MOST]
    if not shown:
        tables.nothing_here("done_all", "Nothing new", "All of it was seen.")
    for one in shown:
        line(one, now)


def seen_button() -> bool:
    """The primary action."""
    return st.button("Mark all seen", icon=":material/done_all:", key="mark_seen")


def line(one: Notice, now: datetime) -> None:
    """One notice: what it is about, when, the sentence, and the way to it."""
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            weight = "**" if one.seen_at is None else ""
            st.markdown(f":material/{bell.icon(one)}: {weight}{words.plain(bell.title(one))}{weight}", width="content")
            with st.container(horizontal=True, vertical_alignment="center", width="content"):
                if one.seen_at is None:
                    st.badge("New", color="blue")
                st.markdown(tables.small(words.moment(one.created_at, now)), width="content")
                link(one)
        st.markdown(tables.small(words.plain(sentence(one.kind, one.facts, Language.ENGLISH, words.zone()))))


def link(one: Notice) -> None:
    """To the allocation or the wallet that it is about."""
    what, _, name = one.subject.partition(":")
    if what == "allocation":
        st.page_link(navigation.page_of("allocation"), label="Open", query_params={"id": name})
    elif what == "wallet":
        st.page_link(navigation.page_of("wallet"), label="Open", query_params={"owner": name})


show(require(Action.SEE_OWN))
