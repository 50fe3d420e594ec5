"""Rating of what is metered apart from runs: tokens, Sparks, storage, session minutes. The same cards, factors and ladders.

Each row is a quantity of one meter that a payer used over a span of time. Refuses to know where rows come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

import narwhals as nw
import polars as pl

from engine.calendars import largest_ppm
from engine.errors import MoneyError, RateError
from engine.exact import Arithmetic
from engine.meters import Meter
from engine.rate_frames import METERED, Book, metered_book, side_tables
from engine.rate_limits import MOST
from engine.rates import RateCard
from engine.rating import Frame, carded, stood, weighed

# `quantity` in the meter's base quantity (tokens, Sparks, MB-seconds, seconds), instants in Unix seconds.
METERED_SCHEMA: dict[str, pl.DataType] = {
    "key": pl.String(), "payer": pl.String(), "tier": pl.String(), "account_name": pl.String(), "meter": pl.String(),
    "quantity": pl.Int64(), "start_at": pl.Int64(), "end_at": pl.Int64()}
# What rating adds: cost = amount + rounding. `before` is what the payer had used of the meter in the month before this row.
METERED_CHARGE_SCHEMA: dict[str, pl.DataType] = {
    "rate_card": pl.String(), "currency": pl.String(), "before": pl.Int64(),
    "amount_micro": pl.Int64(), "rounding_micro": pl.Int64(), "cost_micro": pl.Int64()}
WIDE = Arithmetic(decimals=False)


def rate_metered(rows: pl.DataFrame, cards: Sequence[RateCard], carried: pl.DataFrame | None = None) -> pl.DataFrame:
    """Price `rows` (METERED_SCHEMA, each key once) by the card of project or tier valid at their end.

    Returns the same rows in the same order with METERED_CHARGE_SCHEMA added; a meter that a card does not price costs
    nothing on it. `carried` (CARRIED_SCHEMA) is what was used in the same months before. A row without a card, of an
    unknown meter or with a negative quantity is a RateError, an amount beyond 64 bits a MoneyError.
    """
    _refuse(rows)
    book = metered_book(cards)
    if rows.is_empty():
        return rows.with_columns(pl.lit(None, kind).alias(name) for name, kind in METERED_CHARGE_SCHEMA.items())
    _fitting(rows, book)
    first, last = rows.select(first=pl.min_horizontal("start_at", "end_at").min(), last=pl.col("end_at").max()).row(0)
    tables = side_tables(book, (), first, last, carried)
    usage = rows.select("payer", "tier", "account_name", "meter", "quantity", "start_at", "end_at", run_key="key", submit_at="start_at",
                        ended=pl.lit(value=True)).with_row_index("_row")
    frames = {name: nw.from_native(table.lazy()) for name, table in tables.items()}
    priced = _charges(nw.from_native(usage.lazy()), book, frames).select("_row", *METERED_CHARGE_SCHEMA).to_native()
    try:
        charged: pl.DataFrame = priced.collect().sort("_row")
    except pl.exceptions.InvalidOperationError:
        raise MoneyError(_too_large(rows)) from None
    if charged["_row"].to_list() != list(range(len(rows))):
        lost = usage.join(charged, on="_row", how="anti")
        raise RateError(f"{len(lost)} rows have no card; the first is {lost['run_key'][0]} of tier {lost['tier'][0]!r}." if len(lost)
                        else "Two cards of one tier cover the same time.")
    return rows.hstack(charged.drop("_row"))


def _charges(usage: Frame, book: Book, tables: dict[str, Frame]) -> Frame:
    c, wide = nw.col, WIDE.wide
    timed = weighed(carded(usage, tables), tables, WIDE)
    counted = timed.with_columns(
        nw.when(c("meter") == slot.meter).then(c("quantity")).otherwise(0).alias(slot.column("adds")) for slot in book.slots)
    known = stood(counted, book, tables, WIDE)
    exact = reduce(add, [slot.cost(WIDE, c(slot.column("before")), c(slot.column("after"))) for slot in book.slots])
    unit, before = nw.lit(1), nw.lit(0, nw.Int64)
    for slot in book.slots:
        own = c("meter") == slot.meter
        unit = nw.when(own).then(Meter(slot.meter).unit_size).otherwise(unit)
        before = nw.when(own).then(c(slot.column("before"))).otherwise(before)
    total, whole, step = exact * c("_weight"), wide(unit) * c("_over"), wide(c("_round"))
    cost = wide(WIDE.floor(total * 2 + step * whole, step * whole * 2)) * step
    cut = known.with_columns(before=before, amount_micro=WIDE.floor(total, whole), cost_micro=cost.cast(nw.Int64))
    return cut.with_columns(rounding_micro=c("cost_micro") - c("amount_micro"))


def _refuse(rows: pl.DataFrame) -> None:
    wrong = rows.filter(~pl.col("meter").is_in(sorted(METERED)) | (pl.col("quantity") < 0))
    if len(wrong):
        row = wrong.row(0, named=True)
        raise RateError(f"Row {row['key']} has {row['quantity']} of meter {row['meter']!r}: a quantity is not negative, and meters are "
                        f"{', '.join(sorted(METERED))}.")


def _fitting(rows: pl.DataFrame, book: Book) -> None:
    prices = [price for card in book.cards for price in card.prices if price.meter in METERED]
    dearest = max([step.micro_per_unit + step.flat_micro for price in prices for step in price.steps], default=1)
    largest_unit = max(Meter(meter).unit_size for meter in METERED)
    seconds = (pl.col("end_at") - pl.col("start_at")).clip(1).cast(pl.Float64)
    factor = max(largest_ppm(calendar.modifiers) for calendar in book.calendars)
    largest = (pl.col("quantity").cast(pl.Float64) + largest_unit) * 4 * max(1, dearest) * seconds * factor
    if rows.select(largest.max()).item() > MOST:
        raise MoneyError(_too_large(rows.sort(largest)))


def _too_large(rows: pl.DataFrame) -> str:
    return f"An amount does not fit 64 bits; look at row {rows['key'][-1]}, which has the largest quantity."
