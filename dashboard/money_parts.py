"""Parts that the pages about money in and out share: states with counts, a search, a download; where one looks stands in the
address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import polars as pl
import streamlit as st

from dashboard import exports, tables
from dashboard.words import duration

ROWS = 50
PATIENCE_SECONDS = 300          # what waits longer is worth a question


def chosen(states: Sequence[str]) -> tuple[str | None, str, int]:
    """(state, text searched for, rows to skip), as the address and the pagination say."""
    state = st.query_params.get("state", "")
    return (state if state in states else None), st.query_params.get("q", ""), (int(st.session_state.get("money_page", 1)) - 1) * ROWS


def filters(counts: Mapping[str, int], states: Sequence[str], what: str, find: str) -> None:
    """A pill a state that occurs, and a search."""
    state, text, _ = chosen(states)
    st.session_state["money_state"], st.session_state["money_text"] = state, text
    with st.container(horizontal=True, vertical_alignment="center"):
        shown = [name for name in states if counts.get(name) or name == state]
        st.text_input("Search", key="money_text", placeholder=find, label_visibility="collapsed", width=280, on_change=_write)
        if shown:
            st.pills(f"State of {what}", shown, key="money_state", label_visibility="collapsed", on_change=_write,
                     format_func=lambda name: f"{name.capitalize()} {counts.get(name, 0)}")


def _write() -> None:
    """Write what was chosen into the address."""
    for name, value in (("state", st.session_state.get("money_state")), ("q", st.session_state.get("money_text"))):
        if value:
            st.query_params[name] = value
        else:
            st.query_params.pop(name, None)
    st.session_state["money_page"] = 1


def clear() -> None:
    """Show everything again."""
    for name in ("state", "q"):
        st.query_params.pop(name, None)
    st.session_state["money_page"] = 1


def foot(matching: int, rows: Callable[[], pl.DataFrame], name: str, now: datetime) -> None:
    """Pagination, and the whole list as CSV: amounts as exact decimals with their currency."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        if matching > ROWS:
            st.pagination(-(-matching // ROWS), key="money_page")
        else:
            st.space("small")
        st.download_button("CSV", lambda: exports.csv(as_file(rows())), f"corehours-{name}-{now:%Y-%m-%d}.csv", "text/csv",
                           icon=":material/download:", on_click="ignore", key=f"csv_{name}")


def as_file(rows: pl.DataFrame) -> pl.DataFrame:
    """Micro-units as exact decimals, under the name without `_micro`."""
    return rows.with_columns(exports.exact(name) for name in rows.columns if name.endswith("_micro")).rename(
        {name: name.removesuffix("_micro") for name in rows.columns if name.endswith("_micro")})


def waiting_kpis(counts: Mapping[str, int], waiting: Sequence[str], dead: str, done: str, oldest_seconds: float) -> None:
    """Four figures of a queue: what waits, for how long, what rests for a person, what is done."""
    waits, rests = sum(counts.get(state, 0) for state in waiting), counts.get(dead, 0)
    stuck = oldest_seconds > PATIENCE_SECONDS
    tables.kpi_row([
        tables.Kpi("Waiting", f"{waits:,}", "a sidecar takes them" if waits else "nothing due"),
        tables.Kpi("Oldest waiting", duration(int(oldest_seconds)) if waits else "–", "is a sidecar running?" if stuck else "",
                   colour="orange" if stuck else "gray"),
        tables.Kpi(dead.capitalize(), f"{rests:,}", "somebody must look" if rests else "none", colour="red" if rests else "green"),
        tables.Kpi(done.capitalize(), f"{counts.get(done, 0):,}", "all time"),
    ])
