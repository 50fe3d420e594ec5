"""Parts of the finance page: the reconciliation list, and digging from a sum into what it is made of.

Where somebody has dug to stands in the address (`?by=payer&month=2026-11&account=ai-lab`), so that it can be sent on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import polars as pl
import streamlit as st

from dashboard import exports, tables
from dashboard.charts import theme
from dashboard.navigation import page_of
from dashboard.reads import ALL
from dashboard.reads_finance import Overview, compare_copy, start_of
from dashboard.words import count, moment, money, plain

DIMENSIONS = ("account", "partition", "tier", "payer")
PROVIDERS = {"manual": "Entered by hand", "wallet": "Wallet", "stripe": "Stripe", "paystack": "Paystack", "omise": "Omise",
             "dummy": "Dummy provider"}
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
        when = f"{self.month:%B %Y}" if self.month else "last 12 months"
        return " · ".join([when, *(plain(name) for name in self.only.values())])

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
        if set(opened) <= {"account", "partition"} and st.button("Show jobs", key="show_jobs", icon=":material/list:",
                                                                 disabled=row is None) and row:
            st.switch_page(page_of("usage"), query_params={"whose": ALL, "period": f"{row['month']:%Y-%m}"} | opened)


def top_accounts(top: pl.DataFrame, currency: str) -> None:
    """Accounts with their last six months, what is unbilled, and what this month cost."""
    if top.is_empty():
        st.markdown(":gray[No job has ended this month yet.]")
        return
    tables.table(
        top.select("name", "jobs", "course", unbilled=_unbilled(), cost=pl.col("cost_micro") / 1e6),
        {"name": tables.text_column("Account", 150), "jobs": tables.number_column("Jobs", 64),
         "course": st.column_config.LineChartColumn("Last 6 months", width=170, y_min=0),
         "unbilled": tables.money_column(f"Unbilled, {currency}", 118), "cost": tables.money_column(f"Cost, {currency}", 110)},
        key="top_accounts", alt="Accounts with the highest cost this month")


def sums_table(dig: Dig, found: pl.DataFrame, currency: str) -> list[int]:
    """The sums with their quantities; the answer is the selected row."""
    return tables.table(
        found.select(month=pl.col("month").dt.strftime("%b %Y"), name="name", jobs="jobs", cpu=pl.col("cpu_core_seconds") / 3600,
                     gpu=pl.col("gpu_seconds") / 3600, mem=pl.col("mem_mib_seconds") / 3600 / 1024, unbilled=_unbilled(),
                     cost=pl.col("cost_micro") / 1e6),
        {"month": tables.text_column("Month", 90), "name": tables.text_column(dig.by.capitalize(), 210),
         "jobs": tables.number_column("Jobs", 80), "cpu": tables.number_column("CPU, core-h", 118),
         "gpu": tables.number_column("GPU, GPU-h", 112), "mem": tables.number_column("Memory, GiB-h", 128),
         "unbilled": tables.money_column(f"Unbilled, {currency}", 132), "cost": tables.money_column(f"Cost, {currency}", 128)},
        key=f"sums_{dig.key}", select="single-row", alt="Sums by month")


def _unbilled() -> pl.Expr:
    return (pl.col("cost_micro") - pl.col("billed_micro")) / 1e6


def downloads(found: pl.DataFrame, by: str, currency: str, now: datetime) -> None:
    """The sums as files, quantities in whole seconds and money in exact decimals."""
    micro = [name for name in found.columns if name.endswith("_micro")]
    money_columns = [exports.exact(name).alias(name.removesuffix("_micro")) for name in micro]
    rows = found.with_columns(*money_columns, currency=pl.lit(currency)).drop(micro).rename({"name": by})
    file = f"corehours-by-{by}-{now:%Y-%m-%d}"
    with st.container(horizontal=True, width="content"):
        st.download_button("CSV", lambda: exports.csv(rows), f"{file}.csv", "text/csv", icon=":material/download:",
                           on_click="ignore")
        st.download_button("Parquet", lambda: exports.parquet(rows), f"{file}.parquet", icon=":material/download:",
                           on_click="ignore")


def reconciliation(page: Overview) -> None:
    """Do the books agree with the world: each provider, each source, the analytics copy, the audit chain."""
    for row in page.providers.iter_rows(named=True):
        _provider(row, page.now)
    for mark in page.watermarks:
        late = page.now - mark.complete_to > page.promise
        _line(f"Slurm {plain(mark.cluster)}", "Late" if late else "Complete", "orange" if late else "green",
              moment(mark.complete_to, page.now))
    if not page.watermarks:
        _line("Slurm", "No usage yet", "gray", "")
    _chain(page)
    _copy(page)


def _provider(row: Mapping[str, Any], now: datetime) -> None:
    off = row["clearing_micro"] - row["paid_micro"] - row["unapplied_micro"]
    name = PROVIDERS.get(row["provider"], row["provider"].capitalize())
    if off:
        _line(name, f"Off by {money(off)}", "red", "")
    elif row["unapplied_micro"]:
        _line(name, "Unapplied", "orange", money(row["unapplied_micro"]))
    else:
        _line(name, "Matched", "green", moment(row["last_at"], now) if row["last_at"] else "")


def _chain(page: Overview) -> None:
    if page.verified is None:
        _line("Audit chain", "Not verified yet", "gray", "")
        return
    holds = bool(page.verified.facts.get("ok"))
    _line("Audit chain", "Verified" if holds else "Broken", "green" if holds else "red", moment(page.verified.at, page.now))


def _copy(page: Overview) -> None:
    """The analytics copy beside Postgres: up to date, or compared to the micro-unit when somebody asks."""
    if st.session_state.pop("compare_copy", False):
        st.session_state["copy_compared"] = (page.now, compare_copy())
    compared, waiting = st.session_state.get("copy_compared"), page.waiting_batches
    if waiting:
        _line("Analytics copy", count(waiting, "batch", "batches") + " waiting", "orange", "")
    elif compared:
        at, differences = compared
        _line("Analytics copy", "Differs" if differences else "Equals Postgres", "red" if differences else "green",
              moment(at, page.now))
        for sentence in differences:
            st.text(sentence)
    else:
        _line("Analytics copy", "Up to date", "green", "")
    st.button("Compare with Postgres", icon=":material/balance:", type="tertiary", on_click=_ask_to_compare,
              help="Adds both up anew: by tier and currency, to the micro-unit")


def _ask_to_compare() -> None:
    st.session_state["compare_copy"] = True


def _line(name: str, state: str, colour: str, note: str) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(name, width="content")
        with st.container(horizontal=True, vertical_alignment="center", width="content", horizontal_alignment="right"):
            st.badge(state, color=colour)       # type: ignore[arg-type]
            if note:
                st.markdown(f":gray[{plain(note)}]", width="content")
