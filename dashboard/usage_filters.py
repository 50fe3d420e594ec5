"""The filters of the usage page: one row of widgets, bound to the address, and what they add up to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import streamlit as st

from dashboard import periods, reads, words
from dashboard.periods import Period
from data.postgres.shelves.usage_reads import Filters, Scope, Totals
from engine.users import Person

BOUND = ("account", "partition", "state", "q")


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows: whose runs, of which days, narrowed how."""

    scope: Scope
    period: Period
    filters: Filters

    @property
    def chart_filters(self) -> Filters:
        """The same for the picture, which may show more days than the table."""
        zone = words.zone()
        wide = replace(self.period, first=self.period.chart_first, last=self.period.chart_last)
        return replace(self.filters, start=wide.start(zone), end=wide.end(zone), unended=False)

    @property
    def key(self) -> str:
        """Names the widgets below: a selection belongs to these filters only."""
        return hashlib.sha256(repr((self.scope, self.period, self.filters)).encode()).hexdigest()[:12]

    def narrowed(self, first: date, last: date) -> Shown:
        """Only the days [first, last], which were brushed in the picture."""
        zone = words.zone()
        period = replace(self.period, first=max(first, self.period.chart_first), last=min(last, self.period.chart_last))
        return replace(self, period=period, filters=replace(
            self.filters, start=period.start(zone), end=period.end(zone), unended=False))


def row(person: Person, scope: Scope, period: Period, now: datetime) -> Shown:
    """Draw the other filters and return what all of them say."""
    today = now.astimezone(words.zone()).date()
    accounts, partitions, states = reads.choices(person.id, scope)
    chosen = [_several("account", "accounts", accounts, 132), _several("partition", "partitions", partitions, 128),
              _several("state", "states", states, 150)]
    text = st.text_input("Search", key="q", bind="query-params", placeholder="Job id or name", icon=":material/search:",
                         label_visibility="collapsed", max_chars=200, width=158)
    zone = words.zone()
    filters = Filters(period.start(zone), period.end(zone), period.last >= today, *(tuple(names) for names in chosen), text or "")
    return Shown(scope, period, filters)


def _several(name: str, plural: str, options: list[str], width: int) -> list[str]:
    return st.multiselect(name.capitalize(), options, key=name, bind="query-params", placeholder=f"All {plural}",
                          label_visibility="collapsed", width=width)


def period_choice(now: datetime) -> Period:
    """The usual periods; none is marked while somebody has drilled down. The address is the truth."""
    period = periods.period(st.query_params.get("period", periods.DEFAULT), now.astimezone(words.zone()).date())
    st.session_state["period_choice"] = period.chosen
    st.segmented_control("Period", list(periods.CHOICES), key="period_choice", format_func=periods.CHOICES.__getitem__,
                         label_visibility="collapsed", on_change=_period_chosen)
    return period


def _period_chosen() -> None:
    open_period(st.session_state["period_choice"] or st.query_params.get("period", periods.DEFAULT))


def open_period(word: str) -> None:
    """Look at another period."""
    if word == periods.DEFAULT:
        st.query_params.pop("period", None)
    else:
        st.query_params["period"] = word


def trail(period: Period) -> None:
    """The way back up from a month or a day."""
    wider = periods.trail(period)
    if not wider:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for word in wider:
            st.button(_label(word), key=f"up_{word}", type="tertiary", icon=":material/arrow_back:", on_click=open_period,
                      args=(word,))
        st.markdown(f"**{_label(period.word)}**", width="content")


def _label(word: str) -> str:
    if word in periods.CHOICES:
        return periods.CHOICES[word]
    if len(word) == 7:
        return words.month(date.fromisoformat(f"{word}-01"))
    return words.day(date.fromisoformat(word)) if len(word) == 10 else word


def days_words(period: Period) -> str:
    """`8 to 14 Nov`, `31 Oct to 2 Nov`, `14 Nov`."""
    first, last = period.first, period.last
    if first == last:
        return words.day(first)
    same = (first.year, first.month) == (last.year, last.month)
    return f"{first.day if same else words.day(first)} to {words.day(last)}"


def sum_words(totals: Totals, currency: str) -> str:
    """What the runs cost together; amounts in several currencies are never added."""
    if len(totals.currencies) > 1:
        return f"no sum over {' and '.join(totals.currencies)}"
    return words.money(totals.cost_micro, totals.currencies[0] if totals.currencies else currency)


def last_day(month: date) -> date:
    """The last day of the month that begins with `month`."""
    return periods.following(month) - timedelta(days=1)


def clear() -> None:
    """Back to everything of the usual period."""
    for name in BOUND:                      # the address follows the widgets it is bound to
        st.session_state[name] = "" if name == "q" else []
    st.query_params.pop("period", None)
