"""Usage by day: nothing is lost or doubled at a border, whatever the borders are."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as some

from engine.daily import QUANTITIES, RUN_SCHEMA, apportioned, hours, on_their_last_day, summed

BANGKOK, BERLIN = ZoneInfo("Asia/Bangkok"), ZoneInfo("Europe/Berlin")
ZONES = (ZoneInfo("UTC"), BANGKOK, BERLIN, ZoneInfo("America/Havana"), ZoneInfo("Pacific/Apia"), ZoneInfo("Australia/Lord_Howe"))


def at(text: str, zone: ZoneInfo = BERLIN) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


def runs(*told: tuple[int | None, int, int]) -> pl.DataFrame:
    """Runs of alice's by start, end and how much of everything."""
    return pl.DataFrame([{"account_name": "physics", "user_name": "alice", "partition_name": "gpu", "cluster": "rig",
                          "currency": "THB", "start_at": start, "end_at": end, **dict.fromkeys(QUANTITIES, much)}
                         for start, end, much in told], schema=RUN_SCHEMA)


def shown(pieces: pl.DataFrame) -> list[tuple[object, ...]]:
    return summed([pieces]).select("day", "jobs", "cost_micro").rows()


def test_a_run_counts_on_the_day_it_ended() -> None:
    """Midnight itself belongs to the new day; days are the site's."""
    ended = runs((at("2026-11-20T20:00"), at("2026-11-21T00:00"), 10), (None, at("2026-11-20T23:59:59"), 1))
    assert shown(on_their_last_day(ended, BERLIN)) == [(date(2026, 11, 20), 1, 1), (date(2026, 11, 21), 1, 10)]
    assert shown(on_their_last_day(ended, BANGKOK)) == [(date(2026, 11, 21), 2, 11)]


def test_apportioned_it_counts_where_it_ran() -> None:
    """18:00 to 06:00: half each; to midnight: nothing is left for the new day."""
    assert shown(apportioned(runs((at("2026-11-20T18:00"), at("2026-11-21T06:00"), 10)), BERLIN)) == [
        (date(2026, 11, 20), 1, 5), (date(2026, 11, 21), 1, 5)]
    assert shown(apportioned(runs((at("2026-11-20T18:00"), at("2026-11-21T00:00"), 10)), BERLIN)) == [(date(2026, 11, 20), 1, 10)]


def test_days_have_23_and_25_hours_when_clocks_change() -> None:
    """72 hours at one unit an hour, but for the hour that is missing or there twice."""
    spring = runs((at("2026-03-28T00:00"), at("2026-03-31T00:00"), 71))
    assert [row[2] for row in shown(apportioned(spring, BERLIN))] == [24, 23, 24]
    autumn = runs((at("2026-10-24T00:00"), at("2026-10-27T00:00"), 73))
    assert [row[2] for row in shown(apportioned(autumn, BERLIN))] == [24, 25, 24]


def test_odd_units_go_to_the_largest_remainder_then_the_earlier_day() -> None:
    """2 over three equal days; 10 over 6 and 7 hours: 4.6 and 5.4."""
    def days(start: str, end: str, much: int) -> list[object]:
        return [row[2] for row in shown(apportioned(runs((at(start), at(end), much)), BERLIN))]
    assert days("2026-11-01T00:00", "2026-11-04T00:00", 2) == [1, 1, 0]
    assert days("2026-11-01T18:00", "2026-11-02T07:00", 10) == [5, 5]
    assert days("2026-11-01T12:00", "2026-11-02T12:00", 9) == [5, 4]


def test_only_seconds_inside_the_span_count() -> None:
    long = runs((at("2026-11-01T00:00"), at("2026-11-03T00:00"), 480))
    inside = apportioned(long, BERLIN, at("2026-11-01T23:00"), at("2026-11-02T06:00"))
    assert shown(inside) == [(date(2026, 11, 1), 1, 10), (date(2026, 11, 2), 1, 60)]
    assert shown(apportioned(long, BERLIN, at("2026-11-03T00:00"))) == []


def test_a_run_without_length_belongs_to_its_instant() -> None:
    midnight = at("2026-11-02T00:00")
    assert shown(apportioned(runs((midnight, midnight, 3), (None, midnight, 4)), BERLIN)) == [(date(2026, 11, 2), 2, 7)]
    assert shown(apportioned(runs((midnight, midnight, 3)), BERLIN, None, midnight)) == []
    assert shown(apportioned(runs((midnight, midnight, 3)), BERLIN, midnight)) == [(date(2026, 11, 2), 1, 3)]


def test_hours_are_exact_to_a_millionth() -> None:
    assert (hours(3600), hours(1), hours(5400), hours(1024 * 900, 1024)) == (1.0, 0.000278, 1.5, 0.25)


INSTANT = some.integers(at("2011-12-20T00:00"), at("2012-01-10T00:00")) | some.integers(at("2026-03-01T00:00"), at("2026-04-10T00:00"))
RUN = some.tuples(INSTANT, some.integers(0, 20 * 86_400) | some.just(0), some.integers(0, 10**15) | some.integers(0, 9))


@settings(max_examples=60, deadline=None)
@given(some.lists(RUN, min_size=1, max_size=6), some.lists(INSTANT, max_size=5), some.sampled_from(ZONES))
def test_any_split_of_a_period_adds_up_to_the_whole(told: list[tuple[int, int, int]], cuts: list[int], zone: ZoneInfo) -> None:
    """Days, spans between any instants, blocks of rows: the sums are those of the runs, per day too."""
    used = runs(*((start, start + length, much) for start, length, much in told))
    whole = summed([apportioned(used, zone)])
    assert whole.select(QUANTITIES).sum().row(0) == used.select(QUANTITIES).sum().row(0)
    borders = [None, *sorted(cuts), None]
    spans = [apportioned(used, zone, since, until) for since, until in pairwise(borders)]
    assert summed(spans).drop("jobs").filter(pl.col("cost_micro") != 0).equals(whole.drop("jobs").filter(pl.col("cost_micro") != 0))
    assert summed(apportioned(used[number:number + 1], zone) for number in range(len(used))).equals(whole)
    assert summed([on_their_last_day(used, zone)]).select(QUANTITIES).sum().equals(whole.select(QUANTITIES).sum())


@settings(max_examples=60, deadline=None)
@given(INSTANT, some.integers(1, 12 * 86_400), some.integers(0, 10**12), some.sampled_from(ZONES))
def test_the_shares_are_those_of_plain_arithmetic(start: int, length: int, much: int, zone: ZoneInfo) -> None:
    """Beside a loop over seconds' days that knows no polars."""
    seconds: dict[date, int] = {}
    for second in range(start - start % 900, start + length, 900):       # every zone changes at a quarter of an hour
        low, high = max(second, start), min(second + 900, start + length)
        day = datetime.fromtimestamp(second, UTC).astimezone(zone).date()
        seconds[day] = seconds.get(day, 0) + high - low
    floors = {day: much * part // length for day, part in seconds.items()}
    left = much - sum(floors.values())
    for day in sorted(seconds, key=lambda one: (-(much * seconds[one] % length), one))[:left]:
        floors[day] += 1
    pieces = apportioned(runs((start, start + length, much)), zone).sort("day")
    assert dict(pieces.select("day", "cost_micro").iter_rows()) == floors
