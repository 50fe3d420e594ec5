"""Usage: every job with its price. Filters stand in the address; the chart digs from year to day, a row explains itself."""

from __future__ import annotations

from datetime import date

import streamlit as st

from dashboard import charts, explaining, job_table, reads, tables, usage_filters, words
from dashboard.access import require
from dashboard.scope_switch import scope_switch, whose
from dashboard.usage_export import export
from dashboard.usage_filters import Shown
from engine.users import Action, Person

PAGE_ROWS = 100
COLUMNS = ("ended", "job", "name", "account", "user", "partition", "state", "hours", "cores", "gpus", "cpu_share", "cost",
           "billing")
WIDTHS = {"ended": 92, "job": 66, "name": 116, "account": 74, "user": 84, "partition": 66, "state": 104, "hours": 52, "cores": 50,
          "gpus": 48, "cpu_share": 84, "cost": 80, "billing": 84}
OWN = {"name": 166, "account": 80, "cpu_share": 92, "job": 76}              # without the user, who is oneself


def show(person: Person) -> None:
    """The page from top to bottom."""
    standing = reads.standing(person)
    head = st.container()
    choice, shown = filtered(person, standing)
    days = reads.chart(shown.scope, shown.chart_filters, shown.period.unit, standing.now)
    with tables.card(f"Cost by {shown.period.unit}", note(shown, days, standing), "content", "chart_card"):
        span = chart(shown, days, standing)
    shown = shown.narrowed(*span) if span else shown
    totals, _ = reads.runs(shown.scope, shown.filters, 0)
    with head:
        tables.page_head("Usage", f"Every job with its price · {whose(person, choice, standing)}", standing.freshness,
                         lambda: export(shown, totals.jobs))
    sums(shown, totals, standing)
    if totals.jobs:
        jobs(person, shown, totals.jobs, standing)
    else:
        nothing(shown)
    linked(person)


def filtered(person: Person, standing: reads.Standing) -> tuple[str, Shown]:
    """The filters in one row; whose usage and when in a row of their own where there is a choice of whose."""
    first = st.container(horizontal=True, vertical_alignment="center")
    second = st.container(horizontal=True, vertical_alignment="center") if len(reads.scopes(person)) > 1 else first
    with first:
        choice = scope_switch(person)
        period = usage_filters.period_choice(standing.now)
    with second:
        return choice, usage_filters.row(person, reads.scope_of(person, choice), period, standing.now)


def note(shown: Shown, days: reads.Days, standing: reads.Standing) -> str:
    """Of when the picture is, and what one can do with it."""
    how = "click a month to open it" if shown.period.unit == "month" else "drag across days to narrow the table"
    as_of = f", as of {words.moment(days.as_of, standing.now)}" if days.as_of else ""
    return f"{standing.currency}, by meter{as_of} · {how}"


def chart(shown: Shown, days: reads.Days, standing: reads.Standing) -> tuple[date, date] | None:
    """Cost by day or month; returns the days that were brushed. One month brushed opens that month."""
    usage_filters.trail(shown.period)
    unit, today = shown.period.unit, standing.now.astimezone(words.zone()).date()
    if days.empty:
        st.markdown(tables.small("Nothing ended in these days."))
        return None
    unfinished = today.replace(day=1) if unit == "month" else today
    event = charts.stacked_days(days.starts, days.micro, f"usage_{shown.key}", unfinished=unfinished, height=210, select=True,
                                unit=unit, alt=f"Cost by {unit} and meter")
    span = charts.brushed(event)
    if span and unit == "month" and span[0] == span[1]:
        usage_filters.open_period(f"{span[0]:%Y-%m}")
        st.rerun()
    return (span[0], usage_filters.last_day(span[1])) if span and unit == "month" else span


def sums(shown: Shown, totals: reads.Totals, standing: reads.Standing) -> None:
    """How many jobs, what they cost together, in which days; more sums in grey."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        unended = totals.jobs - totals.ended
        parts = [words.count(totals.jobs, "job"), usage_filters.sum_words(totals, standing.currency),
                 usage_filters.days_words(shown.period), f"{words.quantity(totals.cpu_core_seconds, 'cpu')} core-h",
                 f"{words.quantity(totals.gpu_seconds, 'gpu')} GPU-h"]
        with st.container(width="content"):
            tables.sums(*parts, *([f"{unended} not ended"] if unended else []))
        st.markdown(tables.small("Select a row to see how its price was made"), width="content")


def jobs(person: Person, shown: Shown, count: int, standing: reads.Standing) -> None:
    """One page of the table; a selected row opens the explanation."""
    pages = -(-count // PAGE_ROWS)
    key = f"jobs_{shown.key}"
    number = int(st.session_state.get(f"{key}_page", 1)) if pages > 1 else 1
    _, found = reads.runs(shown.scope, shown.filters, PAGE_ROWS, (number - 1) * PAGE_ROWS)
    own = shown.scope.payer == person.payer
    names = [name for name in COLUMNS if not (own and name == "user")]
    columns = job_table.columns(names, standing.currency, WIDTHS | (OWN if own else {}))
    selected = tables.table(job_table.rows(found), columns, key=f"{key}_{number}", select="single-row", on_select=_selected,
                            height=430, alt="Jobs with their price")
    if pages > 1:
        st.pagination(pages, key=f"{key}_page")
    if st.session_state.pop("row_selected", False) and selected:
        run_key = str(found["run_key"][selected[0]])
        st.query_params["job"] = run_key
        st.session_state["explained"] = run_key
        explaining.explain_cost(person, run_key)


def _selected() -> None:
    st.session_state["row_selected"] = True


def linked(person: Person) -> None:
    """A job named in the address opens its explanation, once."""
    run_key = st.query_params.get("job")
    if run_key and st.session_state.get("explained") != run_key:
        st.session_state["explained"] = run_key
        explaining.explain_cost(person, run_key)
    if not run_key:
        st.session_state.pop("explained", None)


def nothing(shown: Shown) -> None:
    """No job fits the filters."""
    tables.nothing_here("filter_alt_off", "No job fits", "Nothing ended in these days, or the filters leave nothing over.",
                        lambda: st.button("Clear filters", key="clear_filters", on_click=usage_filters.clear))


show(require(Action.SEE_OWN))
