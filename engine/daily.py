"""Usage by day of the site: each run whole on the day it ended, or apportioned to the days it ran in, by seconds.

Integers only, and nothing is lost or doubled at a border: what the days of a run are given adds up to the run, and what
two spans that touch are given adds up to what the span over both is. Refuses to know where rows come from, and what
they are shown as.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

QUANTITIES = ("cpu_core_seconds", "gpu_seconds", "mem_mib_seconds", "cost_micro")
GROUPS = {"account": "account_name", "user": "user_name", "partition": "partition_name", "cluster": "cluster"}
# An ended run, as it is summed here; instants are Unix seconds.
RUN_SCHEMA: dict[str, pl.DataType] = {
    **{name: pl.String() for name in GROUPS.values()}, "currency": pl.String(), "start_at": pl.Int64(), "end_at": pl.Int64(),
    **{name: pl.Int64() for name in QUANTITIES}}
MANY = 1_000_000                # rows of sums from which they are added up before more are taken


def on_their_last_day(runs: pl.DataFrame, zone: ZoneInfo) -> pl.DataFrame:
    """`runs` (RUN_SCHEMA) with `day`, the day of `zone` in which each ended, and `jobs`, 1."""
    days = _Days(runs, zone)
    return runs.with_columns(day=days.named(days.position(runs["end_at"])), jobs=pl.lit(1, pl.Int64))


def apportioned(runs: pl.DataFrame, zone: ZoneInfo, since: int | None = None, until: int | None = None) -> pl.DataFrame:
    """One row for each day of `zone` in which a run of `runs` ran: `day`, `jobs` 1, and that day's share of QUANTITIES.

    Shares go by the seconds between start and end; odd units to the largest remainders, then the earlier day. With
    `since` and `until` (Unix seconds) only the seconds in [since, until) count; a share cut there is rounded so that both
    sides add up to it. A run without length belongs to the instant it ended.
    """
    days = _Days(runs, zone)
    pieces = _shared(_cut_at_midnight(runs, days))
    if since is not None or until is not None:
        pieces = _inside(pieces, since, until)
    return pieces.select(*(name for name in runs.columns), day=days.named(pieces["_day"]), jobs=pl.lit(1, pl.Int64))


def summed(parts: Iterable[pl.DataFrame], group: str | None = None) -> pl.DataFrame:
    """What either function gave of several frames of runs, added up: day, the column `group` names (of GROUPS), currency,
    jobs, QUANTITIES; ordered. Holds one part and the sums.
    """
    keys = ["day", *([GROUPS[group]] if group else []), "currency"]
    names = [*keys, "jobs", *QUANTITIES]
    schema = {**RUN_SCHEMA, "day": pl.Date(), "jobs": pl.Int64()}
    held = [pl.DataFrame(schema={name: schema[name] for name in names})]
    for part in parts:
        held.append(_sums(part.select(names), keys))
        if sum(map(len, held)) > MANY:
            held = [_sums(pl.concat(held), keys)]
    return _sums(pl.concat(held), keys).sort(keys)


def hours(seconds: int, per: int = 1) -> float:
    """Seconds of a quantity of which `per` make a unit, in unit-hours, to the nearest millionth."""
    whole = 3600 * per
    return (seconds * 2_000_000 + whole) // (2 * whole) / 1_000_000


def _sums(rows: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    return rows.group_by(keys).agg(pl.col("jobs", *QUANTITIES).sum())


class _Days:
    """The days of a zone over some runs: where each begins. A day has 23, 24 or 25 hours, as the zone says."""

    def __init__(self, runs: pl.DataFrame, zone: ZoneInfo) -> None:
        lows = [runs[name].min() for name in ("start_at", "end_at")]
        first = min((int(low) for low in lows if isinstance(low, int)), default=0)
        last = runs["end_at"].max()
        days = list(_from_to(first, last if isinstance(last, int) else first, zone))
        self._dates = pl.Series(days, dtype=pl.Date)
        self._begins = pl.Series([int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) for day in days])

    def position(self, instants: pl.Series) -> pl.Series:
        """The number of the day each instant lies in."""
        return self._begins.search_sorted(instants, side="right").cast(pl.Int64) - 1

    def named(self, positions: pl.Series) -> pl.Series:
        """The dates of the days so numbered."""
        return self._dates.gather(positions)

    def bounds(self, positions: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Begin and end of the days so numbered, Unix seconds."""
        return self._begins.gather(positions), self._begins.gather(positions + 1)


def _from_to(first: int, last: int, zone: ZoneInfo) -> Iterator[date]:
    """The days from the one before `first` to the one after the day after `last`: every bound is in it."""
    day = datetime.fromtimestamp(first, UTC).astimezone(zone).date() - timedelta(1)
    end = datetime.fromtimestamp(last, UTC).astimezone(zone).date() + timedelta(2)
    while day <= end:
        yield day
        day += timedelta(1)


def _cut_at_midnight(runs: pl.DataFrame, days: _Days) -> pl.DataFrame:
    """A row for each day a run ran in: `_run`, `_day`, `_from` and `_to` in that day, `_span`, the seconds of the whole run."""
    end = pl.col("end_at")
    ran = runs.with_row_index("_run").with_columns(_start=pl.min_horizontal(pl.col("start_at").fill_null(end), end))
    latest = pl.max_horizontal("_start", end - 1)           # the last second that counts; of no length: its instant
    first, last = days.position(ran["_start"]), days.position(ran.select(latest).to_series())
    pieces = ran.with_columns(_days=pl.int_ranges(first, last + 1), _span=end - pl.col("_start")).explode("_days").rename({"_days": "_day"})
    begins, ends = days.bounds(pieces["_day"])
    cut = pieces.with_columns(_from=pl.max_horizontal("_start", begins), _to=pl.min_horizontal(end, ends))
    return cut.filter((pl.col("_to") > pl.col("_from")) | (pl.col("_span") == 0))      # a day a zone left out has no length


def _shared(pieces: pl.DataFrame) -> pl.DataFrame:
    """Pieces with their share of QUANTITIES. Runs of one day are left as they are."""
    alone = pl.col("_to") - pl.col("_from") == pl.col("_span")
    several = pieces.filter(~alone).sort("_run", "_day")
    shares = several.with_columns(_share(several, name) for name in QUANTITIES)
    return pl.concat([pieces.filter(alone), shares])


def _share(several: pl.DataFrame, name: str) -> pl.Series:
    """Floor of each part, and one more for as many of the largest remainders as units are left over."""
    exact = pl.col(name).cast(pl.Int128) * (pl.col("_to") - pl.col("_from"))
    parts = several.select("_run", name, _floor=(exact // pl.col("_span")).cast(pl.Int64),
                           _rest=(exact % pl.col("_span")).cast(pl.Int64)).with_row_index("_line")
    ranked = parts.sort("_run", "_rest", "_line", descending=[False, True, False]).with_columns(
        _rank=pl.int_range(pl.len()).over("_run"), _left=pl.col(name) - pl.col("_floor").sum().over("_run"))
    given = ranked.sort("_line").select(pl.col("_floor") + (pl.col("_rank") < pl.col("_left")).cast(pl.Int64))
    return given.to_series().alias(name)


def _inside(pieces: pl.DataFrame, since: int | None, until: int | None) -> pl.DataFrame:
    """The part of each piece in [since, until): the difference of what is given up to both ends, halves rounded up."""
    low = pl.lit(-2**62 if since is None else since, pl.Int64)
    high = pl.lit(2**62 if until is None else until, pl.Int64)
    kept = pieces.with_columns(_low=pl.max_horizontal("_from", low), _high=pl.min_horizontal("_to", high)).filter(
        pl.when(pl.col("_span") == 0).then((pl.col("_to") >= low) & (pl.col("_to") < high)).otherwise(pl.col("_low") < pl.col("_high")))
    cut = (pl.col("_low") != pl.col("_from")) | (pl.col("_high") != pl.col("_to"))
    return kept.with_columns(pl.when(cut).then(_up_to("_high", name) - _up_to("_low", name)).otherwise(name).alias(name)
                             for name in QUANTITIES)


def _up_to(instant: str, name: str) -> pl.Expr:
    length = pl.max_horizontal(pl.col("_to") - pl.col("_from"), pl.lit(1)).cast(pl.Int128)
    passed = (pl.col(instant) - pl.col("_from")).cast(pl.Int128)
    return ((pl.col(name) * passed * 2 + length) // (length * 2)).cast(pl.Int64)
