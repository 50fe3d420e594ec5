"""The span of time a page looks at, as a short word in its address: `30d`, `month`, `2026-10`, `2026-10-14`.

Pure: today is an argument. A word nobody knows is the default one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DEFAULT = "30d"
CHOICES = {"7d": "7 days", "30d": "30 days", "month": "This month", "last": "Last month", "year": "12 months"}


@dataclass(frozen=True, slots=True)
class Period:
    """Days [first, last] of the table and [chart_first, chart_last] of the picture, drawn by `unit` (day or month)."""

    word: str
    first: date
    last: date
    chart_first: date
    chart_last: date
    unit: str = "day"

    @property
    def chosen(self) -> str | None:
        """The word when it is one of CHOICES; None when somebody drilled down."""
        return self.word if self.word in CHOICES else None

    def start(self, zone: ZoneInfo) -> datetime:
        """Midnight of the table's first day."""
        return midnight(self.first, zone)

    def end(self, zone: ZoneInfo) -> datetime:
        """Midnight after the table's last day."""
        return midnight(self.last + timedelta(days=1), zone)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The instant a day begins in `zone`."""
    return datetime.combine(day, time(), zone)


def period(word: str, today: date) -> Period:
    """The period `word` stands for, seen from `today`."""
    month = today.replace(day=1)
    spans = {
        "7d": (today - timedelta(days=6), today), "30d": (today - timedelta(days=29), today), "month": (month, today),
        "last": (previous(month), month - timedelta(days=1)), "year": (_months_back(month, 11), today),
    }
    if word in spans:
        first, last = spans[word]
        return Period(word, first, last, first, last, "month" if word == "year" else "day")
    return _drilled(word) or period(DEFAULT, today)


def _drilled(word: str) -> Period | None:
    """`2026`, `2026-10` or `2026-10-14`; a day is drawn within its month."""
    match = re.fullmatch(r"((?:19|20)\d\d)(?:-(\d\d))?(?:-(\d\d))?", word)
    if not match:
        return None
    year, month, day = (int(part or 0) for part in match.groups())
    try:
        first = date(year, month if match[2] else 1, day if match[3] else 1)
    except ValueError:
        return None
    if not month:
        return Period(word, first, date(first.year, 12, 31), first, date(first.year, 12, 31), "month")
    begin, end = first.replace(day=1), following(first.replace(day=1)) - timedelta(days=1)
    return Period(word, begin, end, begin, end) if not day else Period(word, first, first, begin, end)


def previous(month: date) -> date:
    """The first day of the month before."""
    return (month - timedelta(days=1)).replace(day=1)


def following(month: date) -> date:
    """The first day of the month after."""
    return (month + timedelta(days=32)).replace(day=1)


def trail(now: Period) -> list[str]:
    """The wider words above a drilled one, widest first: `2026-10-14` lies in `year`, then `2026-10`."""
    if now.chosen or now.unit == "month":
        return []
    return ["year", now.word[:7]] if len(now.word) == 10 else ["year"]


def _months_back(month: date, count: int) -> date:
    for _ in range(count):
        month = previous(month)
    return month
