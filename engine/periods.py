"""Instants as people write them, the way sacct reads them: in the site's zone, and always handed on in UTC.

Spans are half-open, [from, to). Knows no clock: `now` is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from engine.errors import DomainError


class TimeError(DomainError):
    """The time cannot be read."""

    code = "time"


HOURS = {"midnight": 0, "noon": 12, "fika": 15, "teatime": 16}
UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?\s*(?P<half>[ap]m)?"
_FORMS = tuple(re.compile(form, re.IGNORECASE) for form in (
    rf"(?P<year>\d{{4}})-(?P<month>\d\d)-(?P<day>\d\d)(?:[T ]{_CLOCK})?",
    rf"(?P<month>\d\d)(?P<day>\d\d)(?P<year>\d\d)?(?:-{_CLOCK})?",
    rf"(?P<month>\d{{1,2}})[./](?P<day>\d{{1,2}})(?:[./](?P<year>\d\d))?(?:-{_CLOCK})?",
    _CLOCK,
))
_RELATIVE = re.compile(r"now\s*(?:(?P<sign>[+-])\s*(?P<count>\d{1,9})\s*(?P<unit>[a-z]*))?")


def parse_instant(text: str, now: datetime, zone: ZoneInfo) -> datetime:
    """`2026-11-01`, `2026-11-01T08:30`, `1101`, `11/01/26-08:30`, `now-7days`, `yesterday`, `08:30`, `uts1795230000`, or
    ISO with an offset, as an instant in UTC. What names no offset is of `zone`; a TimeError says what was not understood.
    """
    word = text.strip()
    for reader in (_seconds, _relative, _named, _with_offset, _written):
        try:
            found = reader(word, now.astimezone(zone))
        except (ValueError, OverflowError) as error:
            raise TimeError(f"{text!r}: {error}.") from None
        if found is not None:
            return found.astimezone(UTC)
    raise TimeError(f"{text!r} is not like 2026-11-01, 2026-11-01T08:30, 1101, now-7days or yesterday.")


def parse_span(since: str | None, until: str | None, now: datetime, zone: ZoneInfo) -> tuple[datetime | None, datetime | None]:
    """The half-open span [since, until); a side that is not given is open. An end before its start is a TimeError."""
    start = parse_instant(since, now, zone) if since else None
    end = parse_instant(until, now, zone) if until else None
    if start and end and end < start:
        raise TimeError(f"The span ends ({until}) before it begins ({since}).")
    return start, end


def utc_text(seconds: int | None) -> str | None:
    """Unix seconds as `2026-11-21T12:00:00Z`; None stays None."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(word: str, now: datetime) -> datetime | None:
    return datetime.fromtimestamp(int(word[3:]), UTC) if re.fullmatch(r"uts\d{1,11}", word) else None


def _relative(word: str, now: datetime) -> datetime | None:
    found = _RELATIVE.fullmatch(word.lower())
    if not found:
        return None
    seconds = int(found["count"] or 0) * _unit_seconds(found["unit"] or "seconds")
    return now.astimezone(UTC) + timedelta(seconds=-seconds if found["sign"] == "-" else seconds)


def _unit_seconds(unit: str) -> int:
    full = next((name for name in UNITS if len(unit) >= 1 and f"{name}s".startswith(unit)), None)
    if full is None:
        raise ValueError(f"{unit!r} is not one of {', '.join(f'{name}s' for name in UNITS)}")
    return UNITS[full]


def _named(word: str, now: datetime) -> datetime | None:
    days = {"yesterday": -1, "today": 0, "tomorrow": 1}
    low = word.lower()
    if low in HOURS:
        return _at(now, now.date(), time(HOURS[low]))
    return _at(now, now.date() + timedelta(days[low]), time()) if low in days else None


def _with_offset(word: str, now: datetime) -> datetime | None:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:?\d\d)", word):
        return None
    return datetime.fromisoformat(word)


def _written(word: str, now: datetime) -> datetime | None:
    for form in _FORMS:
        if found := form.fullmatch(word):
            told = found.groupdict()
            return _at(now, _day(told, now.date()), _clock(told))
    return None


def _day(told: Mapping[str, str | None], today: date) -> date:
    if not told.get("month"):
        return today
    year = int(told["year"] or today.year)
    return date(year + 2000 if year < 100 else year, int(told["month"] or 0), int(told["day"] or 0))


def _clock(told: Mapping[str, str | None]) -> time:
    hour = int(told["hour"] or 0)
    if told["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("hours with am or pm go from 1 to 12")
        hour = hour % 12 + (12 if told["half"].lower() == "pm" else 0)
    return time(hour, int(told["minute"] or 0), int(told["second"] or 0))


def _at(now: datetime, day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, now.tzinfo)
