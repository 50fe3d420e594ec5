"""The charts: stacked days, stacked months, rankings. One palette for meters in a fixed order, one layout.

Amounts come as integer micro-units and become floats only for drawing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from dashboard.words import METER_NAMES, METERS, money, zone

PALETTE = {
    "light": dict(zip(METERS, ("#053F96", "#E35A10", "#128C68", "#A0348A", "#6B5200", "#3C9BE0", "#7B8AA1"), strict=True)),
    "dark": dict(zip(METERS, ("#3F82E8", "#E8743B", "#2FD3A0", "#DB8FE0", "#EFD05A", "#BFE6FA", "#8796AB"), strict=True)),
}
PAGE = {"light": "#FFFFFF", "dark": "#0F1318"}
INK = {"light": "#5A6675", "dark": "#9AA6B5"}
BAR = {"light": "#7B8AA1", "dark": "#8796AB"}
CONFIG = {"displayModeBar": False}
UNFINISHED = 0.45
FEW = 2                         # points that make no line to look at: they are marked
MINUTE = timedelta(minutes=1)


def theme() -> str:
    """`light` or `dark`, as this browser shows it."""
    return st.context.theme.type or "light"


def stacked_days(days: Sequence[date], micro: Mapping[str, Sequence[int]], key: str, *, unfinished: date | None = None,
                 height: int = 262, select: bool = False, unit: str = "day", alt: str = "Cost by day and meter") -> Any:
    """Cost per day, one bar a day, one colour a meter: `micro["cpu"][i]` belongs to `days[i]`.

    `unfinished` is drawn pale. With `unit` "month" the days are first days of months. With `select` days can be brushed
    and months clicked (never both: Streamlit turns clicks off while dragging selects); the answer is its event, see `brushed`."""
    figure = _stacked([value.isoformat() for value in days], micro, [value == unfinished for value in days], height)
    figure.update_xaxes(type="date", tickformat="%-d %b" if unit == "day" else "%b %y", dtick=None if unit == "day" else "M1")
    if select and unit == "day":
        figure.update_layout(dragmode="select", selectdirection="h")
    return st.plotly_chart(figure, key=key, config=CONFIG, alt=alt, on_select="rerun" if select else "ignore",
                           selection_mode="box" if unit == "day" else "points")


def stacked_months(months: Sequence[date], micro: Mapping[str, Sequence[int]], key: str, *, unfinished: date | None = None,
                   height: int = 262, thousands: bool = False, alt: str = "Cost by month and meter") -> Any:
    """Cost per month (first days), like `stacked_days`; the unfinished month gets a star. `thousands` divides by 1,000:
    say so in the card's note."""
    labels = [_month_label(value, index) + ("*" if value == unfinished else "")
              for index, value in enumerate(months)]
    figure = _stacked(labels, micro, [value == unfinished for value in months], height, 1000 if thousands else 1)
    figure.update_xaxes(type="category")
    return st.plotly_chart(figure, key=key, config=CONFIG, alt=alt)


def ranking(names: Sequence[str], micro: Sequence[int], key: str, *, currency: str = "", height: int = 262,
            colours: Sequence[str] | None = None, alt: str = "Ranking by cost") -> Any:
    """Horizontal bars, the first on top, the value written beside each; no axis, no hover."""
    tone = theme()
    values = [amount / 1e6 for amount in micro]
    figure = go.Figure(go.Bar(
        x=values, y=list(names), orientation="h", text=[money(amount) for amount in micro], textposition="outside",
        textfont={"size": 12, "color": INK[tone]}, cliponaxis=False, hoverinfo="skip",
        marker={"color": list(colours) if colours else BAR[tone]}))
    figure.update_layout(height=height, margin={"l": 0, "r": 64, "t": 8, "b": 0}, bargap=0.28, showlegend=False)
    figure.update_xaxes(visible=False, fixedrange=True, range=[min(0.0, *values, 0.0), max(1e-9, *values, 1e-9) * 1.02])
    figure.update_yaxes(autorange="reversed", fixedrange=True, ticks="", automargin=True, type="category")
    return st.plotly_chart(figure, key=key, config=CONFIG, alt=alt)


def curve(at: Sequence[datetime], values: Sequence[float | None], key: str, *, unit: str = "%", top: float | None = None,
          height: int = 120, alt: str = "") -> Any:
    """One line over time in the site's zone, gaps where nothing was measured. `top` fixes the scale, 100 for a share."""
    tone = theme()
    moments = [one.astimezone(zone()).replace(tzinfo=None) for one in at]
    figure = go.Figure(go.Scatter(
        x=moments, y=list(values), mode="lines" if len(moments) > FEW else "lines+markers", connectgaps=False,
        line={"color": BAR[tone], "width": 1.6}, fill="tozeroy" if top else None,
        hovertemplate=f"%{{x|%-d %b %H:%M}}: %{{y:,.0f}} {unit}<extra></extra>"))
    figure.update_layout(height=height, margin={"l": 0, "r": 0, "t": 6, "b": 0}, showlegend=False, hovermode="closest")
    figure.update_xaxes(showgrid=False, fixedrange=True, title=None, type="date", nticks=6,
                        tickformat=_tick_format(at), range=_around(moments))
    figure.update_yaxes(nticks=3, zeroline=False, fixedrange=True, title=None, tickformat=",.0f", rangemode="tozero",
                        **({"range": [0, top * 1.03]} if top else {}))
    return st.plotly_chart(figure, key=key, config=CONFIG, alt=alt or None)


def _around(moments: Sequence[datetime]) -> list[datetime] | None:
    """What an axis shows where less than a minute is to be shown: a minute."""
    if not moments or max(moments) - min(moments) >= MINUTE:
        return None
    return [min(moments) - MINUTE / 2, min(moments) + MINUTE / 2]


def _tick_format(at: Sequence[datetime]) -> str:
    """How a moment is written on the axis, so that six of them, evenly spread, are told apart."""
    span = max(at) - min(at) if at else timedelta()
    if span <= timedelta(minutes=6):
        return "%H:%M:%S"
    if span <= timedelta(days=1):
        return "%H:%M"
    return "%-d %b %H:%M" if span <= timedelta(days=6) else "%-d %b"


def brushed(event: Any) -> tuple[date, date] | None:
    """First and last day inside the brush of `stacked_days(select=True)`, None when nothing is brushed."""
    points = event["selection"]["points"] if event else []
    days = sorted({date.fromisoformat(str(point["x"])[:10]) for point in points})
    return (days[0], days[-1]) if days else None


def meters_present(micro: Mapping[str, Sequence[int]]) -> list[str]:
    """The meters that have any figure, in the fixed order."""
    return [meter for meter in METERS if any(micro.get(meter, ()))]


def _stacked(x: Sequence[str], micro: Mapping[str, Sequence[int]], pale: Sequence[bool], height: int,
             divisor: int = 1) -> go.Figure:
    tone = theme()
    opacity = [UNFINISHED if unfinished else 1.0 for unfinished in pale]
    figure = go.Figure([
        go.Bar(x=list(x), y=[amount / (1e6 * divisor) for amount in micro[meter]], name=METER_NAMES[meter],
               hovertemplate="%{y:,.2f}",
               marker={"color": PALETTE[tone][meter], "opacity": opacity, "line": {"width": 0.8, "color": PAGE[tone]}})
        for meter in meters_present(micro)])
    figure.update_layout(
        height=height, margin={"l": 0, "r": 0, "t": 8, "b": 0}, barmode="stack", bargap=0.22, hovermode="x unified",
        showlegend=True, legend={"orientation": "h", "y": 1.03, "yanchor": "bottom", "x": 0, "traceorder": "normal",
                                 "font": {"size": 12}})
    figure.update_xaxes(showgrid=False, fixedrange=True, title=None)
    figure.update_yaxes(tickformat=",.0f", nticks=5, zeroline=False, fixedrange=True, title=None)
    return figure


def _month_label(value: date, index: int) -> str:
    return f"{value:%b %y}" if index == 0 or value.month == 1 else f"{value:%b}"
