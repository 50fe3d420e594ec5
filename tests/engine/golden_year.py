"""The year 2028 in Berlin, as golden files: made once by the plain reference (`python -m tests.engine.golden_year`), then
only read. 2028 is a leap year; clocks move on 26 March and 29 October; 25 December is a Monday.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from engine.rates import Modifier, Policy, RateCard, Rounding, flat_prices
from tests.engine.reference_rating import factor, reference
from tests.engine.usage_frames import run

SAMPLES = Path(__file__).parents[1] / "samples" / "rates"
DAYS, RUNS = SAMPLES / "berlin-2028-days.csv", SAMPLES / "berlin-2028-runs.csv"
ZONE = ZoneInfo("Europe/Berlin")
CARD = RateCard(
    "gov", 1, "EUR", datetime(2000, 1, 1, tzinfo=UTC), Policy.ALLOCATED, Rounding.PER_JOB_MINOR,
    flat_prices(cpu=3_000_000, gpu=10_000_000, mem=1_000_000), time_zone="Europe/Berlin", modifiers=(
        Modifier("peak", 1_200_000, (18 * 60, 23 * 60)), Modifier("weekend", 1_100_000, weekdays=frozenset({5, 6})),
        Modifier("off-peak", 800_000, (9 * 60, 17 * 60)), Modifier("Christmas", 500_000, dates=(date(2028, 12, 25),))))

# What each run is about, and its start and end on the local clock (an offset where the clock shows that time twice).
SPANS = (
    ("clocks go forward: one hour", "2028-03-26T01:30", "2028-03-26T03:30"),
    ("clocks go forward: the whole day has 23 hours", "2028-03-26T00:00", "2028-03-27T00:00"),
    ("clocks go back: one hour between equal times", "2028-10-29T02:30+02:00", "2028-10-29T02:30+01:00"),
    ("clocks go back: the whole day has 25 hours", "2028-10-29T00:00", "2028-10-30T00:00"),
    ("midnight into a weekend", "2028-06-02T22:30", "2028-06-03T01:15:30"),
    ("midnight out of a weekend", "2028-06-04T23:59:59", "2028-06-05T00:00:01"),
    ("off-peak on a Saturday", "2028-06-03T09:00", "2028-06-03T17:00"),
    ("peak on a Sunday", "2028-06-04T18:00", "2028-06-04T23:00"),
    ("the minute around the start of peak", "2028-06-06T17:59:30", "2028-06-06T18:00:30"),
    ("the second before the end of peak", "2028-06-06T22:59:59", "2028-06-06T23:00"),
    ("the leap day", "2028-02-28T23:00", "2028-03-01T01:00"),
    ("into the holiday", "2028-12-24T12:00", "2028-12-25T12:00"),
    ("out of the holiday", "2028-12-25T20:00", "2028-12-26T04:00"),
    ("the end of the year", "2028-12-31T20:00", "2029-01-01T04:00"),
    ("an instant of peak", "2028-06-06T19:00", "2028-06-06T19:00"),
    ("a week", "2028-09-04T00:00", "2028-09-11T00:00"),
    ("the whole year", "2028-01-01T00:00", "2029-01-01T00:00"),
)


def instant(text: str) -> int:
    """Unix seconds of a time on Berlin's clock, or with an offset."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=ZONE)).timestamp())


def spanning(number: int, start: int, end: int) -> dict[str, object]:
    """A run of 4 cores, 1 GPU and 16 GiB."""
    return run(number, run_key=f"c/{number:03}", start_at=start, submit_at=start, end_at=end, elapsed_seconds=end - start) | {"tier": "gov"}


def year() -> list[tuple[date, int, int]]:
    """Every day of 2028 with its first instant and the next one's."""
    days = [date(2028, 1, 1) + timedelta(days) for days in range(367)]
    starts = [instant(f"{day}T00:00") for day in days]
    return list(zip(days, starts, starts[1:], strict=False))


def _made() -> None:
    SAMPLES.mkdir(exist_ok=True)
    days = [(day, end - start, factor(CARD.modifiers, CARD.time_zone, start, end)[0]) for day, start, end in year()]
    pl.DataFrame(days, schema=["day", "seconds", "weighted_ppm_seconds"], orient="row").write_csv(DAYS)
    runs = [spanning(number, instant(start), instant(end)) for number, (_, start, end) in enumerate(SPANS)]
    charges = reference(runs, [CARD])
    rows = [{"what": what, "start": start, "end": end, "seconds": row["elapsed_seconds"],
             **{name: value for name, value in charges[str(row["run_key"])].items() if name.endswith("_micro")}}
            for (what, start, end), row in zip(SPANS, runs, strict=True)]
    pl.DataFrame(rows).write_csv(RUNS)


if __name__ == "__main__":
    _made()
