"""Times as sacct reads them, in the site's zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from engine.periods import TimeError, parse_instant, parse_span

NOW = datetime(2026, 11, 21, 20, 30, tzinfo=UTC)        # 03:30 on the 22nd in Bangkok
BANGKOK = ZoneInfo("Asia/Bangkok")


@pytest.mark.parametrize(("written", "instant"), [
    ("2026-11-01", "2026-10-31T17:00:00"), ("2026-11-01T08:30", "2026-11-01T01:30:00"),
    ("2026-11-01 08:30:15", "2026-11-01T01:30:15"),
    ("2026-11-01T08:30:00Z", "2026-11-01T08:30:00"), ("2026-11-01T08:30:00+07:00", "2026-11-01T01:30:00"),
    ("1101", "2026-10-31T17:00:00"), ("110125", "2025-10-31T17:00:00"), ("1101-08:30", "2026-11-01T01:30:00"),
    ("11/01/26-08:30:00", "2026-11-01T01:30:00"), ("11.01", "2026-10-31T17:00:00"), ("08:30", "2026-11-22T01:30:00"),
    ("1:30pm", "2026-11-22T06:30:00"), ("today", "2026-11-21T17:00:00"), ("yesterday", "2026-11-20T17:00:00"),
    ("tomorrow", "2026-11-22T17:00:00"), ("noon", "2026-11-22T05:00:00"), ("now", "2026-11-21T20:30:00"),
    ("now-7days", "2026-11-14T20:30:00"), ("now-2hours", "2026-11-21T18:30:00"), ("now+1week", "2026-11-28T20:30:00"),
    ("now-90", "2026-11-21T20:28:30"), ("uts1795230000", "2026-11-21T03:00:00"),
])
def test_a_written_time(written: str, instant: str) -> None:
    assert parse_instant(written, NOW, BANGKOK) == datetime.fromisoformat(instant).replace(tzinfo=UTC)


@pytest.mark.parametrize("written", [
    "", "soon", "2026-13-01", "2026-02-30", "1301", "25:00", "now-7fortnights", "13:00pm", "2026-11-01x"])
def test_what_is_no_time_is_refused(written: str) -> None:
    with pytest.raises(TimeError):
        parse_instant(written, NOW, BANGKOK)


def test_a_span_that_ends_before_it_begins() -> None:
    assert parse_span(None, "today", NOW, BANGKOK) == (None, datetime(2026, 11, 21, 17, tzinfo=UTC))
    with pytest.raises(TimeError, match="before it begins"):
        parse_span("today", "yesterday", NOW, BANGKOK)
