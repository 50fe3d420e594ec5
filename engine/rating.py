"""Rating: from a frame of usage and a book of cards to a frame of charges. One pure function, integers only.

Each charge explains itself: the quantity that was billed, the card, what each meter cost, and the rounding stand in
columns of their own. Written with narwhals expressions, so that the same lines run on polars, DuckDB and Spark.
Two ideas make the order of rows and the cuts of a period not matter: a run's time factor is the difference of a
cumulative function of time (engine/calendars.py), a month's ladder that of a cumulative function of what was used
(engine/ladders.py). Products are taken in 128 bits: too large is an error, never a wrapped number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any, TypeAlias

import narwhals as nw
import polars as pl

from engine.calendars import ONE, SLOT
from engine.errors import MoneyError, RateError
from engine.exact import Arithmetic, arithmetic
from engine.ladders import Slot
from engine.meters import Meter
from engine.rate_frames import CARRIED_SCHEMA, Book, book_of, side_tables
from engine.rate_limits import MEASURED, SHARE, WHOLE, fitting, too_large
from engine.rates import Policy, RateCard

Frame: TypeAlias = "nw.LazyFrame[Any]"

METERS = ("cpu", "gpu", "mem", "extra")      # extra: nodes, or Slurm's billing units
QUANTITIES = {"cpu": "cpu_core_seconds", "gpu": "gpu_seconds", "mem": "mem_mib_seconds", "extra": "extra_seconds"}

# What rating adds to a usage row that carries its payer's `tier`. Quantities in whole seconds, money in micro-units.
CHARGE_SCHEMA: dict[str, pl.DataType] = {
    "rate_card": pl.String(), "policy": pl.String(), "currency": pl.String(),
    "cpu_core_seconds": pl.Int64(), "gpu_seconds": pl.Int64(), "mem_mib_seconds": pl.Int64(), "extra_seconds": pl.Int64(),
    "cpu_micro": pl.Int64(), "gpu_micro": pl.Int64(), "mem_micro": pl.Int64(), "extra_micro": pl.Int64(),
    "rounding_micro": pl.Int64(), "cost_micro": pl.Int64(),
}
# What explains a charge: the run's factor is weighted_ppm_seconds / (span_seconds × 10⁶). With month ladders there is
# besides a column `SLOT_before` a counter (cpu, gpu, gpu:a100 …): what the payer had used in the month before this run.
FACTOR_SCHEMA: dict[str, pl.DataType] = {"weighted_ppm_seconds": pl.Int64(), "span_seconds": pl.Int64()}

NEEDED = ("run_key", "tier", "ended", "submit_at", "start_at", "end_at", *MEASURED)


def rate(usage: pl.DataFrame, cards: Book | Sequence[RateCard], policy: str | None = None, carried: pl.DataFrame | None = None,
         factors: bool = False) -> pl.DataFrame:
    """Price every row of `usage` (USAGE_SCHEMA and `tier`) with the card of its project or tier valid when it ended.

    Returns the same rows in the same order with CHARGE_SCHEMA added, and FACTOR_SCHEMA with `factors`. A run that has not
    ended costs nothing yet and carries the card that is valid at its start. `policy` prices by another policy than the
    card's. Cards of projects need the column account_name, GPU models, nodes and billing units alloc_tres, month ladders
    payer and run_key, and of what the payers used in the same months before these rows `carried` (CARRIED_SCHEMA).
    A row without a card is a RateError; an amount beyond 64 bits a MoneyError.
    """
    book = cards if isinstance(cards, Book) else book_of(cards)
    book = book if policy is None else book.under(Policy(policy))
    rows = usage.select(needed(book)).with_row_index("_row")
    tables = tables_for(rows, book, carried)
    how = fitting(rows, book, tables)
    frames = {name: nw.from_native(table.lazy()) for name, table in tables.items()}
    runs = rows.lazy()
    if (alone := _alone(rows, book, tables["cards"])) is not None:
        runs = runs.with_columns(alone)
        del frames["cards"]
    added = [*CHARGE_SCHEMA, *(factor_schema(book) if factors else ())]
    try:
        priced = charges(nw.from_native(runs), book, frames, how).select("_row", *added).to_native().collect()
    except (pl.exceptions.InvalidOperationError, nw.exceptions.InvalidOperationError):
        raise MoneyError(too_large(rows, book, tables)) from None
    return usage.hstack(_in_order(priced, rows).select(added))


def carried_after(usage: pl.DataFrame, cards: Book | Sequence[RateCard], policy: str | None = None,
                  carried: pl.DataFrame | None = None) -> pl.DataFrame:
    """What payers have used in their months when `usage` is priced: `carried`, and what its ended runs add (CARRIED_SCHEMA).

    Only on lines with a month ladder. Rating parts of a period one after the other, each with what the ones before it
    leave here, gives the charges that rating it at once gives: parts are cut by time of end, then run key, or by payer.
    """
    book = cards if isinstance(cards, Book) else book_of(cards)
    book = book if policy is None else book.under(Policy(policy))
    before = pl.DataFrame(schema=CARRIED_SCHEMA) if carried is None else carried.select(*CARRIED_SCHEMA)
    if not book.slots:
        return before
    rows = usage.select(needed(book)).filter("ended")
    tables = {name: nw.from_native(table.lazy()) for name, table in tables_for(rows, book).items()}
    count = Arithmetic(decimals=False)
    found = carded(nw.from_native(rows.lazy()), tables)
    counted: pl.DataFrame = _counted(weighed(_quantities(found, book, tables, count), tables, count), book).to_native().collect()
    adds = [counted.select("payer", line="_line", month="_month", meter=pl.lit(slot.name), quantity=slot.column("adds"))
            for slot in book.slots]
    sums = pl.concat([before, *adds]).group_by("payer", "line", "month", "meter").agg(pl.col("quantity").sum())
    return sums.filter(pl.col("quantity") != 0, pl.col("month").is_not_null()).sort("payer", "line", "month", "meter")


def needed(book: Book) -> list[str]:
    """The columns of usage that rating by `book` reads."""
    projects = ["account_name"] if book.projects_table is not None else []
    texts = ["alloc_tres"] if book.texts else []
    ladders = ["payer"] if book.slots else []
    return [*NEEDED, *projects, *texts, *ladders]


def factor_schema(book: Book) -> dict[str, pl.DataType]:
    """FACTOR_SCHEMA, and of a book with month ladders a column a counter."""
    return FACTOR_SCHEMA | {f"{slot.name}_before": pl.Int64() for slot in book.slots}


def tables_for(usage: pl.DataFrame, book: Book, carried: pl.DataFrame | None = None) -> dict[str, pl.DataFrame]:
    """`side_tables` for the runs of `usage`."""
    texts: list[str] = usage["alloc_tres"].drop_nulls().unique().to_list() if book.texts else []
    first, last = _ends(usage) if book.calendars else (0, 0)
    tables = side_tables(book, texts, first, last, carried)
    return tables | {"cards": _of_that_time(tables["cards"], usage)}


def charges(usage: Frame, book: Book, tables: Mapping[str, Frame], count: Arithmetic | None = None) -> Frame:
    """The rating expressions themselves, for any engine narwhals knows: CHARGE_SCHEMA and `factor_schema` are added.

    `usage` has the columns `needed`; `tables` are the `side_tables` as frames of the same engine. Rows no card covers are
    left out, and where AllocTRES does not say how many nodes or billing units there were, the cost is null.
    """
    count = count or arithmetic(usage)
    quantities = _quantities(carded(usage, tables), book, tables, count)
    timed = weighed(quantities, tables, count) if book.calendars else quantities
    exact = _on_ladders(timed, book, tables, count) if book.slots else _flat(timed, book, count)
    return _explained(_amounts(_by_policy(exact, book), book, count), book)


def carded(usage: Frame, tables: Mapping[str, Frame]) -> Frame:
    """Every row with the card that prices it: its project's, else its tier's, valid when it ended."""
    if "cards" not in tables:                       # one prices all of them, and stands there
        return usage
    c = nw.col
    moment = nw.coalesce(c("end_at"), c("start_at"), c("submit_at"))
    if "projects" not in tables:
        found = usage.join(tables["cards"], left_on="tier", right_on="_key", how="inner")
        return found.filter(c("_valid_from") <= moment, moment < c("_valid_to"))
    projects = usage.join(tables["projects"], left_on="account_name", right_on="_account", how="left").filter(
        c("_project_from").is_null() | ((c("_project_from") <= moment) & (moment < c("_project_to"))))
    found = projects.with_columns(_found=nw.coalesce(c("_project"), c("tier"))).join(
        tables["cards"], left_on="_found", right_on="_key", how="inner")
    return found.filter(c("_valid_from") <= moment, moment < c("_valid_to"))


def _quantities(priced_by: Frame, book: Book, tables: Mapping[str, Frame], count: Arithmetic) -> Frame:
    c = nw.col
    elapsed = count.wide(c("elapsed_seconds"))
    read = _texts_read(priced_by, book, tables) if book.texts else priced_by

    def by_policy(used: str, allocated: str) -> nw.Expr:
        set_aside = (c(allocated) * elapsed).cast(nw.Int64)
        if Policy.USED not in book.policies:
            return set_aside
        return c(used) if len(book.policies) == 1 else nw.when(_is(Policy.USED)).then(c(used)).otherwise(set_aside)

    units = nw.when(c("_extra_rate").is_null() | (c("elapsed_seconds") == 0)).then(0).otherwise((c("_units") * elapsed).cast(nw.Int64))
    return read.with_columns(
        cpu_core_seconds=by_policy("cpu_used_core_seconds", "alloc_cpus"),
        gpu_seconds=(c("alloc_gpus") * elapsed).cast(nw.Int64),
        mem_mib_seconds=by_policy("mem_used_mib_seconds", "alloc_mem_mib"),
        extra_seconds=units if book.extras else nw.lit(0, nw.Int64),
    )


def _texts_read(priced_by: Frame, book: Book, tables: Mapping[str, Frame]) -> Frame:
    """With what AllocTRES says on the card; more typed GPUs than there are in all are priced as of no type."""
    c = nw.col
    read = priced_by.join(tables["tres"], left_on=["alloc_tres", "rate_card"], right_on=["_text", "_tres_card"], how="left")
    typed = ["_typed", "_typed_micro", *(slot.column("count") for slot in book.slots if slot.model)]
    known = (c("_typed") <= c("alloc_gpus")).fill_null(value=False)
    return read.with_columns(nw.when(known).then(c(name)).otherwise(0).alias(name) for name in typed)


def weighed(quantities: Frame, tables: Mapping[str, Frame], count: Arithmetic) -> Frame:
    """With the run's factor as `_weight` over `_span` seconds × 10⁶, and the month it ended in.

    A run begins where its elapsed time is counted from, max(Start, Submit); one that took no time has the factor of its end.
    """
    c = nw.col
    start = nw.coalesce(c("start_at"), c("end_at"))
    begun = nw.when(c("submit_at") > start).then(c("submit_at")).otherwise(start)
    begin = nw.when(begun > c("end_at")).then(c("end_at")).otherwise(begun)
    spans = quantities.with_columns(_begin=begin).with_columns(
        _begin_key=_slot_key("_begin", count), _end_key=_slot_key("end_at", count), _long=c("end_at") - c("_begin"))
    from_ = tables["calendar"].select(_from_key="slot_key", _from_weight="weight", _from_ppm="ppm")
    to = tables["calendar"].select(_to_key="slot_key", _to_weight="weight", _to_ppm="ppm", _month="month")
    joined = spans.join(from_, left_on="_begin_key", right_on="_from_key", how="left").join(
        to, left_on="_end_key", right_on="_to_key", how="left")
    until = c("_to_weight") + c("_to_ppm") * (c("end_at") % SLOT)
    since = c("_from_weight") + c("_from_ppm") * (c("_begin") % SLOT)
    plain = c("_calendar").is_null() | ~c("ended")
    return joined.with_columns(
        _weight=nw.when(plain).then(1).when(c("_long") > 0).then(until - since).otherwise(c("_to_ppm")),
        _over=nw.when(plain).then(1).when(c("_long") > 0).then(c("_long") * ONE).otherwise(ONE))


def _slot_key(instant: str, count: Arithmetic) -> nw.Expr:
    slots = count.floor(count.wide(nw.col(instant)), count.wide(nw.lit(SLOT))) if count.decimals else nw.col(instant) // SLOT
    return nw.col("_calendar") + slots


def _flat(quantities: Frame, book: Book, count: Arithmetic) -> Frame:
    """Exact prices over WHOLE (both without what the book's prices share) where a unit costs the same however many were used."""
    c, wide = nw.col, count.wide
    untyped = wide(c("gpu_seconds")) * c("_gpu_rate")
    gpu = untyped if not book.models else wide(c("elapsed_seconds")) * (
        wide(c("_typed_micro")) + wide(c("alloc_gpus") - c("_typed")) * c("_gpu_rate"))
    exact = {"cpu": wide(c("cpu_core_seconds")) * c("_cpu_rate"), "gpu": gpu, "mem": wide(c("mem_mib_seconds")) * c("_mem_rate"),
             "extra": wide(c("extra_seconds")) * nw.coalesce(c("_extra_rate"), nw.lit(0)) if book.extras else wide(nw.lit(0))}
    nothing = wide(nw.lit(0))
    return quantities.with_columns(
        nw.when(c("ended")).then(exact[meter] * SHARE[meter]).otherwise(nothing).alias(f"_{meter}") for meter in METERS)


def _counted(quantities: Frame, book: Book) -> Frame:
    """With the base quantity that every ended run adds to each counter of its month."""
    c = nw.col
    return quantities.with_columns(
        nw.when(c("ended")).then(_adds(slot, book)).otherwise(0).alias(slot.column("adds")) for slot in book.slots)


def _adds(slot: Slot, book: Book) -> nw.Expr:
    c = nw.col
    if slot.model:
        return c(slot.column("count")) * c("elapsed_seconds")
    if slot.meter == Meter.GPU:
        return c("gpu_seconds") - c("_typed") * c("elapsed_seconds") if book.models else c("gpu_seconds")
    if slot.meter in (Meter.NODE, Meter.BILLING):
        billing = _is(Policy.BILLING_TRES)
        return nw.when(billing if slot.meter == Meter.BILLING else ~billing).then(c("extra_seconds")).otherwise(0)
    return c(QUANTITIES[slot.meter])


def _on_ladders(quantities: Frame, book: Book, tables: Mapping[str, Frame], count: Arithmetic) -> Frame:
    """Exact prices over WHOLE where they depend on what the payer used before in the month."""
    c = nw.col
    before = stood(_counted(quantities, book), book, tables, count)
    costs: dict[str, list[nw.Expr]] = {meter: [] for meter in METERS}
    for slot in book.slots:
        meter = slot.meter if slot.meter in costs else "extra"
        costs[meter].append(slot.cost(count, c(slot.column("before")), c(slot.column("after"))))
    return before.with_columns((reduce(add, parts) * SHARE[meter]).alias(f"_{meter}") for meter, parts in costs.items())


def stood(counted: Frame, book: Book, tables: Mapping[str, Frame], count: Arithmetic) -> Frame:
    """With what every counter of the month stood at before a row and after it, and the steps of its card."""
    c = nw.col
    known = counted.join(
        tables["carried"], left_on=["payer", "_line", "_month"], right_on=["_payer", "_of_line", "_of_month"], how="left")
    after = known.join(tables["ladders"], left_on="rate_card", right_on="_ladder_card", how="left").with_columns(
        (nw.coalesce(c(slot.column("carried")), nw.lit(0)) + count.wide(c(slot.column("adds"))).cum_sum().over(
            "payer", "_line", "_month", order_by=["end_at", "run_key"]).cast(nw.Int64)).alias(slot.column("after")) for slot in book.slots)
    return after.with_columns((c(slot.column("after")) - c(slot.column("adds"))).alias(slot.column("before")) for slot in book.slots)


def _by_policy(exact: Frame, book: Book) -> Frame:
    """Under billing_tres only `extra` costs; under max_of only the dearest meter, of equal ones the first."""
    c = nw.col
    if Policy.BILLING_TRES in book.policies:
        exact = exact.with_columns(nw.when(_is(Policy.BILLING_TRES)).then(c(f"_{meter}") * 0).otherwise(c(f"_{meter}")).alias(f"_{meter}")
                                   for meter in METERS if meter != "extra")
    if Policy.MAX_OF not in book.policies:
        return exact
    beaten: list[nw.Expr] = []
    for place, meter in enumerate(METERS):
        mine = c(f"_{meter}")
        dearer = [c(f"_{other}") > mine for other in METERS[place + 1:]] + [c(f"_{other}") >= mine for other in METERS[:place]]
        kept = nw.when(_is(Policy.MAX_OF) & reduce(lambda one, two: one | two, dearer)).then(mine * 0).otherwise(mine)
        beaten.append(kept.alias(f"_{meter}"))
    return exact.with_columns(beaten)


def _amounts(exact: Frame, book: Book, count: Arithmetic) -> Frame:
    """Exact numerators over one denominator, each meter cut to micro-units, the total rounded once."""
    c, wide = nw.col, count.wide
    whole = wide(c("_over")) * (WHOLE // book.shared) if book.calendars else wide(nw.lit(WHOLE // book.shared))
    parts = {meter: c(f"_{meter}") * c("_weight") if book.calendars else c(f"_{meter}") for meter in METERS}
    step = wide(nw.lit(book.roundings[0])) if len(book.roundings) == 1 else wide(c("_round"))
    total = reduce(add, parts.values()) * 2 + step * whole
    cost = wide(count.floor(total, step * whole * 2)) * step
    cut = exact.with_columns(
        *(count.floor(part, whole).alias(f"{meter}_micro") for meter, part in parts.items()), cost_micro=cost.cast(nw.Int64))
    return cut.with_columns(rounding_micro=reduce(lambda rest, meter: rest - c(f"{meter}_micro"), METERS, c("cost_micro")))


def _explained(priced: Frame, book: Book) -> Frame:
    c = nw.col
    if book.slots:
        priced = priced.with_columns(c(slot.column("before")).alias(f"{slot.name}_before") for slot in book.slots)
    if book.calendars:
        plain = c("_over") == 1
        return priced.with_columns(span_seconds=nw.when(plain).then(1).otherwise(c("_over") // ONE),
                                   weighted_ppm_seconds=nw.when(plain).then(ONE).otherwise(c("_weight")))
    return priced.with_columns(span_seconds=nw.lit(1, nw.Int64), weighted_ppm_seconds=nw.lit(ONE, nw.Int64))


def _is(policy: Policy) -> nw.Expr:
    return nw.col("policy") == nw.lit(str(policy))


def _alone(usage: pl.DataFrame, book: Book, cards: pl.DataFrame) -> list[pl.Expr] | None:
    """The columns of the one card that prices all of `usage`; None where several do, or one does not cover all."""
    tiers = usage["tier"]
    if usage.is_empty() or book.projects_table is not None or tiers.null_count() or tiers.min() != tiers.max():
        return None
    moments = usage.select(pl.coalesce("end_at", "start_at", "submit_at").alias("moment"))["moment"]
    least, most = moments.min(), moments.max()
    own = cards.filter(pl.col("_key") == tiers[0], pl.col("_valid_from") <= most, pl.col("_valid_to") > least)
    if len(own) != 1 or moments.null_count() or own["_valid_from"][0] > least or own["_valid_to"][0] <= most:
        return None
    return [pl.lit(value, own.schema[name]).alias(name) for name, value in own.drop("_key").row(0, named=True).items()]


def _of_that_time(cards: pl.DataFrame, usage: pl.DataFrame) -> pl.DataFrame:
    """`cards` without those that no run of `usage` can fall on: each run is joined to every card of its line."""
    if cards["_key"].is_unique().all() or usage.is_empty():
        return cards
    moments = usage.select(pl.coalesce("end_at", "start_at", "submit_at").alias("moment"))["moment"]
    return cards.filter(pl.col("_valid_from") <= moments.max(), pl.col("_valid_to") > moments.min())


def _ends(usage: pl.DataFrame) -> tuple[int, int]:
    """The first and the last instant that ended runs need a factor or a month of."""
    ended = usage.filter("ended")
    starts = ended.select(pl.min_horizontal("start_at", "end_at").min()).item()
    return (starts, ended["end_at"].max()) if starts is not None else (0, 0)  # type: ignore[return-value]


def _in_order(priced: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """`priced` in the order of `rows`, each of which has exactly one charge with a cost."""
    ordered = priced if priced["_row"].is_sorted() else priced.sort("_row")
    if len(ordered) != len(rows) or not (ordered["_row"] == rows["_row"]).all():
        raise RateError(_uncovered(rows, priced))
    if ordered["cost_micro"].null_count():
        row = rows.hstack(ordered.select("cost_micro", "rate_card")).filter(pl.col("cost_micro").is_null()).row(0, named=True)
        raise RateError(f"Card {row['rate_card']} prices nodes or billing units, but AllocTRES {row.get('alloc_tres')!r} of run "
                        f"{row['run_key']} does not say how many there were.")
    return ordered


def _uncovered(rows: pl.DataFrame, priced: pl.DataFrame) -> str:
    lost = rows.join(priced.select("_row"), on="_row", how="anti")
    if lost.is_empty():
        return "Two cards of one tier cover the same time."
    row = lost.row(0, named=True)
    return f"{len(lost)} runs have no card; the first is {row['run_key']} of tier {row['tier']!r}."
