"""Time factors: what a card's modifiers make of every instant, and the month an instant belongs to.

A run's factor is the difference of a cumulative function: W(t) is the integral of the factor up to t, so a run weighs
W(end) − W(start), however often a boundary, a daylight-saving change or a month's end lies within. W stands in a table
of quarter hours, which is joined by equality. Refuses to know prices and runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import polars as pl

from engine.errors import RateError
from engine.rates import Modifier

SLOT = 900                                  # seconds; every zone in use today keeps an offset of whole quarter hours
ONE = 1_000_000                             # the factor 1 in parts per million
LARGEST = 1000 * ONE                        # what all modifiers of a card may multiply to
MOST_SLOTS = 8_000_000                      # 228 years
ROOM = 2**32                                # slots one calendar may have

# `slot_key` is the calendar's number × ROOM + t // SLOT; W(t) = weight + ppm × (t mod SLOT), in parts per million × seconds
# from the table's beginning; month is year × 100 + month where the slot lies in the calendar's zone.
CALENDAR_SCHEMA: dict[str, pl.DataType] = {"slot_key": pl.Int64(), "weight": pl.Int64(), "ppm": pl.Int64(), "month": pl.Int64()}


@dataclass(frozen=True, slots=True)
class Calendar:
    """What decides about time on a card: its zone and its modifiers, in their order."""

    time_zone: str
    modifiers: tuple[Modifier, ...] = ()


def calendar_table(calendars: Iterable[Calendar], first: int, last: int) -> pl.DataFrame:
    """The quarter hours of every calendar from `first` to `last` (Unix seconds, both within), as CALENDAR_SCHEMA."""
    if (last - first) // SLOT >= MOST_SLOTS:
        raise RateError(f"Runs from {first} to {last} (Unix seconds) lie more than 200 years apart.")
    tables = [_slots(calendar, first // SLOT, last // SLOT).with_columns(slot_key=pl.col("slot_key") + number * ROOM)
              for number, calendar in enumerate(calendars)]
    return pl.concat([pl.DataFrame(schema=CALENDAR_SCHEMA), *tables])


def largest_ppm(modifiers: Iterable[Modifier]) -> int:
    """The most that modifiers can multiply to, if all that raise a price held at once; more than LARGEST is a RateError."""
    raising = [one for one in modifiers if one.factor_ppm > ONE]
    largest = reduce(lambda product, one: product * one.factor_ppm // ONE, raising, ONE)
    if largest > LARGEST:
        raise RateError(f"The modifiers {', '.join(one.name for one in raising)} may multiply to more than {LARGEST // ONE}.")
    return largest


def _slots(calendar: Calendar, first: int, last: int) -> pl.DataFrame:
    zoned = pl.from_epoch(pl.col("slot_key") * SLOT, "s").dt.replace_time_zone("UTC").dt.convert_time_zone(calendar.time_zone)
    local = pl.select(slot_key=pl.int_range(first, last + 1, dtype=pl.Int64)).with_columns(local=zoned)
    _on_the_grid(local, calendar.time_zone)
    largest_ppm(calendar.modifiers)
    weighed = local.with_columns(ppm=_ppm(calendar.modifiers), month=_month(pl.col("local")))
    return weighed.with_columns(weight=(pl.col("ppm") * SLOT).cum_sum() - pl.col("ppm") * SLOT).select(*CALENDAR_SCHEMA)


def _on_the_grid(local: pl.DataFrame, zone: str) -> None:
    clock = pl.col("local")
    if local.select(((clock.dt.minute() % 15 != 0) | (clock.dt.second() != 0)).any()).item():
        raise RateError(f"Time zone {zone} is not a whole number of quarter hours from UTC at that time.")


def _month(local: pl.Expr) -> pl.Expr:
    return local.dt.year().cast(pl.Int64) * 100 + local.dt.month().cast(pl.Int64)


def _ppm(modifiers: tuple[Modifier, ...]) -> pl.Expr:
    """All factors that hold, multiplied in their order, each product cut to a whole part per million."""
    def times(product: pl.Expr, one: Modifier) -> pl.Expr:
        return pl.when(_holds(one)).then(product * one.factor_ppm // ONE).otherwise(product)
    return reduce(times, modifiers, pl.lit(ONE, pl.Int64))


def _holds(one: Modifier) -> pl.Expr:
    """Whether the modifier holds in a slot: everything that it names must."""
    local, instant = pl.col("local"), pl.col("slot_key") * SLOT
    conditions = [pl.lit(value=True)]
    if one.hours:
        conditions.append(_within(local.dt.hour().cast(pl.Int64) * 60 + local.dt.minute().cast(pl.Int64), *one.hours))
    if one.weekdays:
        conditions.append((local.dt.weekday() - 1).is_in(sorted(one.weekdays)))
    if one.dates:
        conditions.append(local.dt.date().is_in(list(one.dates)))
    if one.spans:
        spans = [(int(start.timestamp()), int(end.timestamp())) for start, end in one.spans]
        conditions.append(pl.any_horizontal((instant >= start) & (instant < end) for start, end in spans))
    return pl.all_horizontal(conditions)


def _within(minute: pl.Expr, start: int, end: int) -> pl.Expr:
    """Minutes of the day in [start, end); past midnight where the end does not come after the start."""
    return (minute >= start) & (minute < end) if start < end else (minute >= start) | (minute < end)
