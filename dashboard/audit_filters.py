"""The audit page's filters. They stand in the address, so that a link shows what its sender saw."""

from __future__ import annotations

from datetime import date, timedelta

import streamlit as st

from dashboard import reads_finance, words
from dashboard.reads_operations import AuditFilter


def chosen(key: str) -> str | None:
    """A filter of the address; None when it is not there."""
    return st.query_params.get(key) or None


def day_of(key: str) -> date | None:
    """A day of the address; None when it is no day."""
    try:
        return date.fromisoformat(chosen(key) or "")
    except ValueError:
        return None


def the_filter() -> AuditFilter:
    """What the address asks for; days are the site's and the last one counts whole."""
    start, end = day_of("from"), day_of("to")
    return AuditFilter(chosen("actor"), chosen("action"), chosen("subject"),
                       reads_finance.start_of(start, words.zone()) if start else None,
                       reads_finance.start_of(end + timedelta(days=1), words.zone()) if end else None)


def keep(key: str) -> None:
    """Write a filter into the address; the page number starts over."""
    value = st.session_state[f"audit_{key}"]
    st.query_params[key] = value or ""
    if not value:
        del st.query_params[key]
    st.session_state["audit_page"] = 1


def keep_period() -> None:
    """Write the period into the address."""
    period = st.session_state["audit_period"] or ()
    for key, value in zip(("from", "to"), period, strict=False):
        st.query_params[key] = value.isoformat()
    if not period:
        st.query_params.pop("from", None)
        st.query_params.pop("to", None)
    st.session_state["audit_page"] = 1


def clear() -> None:
    """Show everything again."""
    st.query_params.clear()
    for key in ("actor", "action", "subject", "period"):
        st.session_state.pop(f"audit_{key}", None)


def filters(actors: list[str], names: list[str]) -> None:
    """The row of filters."""
    with st.container(horizontal=True, vertical_alignment="center"):
        for key, options, every in (("actor", actors, "Everybody"), ("action", names, "Every action")):
            value = chosen(key)
            listed = sorted({*options, *([value] if value else [])})
            st.selectbox(key.capitalize(), listed, index=listed.index(value) if value else None, placeholder=every, width=190,
                         key=f"audit_{key}", label_visibility="collapsed", on_change=keep, args=(key,))
        st.text_input("Subject", chosen("subject") or "", placeholder="Part of a subject, say receipt:", key="audit_subject",
                      width=230, label_visibility="collapsed", icon=":material/search:", on_change=keep, args=("subject",))
        period = tuple(day for day in (day_of("from"), day_of("to")) if day)
        st.date_input("Period", period, key="audit_period", width=230, label_visibility="collapsed", format="YYYY-MM-DD",
                      on_change=keep_period)
        st.button("Clear", icon=":material/filter_alt_off:", type="tertiary", on_click=clear,
                  disabled=the_filter() == AuditFilter())
