"""The furniture of a page: its head, its KPI row, cards, tables with a width budget, and what stands where there is nothing.

Foreign text (job names, reasons, user names) goes through `st.text`, `st.dataframe` or `words.plain` only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import polars as pl
import streamlit as st

from dashboard.exports import FORMULA
from dashboard.words import JOINER, NOTHING, STATE_COLOURS, plain, state_colour

PAGE_WIDTH = 1036                      # pixels a page gives a table at 1440
SELECTION_WIDTH = 36
ROW_HEIGHT = 32
ROWS_IN_FULL = 15


@dataclass(frozen=True, slots=True)
class Kpi:
    """One figure of the KPI row. `note` is the plain second line, `chart` a sparkline: all four have one or none."""

    label: str
    value: str
    note: str = ""
    help: str | None = None
    colour: str = "gray"
    chart: Sequence[float] | None = None
    chart_type: str = "line"


def page_head(title: str, subtitle: str = "", freshness: tuple[str, str, str] | None = None,
              action: Callable[[], Any] | None = None) -> Any:
    """The page's first line: title, grey subtitle; at the right the freshness badge and at most one action, which is
    drawn by `action` (a function that makes one button) and whose answer is returned."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        with st.container(gap=None, width="content"):
            st.title(title, anchor=False)
            if subtitle:
                st.markdown(f":gray[:small[{subtitle}]]")
        with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", width="content"):
            if freshness:
                words, icon, colour = freshness
                st.badge(words, icon=icon, color=colour)        # type: ignore[arg-type]
            return action() if action else None


def kpi_row(kpis: Sequence[Kpi]) -> None:
    """Four figures: four across on a desk, two by two on a phone."""
    halves = st.columns(2)
    for half, pair in zip(halves, (kpis[:2], kpis[2:4]), strict=True):
        with half:
            for column, kpi in zip(st.columns(2, wrap=False), pair, strict=False):
                column.metric(kpi.label, kpi.value, kpi.note or None, border=True, delta_color=_delta_colour(kpi.colour),
                              delta_arrow="off", help=kpi.help, height="stretch",
                              chart_data=list(kpi.chart) if kpi.chart else None, chart_type=kpi.chart_type)  # type: ignore[arg-type]


def _delta_colour(colour: str) -> Any:
    return "off" if colour == "gray" else colour


@contextmanager
def card(title: str = "", note: str = "", height: Any = "stretch", key: str | None = None) -> Iterator[None]:
    """A bordered card with its title and a grey note beside it."""
    with st.container(border=True, height=height, key=key):
        if title:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.subheader(title, anchor=False, width="content")
                if note:
                    st.markdown(f":gray[:small[{note}]]", width="content")
        yield


def table(rows: Any, columns: Mapping[str, Any], key: str, *, select: str = "", alt: str = "", on_select: Any = "rerun",
          height: int | None = None) -> list[int]:
    """A table whose columns are `columns` in that order, each with its width. `select` is "", "single-row" or "multi-row";
    the answer is the list of selected row numbers."""
    length = len(rows)
    full = "content" if length <= ROWS_IN_FULL else (height or int(ROW_HEIGHT * (ROWS_IN_FULL - 2.5)))
    event = st.dataframe(
        harmless(rows), key=key, column_config=dict(columns), column_order=list(columns), hide_index=True, height=full,
        row_height=ROW_HEIGHT, placeholder=NOTHING, alt=alt or None,
        **({"on_select": on_select, "selection_mode": select} if select else {}))
    return list(event["selection"]["rows"]) if select else []


def key_of(name: str, rows: Iterable[str]) -> str:
    """The key of a table whose selection is acted on: other rows are another table, so that what is selected never slips
    to the row that moved up."""
    return f"{name}_{crc32(chr(31).join(rows).encode()):08x}"


def harmless(rows: Any) -> Any:
    """`rows` with an invisible sign before every text that a spreadsheet would run as a formula: the table's own toolbar
    saves what it shows as CSV."""
    if isinstance(rows, pl.DataFrame):
        return rows.with_columns(pl.when(pl.col(pl.String).str.contains(FORMULA)).then(JOINER + pl.col(pl.String))
                                 .otherwise(pl.col(pl.String)).name.keep())
    if isinstance(rows, list) and rows and isinstance(rows[0], dict):
        return [{name: JOINER + value if isinstance(value, str) and re.match(FORMULA, value) else value
                 for name, value in row.items()} for row in rows]
    return rows


def text_column(label: str, width: int, help: str | None = None) -> Any:
    """Words and identifiers; identifiers are text, never `184,462`."""
    return st.column_config.TextColumn(label, width=width, help=help)


def money_column(label: str, width: int = 90, decimals: int = 2, help: str | None = None) -> Any:
    """Amounts; give major units as floats made by `major`. The currency stands in the label: "Cost, THB"."""
    return st.column_config.NumberColumn(label, width=width, format=f"%,.{decimals}f", help=help)


def number_column(label: str, width: int = 70, decimals: int = 0, help: str | None = None) -> Any:
    """Counts and quantities, right-aligned."""
    return st.column_config.NumberColumn(label, width=width, format=f"%,.{decimals}f", help=help)


def share_column(label: str, width: int = 130, help: str | None = None) -> Any:
    """A share of 0 to 100 as a bar; null where it does not apply."""
    return st.column_config.ProgressColumn(label, width=width, format="%d%%", min_value=0, max_value=100, help=help)


def link_column(label: str, width: int, shown: str | None = None) -> Any:
    """A link whose cell holds the address; `shown` is a pattern with one group for what is shown."""
    return st.column_config.LinkColumn(label, width=width, display_text=shown)


def state_column(label: str, width: int = 96, states: Sequence[str] | None = None) -> Any:
    """States as coloured pills; the cells are lists of one state, see `pill`."""
    options = list(states or STATE_COLOURS)
    return st.column_config.MultiselectColumn(
        label, width=width, options=options, color=[state_colour(state) for state in options],
        format_func=lambda state: state.replace("_", " ").capitalize())


def pill(state: str | None) -> list[str]:
    """The cell of a state column."""
    return [state] if state else []


def major(micro: int | None) -> float | None:
    """Micro-units as the float a table cell draws (never computed with)."""
    return None if micro is None else micro / 1e6


def state_badge(state: str) -> None:
    """One state as a badge."""
    st.badge(state.replace("_", " ").capitalize(), color=state_colour(state))        # type: ignore[arg-type]


def small(words: str) -> str:
    """Markdown for a small grey note; foreign words in it went through `plain`."""
    return f":gray[:small[{words}]]"


def nothing_here(icon: str, line: str, cause: str = "", button: Callable[[], Any] | None = None) -> Any:
    """The card that stands where a table would be empty: icon, bold line, grey cause, one button drawn by `button`."""
    with st.container(border=True, horizontal_alignment="center"):
        st.space("small")
        st.markdown(f":gray[:material/{icon}:]", width="content", text_alignment="center")
        st.markdown(f"**{line}**", width="content", text_alignment="center")
        if cause:
            st.markdown(f":gray[:small[{cause}]]", width="content", text_alignment="center")
        answer = button() if button else None
        st.space("small")
        return answer


def sums(*parts: str) -> None:
    """The line above a table: `92 jobs · 12,808.23 THB · 8 to 14 Nov`, its first two parts bold."""
    st.markdown(" · ".join([f"**{part}**" for part in parts[:2]] + [f":gray[{part}]" for part in parts[2:]]))


def rows_of(label_values: Sequence[tuple[str, str]]) -> None:
    """Pairs of a grey label and a right-hand value, one line each."""
    for label, value in label_values:
        with st.container(horizontal=True, horizontal_alignment="distribute", gap=None):
            st.markdown(f":gray[:small[{label}]]", width="content")
            st.markdown(f":small[{plain(value)}]", width="content")
