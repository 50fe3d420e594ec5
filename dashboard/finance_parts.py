"""Parts of the finance page: the reconciliation list, and digging from a sum into what it is made of.

Where somebody has dug to stands in the address (`?by=payer&month=2026-11&account=ai-lab`), so that it can be sent on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import polars as pl
import streamlit as st

from dashboard.charts import theme
from dashboard.reads_finance import Overview, start_of
from dashboard.words import count, moment, money, plain

DIMENSIONS = ("account", "partition", "tier", "payer")
AGE_COLOURS = {"light": ("#7B8AA1", "#B38600", "#D9740C", "#CF5310", "#B3261E"),
               "dark": ("#8796AB", "#EACA4E", "#F2A03D", "#E8743B", "#F2787A")}


@dataclass(frozen=True, slots=True)
class Dig:
    """Which sums: by one dimension, in one month (None: the last twelve), narrowed to what was opened before."""

    by: str = "account"
    month: date | None = None
    only: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_address(cls, months: Sequence[date]) -> Dig:
        """As the page's address says; what it does not know is passed over."""
        given = st.query_params.to_dict()
        month = next((month for month in months if f"{month:%Y-%m}" == given.get("month")), None)
        by = given.get("by", "account")
        return cls(by if by in DIMENSIONS else "account", month, {name: given[name] for name in DIMENSIONS if given.get(name)})

    def to_address(self) -> None:
        """Write it into the page's address."""
        st.query_params.from_dict(self.query())

    def query(self) -> dict[str, str]:
        """As words of an address; what is usual is left out."""
        month = {"month": f"{self.month:%Y-%m}"} if self.month else {}
        return ({} if self.by == "account" else {"by": self.by}) | month | dict(self.only)

    @property
    def key(self) -> str:
        """Names its table: a selection belongs to these rows only."""
        return urlencode(self.query())

    def span(self, months: Sequence[date], zone: ZoneInfo) -> tuple[datetime, datetime]:
        """[start, end) of what it shows."""
        first, last = self.month or months[0], self.month or months[-1]
        return start_of(first, zone), start_of(date(last.year + last.month // 12, last.month % 12 + 1, 1), zone)

    def words(self) -> str:
        """What is shown, for the line of sums."""
        return " · ".join([f"{self.month:%B %Y}" if self.month else "last 12 months", *(plain(name) for name in self.only.values())])

    def clear(self) -> None:
        """Start over."""
        Dig(self.by).to_address()


def age_colours() -> tuple[str, ...]:
    """A colour for each of the five ages of a receivable, from calm to late."""
    return AGE_COLOURS[theme()]


def narrowing(dig: Dig, months: Sequence[date]) -> Dig:
    """The row of choices: by what, which month, and what it is narrowed to (each with a way out)."""
    with st.container(horizontal=True, vertical_alignment="center"):
        free = [name for name in DIMENSIONS if name not in dig.only] or list(DIMENSIONS)
        by = st.segmented_control("By", free, default=dig.by if dig.by in free else free[0], required=True,
                                  format_func=lambda name: f"By {name}", label_visibility="collapsed", key=f"by_{dig.key}")
        choices = [None, *reversed(months)]
        month = st.selectbox("Month", choices, index=choices.index(dig.month), width=180, label_visibility="collapsed",
                             format_func=lambda month: f"{month:%B %Y}" if month else "Last 12 months", key=f"month_{dig.key}")
        for name, value in dig.only.items():
            st.button(f"{name}: {plain(value)}", icon=":material/close:", help=f"Show every {name} again", key=f"drop_{name}",
                      on_click=_without(dig, name).to_address)
    chosen = replace(dig, by=by or dig.by, month=month)
    if chosen != dig:
        chosen.to_address()
        st.rerun()
    return chosen


def _without(dig: Dig, name: str) -> Dig:
    return replace(dig, by=name, only={key: value for key, value in dig.only.items() if key != name})


def drill_bar(dig: Dig, found: pl.DataFrame, rows: Sequence[int]) -> None:
    """What the selected sum can be opened by; disabled until one is selected."""
    row = found.row(rows[0], named=True) if rows else None
    opened = dict(dig.only) | ({dig.by: row["name"]} if row else {})
    with st.container(horizontal=True, vertical_alignment="center", width="content"):
        if row:
            st.markdown(f"**{plain(row['name'])}** :gray[in {row['month']:%b %Y}]", width="content")
        else:
            st.markdown(":gray[:small[Select a row to open it]]", width="content")
        for name in DIMENSIONS:
            if name not in dig.only and name != dig.by:
                deeper = Dig(name, row["month"] if row else None, opened)
                st.button(f"By {name}", key=f"open_{name}", disabled=row is None, on_click=deeper.to_address)


def reconciliation(page: Overview) -> None:
    """Do the books agree with the world: each provider, each source, the analytics copy, the audit chain."""
    for row in page.providers.iter_rows(named=True):
        off = row["clearing_micro"] - row["paid_micro"] - row["unapplied_micro"]
        when = moment(row["last_at"], page.now) if row["last_at"] else ""
        name = {"manual": "Entered by hand", "dummy": "Dummy provider"}.get(row["provider"], row["provider"].capitalize())
        if off:
            _line(name, f"Off by {money(off)}", "red", when)
        elif row["unapplied_micro"]:
            _line(name, "Unapplied", "orange", money(row["unapplied_micro"]))
        else:
            _line(name, "Matched", "green", when)
    for mark in page.watermarks:
        late = page.now - mark.complete_to > page.promise
        _line(f"Slurm {plain(mark.cluster)}", "Late" if late else "Complete", "orange" if late else "green", moment(mark.complete_to, page.now))
    if not page.watermarks:
        _line("Slurm", "No usage yet", "gray", "")
    waiting = page.waiting_batches
    _line("Analytics copy", count(waiting, "batch", "batches") + " waiting" if waiting else "Up to date",
          "orange" if waiting else "green", "")
    facts = page.verified.facts if page.verified else {}
    _line("Audit chain", "Verified" if facts.get("ok") else "Broken" if facts else "Not verified yet",
          "green" if facts.get("ok") else "red" if facts else "gray", moment(page.verified.at, page.now) if page.verified else "")


def _line(name: str, state: str, colour: str, note: str) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(name, width="content")
        with st.container(horizontal=True, vertical_alignment="center", width="content", horizontal_alignment="right"):
            st.badge(state, color=colour)       # type: ignore[arg-type]
            if note:
                st.markdown(f":gray[{plain(note)}]", width="content")
