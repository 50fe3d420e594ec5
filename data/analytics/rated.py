"""The whole copy priced by the rating function, on the engine of one's choice: DuckDB, polars or Spark. Totals are equal to
the micro-unit; what differs is how many machines may help. Nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import duckdb
import narwhals as nw
import polars as pl

from data.analytics.files import Facts, usage_sql
from data.analytics.lake import Lake
from engine.errors import MoneyError, RateError
from engine.exact import arithmetic
from engine.rate_frames import Book, side_tables
from engine.rating import charges, rate

Frame: TypeAlias = "nw.LazyFrame[Any]"
KEYS = ("month", "tier", "currency")            # the month as 2026-11, of the day in the site's zone
SUMS = ("jobs", "stored_micro", "cost_micro")
TOTAL_SCHEMA: dict[str, pl.DataType] = {**dict.fromkeys(KEYS, pl.String()), **dict.fromkeys(SUMS, pl.Int64())}


def by_duckdb(lake: Lake, facts: Facts, book: Book) -> pl.DataFrame:
    """`totals`, by the lake's own engine: streamed, in bounded memory. Raises duckdb.Error."""
    with lake.cursor() as duck:
        def side(name: str, table: pl.DataFrame) -> Frame:
            duck.register(f"side_{name}", table)
            return nw.from_native(duck.table(f"side_{name}"))

        usage = duck.sql(usage_sql(facts), params={"begin": facts.begin, "until": facts.until})
        try:
            return totals(nw.from_native(usage), side, facts, book)
        except duckdb.OutOfRangeException as error:
            raise too_large(error) from None


def by_polars(lake: Lake, facts: Facts, book: Book) -> pl.DataFrame:
    """`totals`, by polars, month after month in this process's memory; month ladders need all of it at once."""
    sums = [pl.DataFrame(schema=TOTAL_SCHEMA)]
    for month in [""] if book.slots else facts.months:
        usage = lake.ask(usage_sql(facts, month), {"begin": facts.begin, "until": facts.until})
        current = nw.to_native(_current(nw.from_native(usage.lazy()), facts)).collect()
        sums.append(rate(current, book).filter(pl.col("end_at") >= _asked_from(facts)).group_by(KEYS).agg(pl.col(SUMS).sum()))
    return _ordered(pl.concat([part.cast(TOTAL_SCHEMA) for part in (part.select(*TOTAL_SCHEMA) for part in sums)]))  # type: ignore[arg-type]


def totals(usage: Frame, side: Callable[[str, pl.DataFrame], Frame], facts: Facts, book: Book) -> pl.DataFrame:
    """Sums by month and tier (TOTAL_SCHEMA) of `usage`, facts as usage in a frame of any engine: as stored, and by `book`.

    `side` makes a frame of that engine of a small table, by its name. RateError where a run has no card or no price.
    """
    tables = {name: side(name, table) for name, table in side_tables(book, facts.texts, facts.first, facts.last).items()}
    current = _current(usage, facts)
    wide = arithmetic(current).wide
    priced = charges(current, book, tables).filter(nw.col("end_at") >= _asked_from(facts)).group_by(*KEYS).agg(
        nw.len().alias("jobs"), nw.col("cost_micro").count().alias("priced"),
        *(wide(nw.col(name)).sum().alias(name) for name in SUMS[1:]))
    found = pl.DataFrame(priced.collect("pyarrow").to_native()).cast({"priced": pl.Int64, **{name: TOTAL_SCHEMA[name] for name in SUMS}})
    _all_priced(found, facts)
    return _ordered(found)


def _current(usage: Frame, facts: Facts) -> Frame:
    """Every run once, as it stands: what was taken back is left out."""
    if not facts.corrected:
        return usage
    taken_back = usage.filter(nw.col("jobs") < 0).select("run_key").unique()
    columns = [name for name in usage.collect_schema().names() if name != "jobs"]
    again = usage.join(taken_back, on="run_key", how="semi").group_by(*columns).agg(nw.col("jobs").sum()).filter(nw.col("jobs") > 0)
    return nw.concat([usage.join(taken_back, on="run_key", how="anti").select(*columns), again.select(*columns)]).with_columns(
        jobs=nw.lit(1, nw.Int64))


def _asked_from(facts: Facts) -> int:
    return int(facts.since.timestamp()) if facts.since else -2**62


def _all_priced(found: pl.DataFrame, facts: Facts) -> None:
    if found["jobs"].sum() != found["priced"].sum():
        raise RateError("A card prices nodes or billing units, but AllocTRES of some runs does not say how many.")
    if found["jobs"].sum() != facts.jobs:
        raise RateError(f"{facts.jobs - found['jobs'].sum()} of {facts.jobs} runs have no card.")


def _ordered(found: pl.DataFrame) -> pl.DataFrame:
    return found.group_by(KEYS).agg(pl.col(SUMS).sum()).sort(KEYS).select(*TOTAL_SCHEMA)


def too_large(error: Exception) -> MoneyError:
    """What an engine says of a number beyond its widest, as a refusal."""
    return MoneyError(f"An amount does not fit: {str(error).splitlines()[0][:200]}")


