"""What other cards would make of the jobs in the copy: sums before and after, every job priced to the micro-unit, nothing
kept. Cards with flat prices are one whole-number formula in SQL; others go through the rating function itself.
"""
# ruff: noqa: S608  statements are put together from constants and whole numbers; every text is bound

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import duckdb
import narwhals as nw
import polars as pl

from data.analytics.lake import Lake
from engine.errors import MoneyError, RateError
from engine.flat_prices import Formula, formulas
from engine.rate_frames import Book, side_tables, tres_table
from engine.rates import Policy
from engine.rating import charges
from engine.rerating import SUM_SCHEMA, Drafted

FACTS = "lake.usage_fact"
_ELAPSED = "abs(elapsed_seconds)"           # a fact that takes another back has it negative
_SUMMED = """
select case grouping_id(tier, account_name, day, payer) when 15 then 'all' when 7 then 'tier' when 11 then 'account'
         when 13 then 'day' else 'payer' end as kind,
       coalesce(tier, account_name, cast(day as varchar), payer, '') as name,
       sum(jobs)::bigint as jobs, sum(case when jobs * price <> cost_micro then jobs else 0 end)::bigint as changed_jobs,
       sum(cost_micro)::bigint as before_micro, sum(jobs * price)::bigint as after_micro,
       count(*) - count(price) as unknown
from ({rated}) group by grouping sets ((), (tier), (account_name), (day), (payer))
"""
_USAGE = """
select jobs, tier, account_name, day, payer, run_key, true as ended, cost_micro as was_micro, alloc_tres, alloc_cpus, alloc_gpus,
       alloc_mem_mib, abs(elapsed_seconds) as elapsed_seconds, cpu_used_core_seconds, mem_used_mib_seconds,
       epoch(submit_at)::bigint as submit_at, epoch(start_at)::bigint as start_at, epoch(end_at)::bigint as end_at
from {facts} where {period}
"""


def can_say(new: Drafted) -> bool:
    """Whether the copy can: not where a price depends on the month so far, whose jobs must be met in their order."""
    return not new.by_month and (not new.book.slots or formulas(new.book, new.names) is not None)


def what_if(lake: Lake, new: Drafted, since: datetime | None, until: datetime | None) -> pl.DataFrame:
    """Sums by every kind (SUM_SCHEMA) over the jobs that ended in [since, until) and that the drafts price. The copy does not
    know receipts: `receipted_…` are zero. Raises duckdb.Error; RateError and MoneyError as rating does."""
    with lake.cursor() as duck:
        return summed(duck, FACTS, new, since, until)


def summed(duck: duckdb.DuckDBPyConnection, facts: str, new: Drafted, since: datetime | None, until: datetime | None) -> pl.DataFrame:
    """`what_if` over the table `facts`."""
    book = new.book
    flat = formulas(book, new.names)
    period, values = _period(since, until)
    _check_currency(duck, facts, new, period, values)
    reads_text = book.texts if flat is None else any(formula.reads_text for formula in flat)
    texts = [str(text) for (text,) in duck.execute(f"select distinct alloc_tres from {facts} where {period}", values).fetchall(
        )] if reads_text else []
    if flat is None:
        return _by_rating(duck, facts, new, texts, period, values)
    try:
        return _by_formula(duck, facts, book, flat, texts, period, values, "bigint")
    except duckdb.OutOfRangeException:
        return _by_formula(duck, facts, book, flat, texts, period, values, "hugeint")


def _period(since: datetime | None, until: datetime | None) -> tuple[str, dict[str, object]]:
    """Which facts; `day` too, by which files are left out: it is that of the site's zone, so a day more on both sides."""
    words, values = ["true"], dict[str, object]()
    if since:
        words.append("end_at >= $since and day >= cast($since as date) - 1")
        values["since"] = since
    if until:
        words.append("end_at < $until and day <= cast($until as date) + 1")
        values["until"] = until
    return " and ".join(words), values


def _check_currency(duck: duckdb.DuckDBPyConnection, facts: str, new: Drafted, period: str, values: Mapping[str, object]) -> None:
    """Ask the daily sums, which are quick; the facts only where those know another currency at all."""
    if facts == FACTS and not duck.execute("select 1 from lake.usage_daily where currency <> $currency limit 1",
                                           {"currency": new.currency}).fetchall():
        return
    others = duck.execute(
        f"select currency from {facts} where {period} and currency <> $currency and (list_contains($tiers::varchar[], tier)"
        " or list_contains($projects::varchar[], account_name)) group by 1 having sum(jobs) <> 0",
        {**values, "currency": new.currency, "tiers": new.tiers, "projects": new.projects}).fetchall()
    if others:
        raise RateError(f"These jobs are reckoned in {others[0][0]}; the card is in {new.currency}.")


def _by_formula(duck: duckdb.DuckDBPyConnection, facts: str, book: Book, flat: list[Formula], texts: list[str], period: str,
                values: Mapping[str, object], number: str) -> pl.DataFrame:
    bound = dict(values)
    cases = [(_holds(formula, book, bound, place), _cost(formula, place, number)) for place, formula in enumerate(flat)]
    source = facts
    if any(formula.reads_text for formula in flat):
        duck.register("tres", _texts(book, flat, texts))
        source = f"{facts} left join tres on _text = alloc_tres"
    price = " ".join(f"when {holds} then {cost}" for holds, cost in cases)
    rated = (f"select jobs, tier, account_name, day, payer, cost_micro, case {price} end as price from {source}"
             f" where {period} and ({' or '.join(holds for holds, _ in cases)})")
    try:
        return _checked(duck.execute(_SUMMED.format(rated=rated), bound).pl())
    finally:
        duck.execute("drop view if exists tres")


def _by_rating(duck: duckdb.DuckDBPyConnection, facts: str, new: Drafted, texts: list[str], period: str,
               values: Mapping[str, object]) -> pl.DataFrame:
    """Any card, by the rating function itself in 128 bits, job by job."""
    book = new.book
    span = duck.execute(f"select epoch(min(least(start_at, end_at)))::bigint, epoch(max(end_at))::bigint from {facts} where {period}",
                        values).fetchone()
    if span is None or span[0] is None:
        return pl.DataFrame(schema=SUM_SCHEMA)
    frames = {}
    for name, table in side_tables(book, texts, *span).items():
        duck.register(f"rating_{name}", table)
        frames[name] = nw.from_native(duck.table(f"rating_{name}"))
    try:
        usage = nw.from_native(duck.sql(_USAGE.format(facts=facts, period=period), params=dict(values)))
        rated = charges(usage, book, frames).filter(nw.col("rate_card").is_in(new.names))
        native = rated.select("jobs", "tier", "account_name", "day", "payer", "was_micro", "cost_micro").to_native()
        found = native.query("rated", _SUMMED.format(
            rated="select jobs, tier, account_name, day, payer, was_micro as cost_micro, cost_micro as price from rated"))
        return _checked(found.pl())
    except duckdb.OutOfRangeException:
        raise MoneyError("An amount does not fit 64 bits.") from None
    finally:
        for name in frames:
            duck.unregister(f"rating_{name}")


def _checked(sums: pl.DataFrame) -> pl.DataFrame:
    if sums["unknown"].sum():
        raise RateError("The card prices nodes or billing units, but AllocTRES of some jobs does not say how many.")
    zero = [pl.lit(0, pl.Int64).alias(name) for name in ("receipted_jobs", "receipted_difference_micro")]
    return sums.filter(pl.col("jobs") != 0).with_columns(zero).select(*SUM_SCHEMA).sort("kind", "name")


def _holds(formula: Formula, book: Book, bound: dict[str, object], place: int) -> str:
    """Whether the card prices a fact; its texts go into `bound`."""
    key, card = f"line{place}", formula.card
    bound[key] = card.tier or card.project
    span = f"end_at >= to_timestamp({max(formula.since, -2**33)}) and end_at < to_timestamp({min(formula.until, 2**36)})"
    if card.project:
        return f"(account_name = ${key} and {span})"
    words = [f"tier = ${key}", span]
    for number, row in enumerate(book.projects_table.iter_rows(named=True) if book.projects_table is not None else ()):
        if row["_project"] is not None:
            bound[f"{key}_{number}"] = row["_account"]
            words.append(f"not (account_name = ${key}_{number} and end_at >= to_timestamp({max(row['_project_from'], -2**33)}))")
    return f"({' and '.join(words)})"


def _cost(formula: Formula, place: int, number: str) -> str:
    """The formula in SQL, in whole numbers of the type `number`; too large for it is an error."""
    policy, elapsed = formula.card.policy, f"{_ELAPSED}::{number}"
    used = policy is Policy.USED
    cpu = f"cpu_used_core_seconds::{number}" if used else f"alloc_cpus * {elapsed}"
    mem = f"mem_used_mib_seconds::{number}" if used else f"alloc_mem_mib * {elapsed}"
    gpu = f"alloc_gpus * {elapsed} * {formula.gpu}"
    if formula.models:                          # more typed GPUs than there are in all are of no type
        gpu = (f"case when typed{place} <= alloc_gpus then ((alloc_gpus - typed{place}) * {formula.gpu} + models{place}) * {elapsed}"
               f" else {gpu} end")
    extra = f"case when elapsed_seconds = 0 then 0 else units{place} end * {elapsed} * {formula.extra}" if formula.extra else "0"
    parts = [f"{cpu} * {formula.cpu}", gpu, f"{mem} * {formula.mem}", extra]
    total = {Policy.MAX_OF: f"greatest({', '.join(parts)})", Policy.BILLING_TRES: extra}.get(policy, " + ".join(parts))
    return f"(({total} + {formula.half}) // {formula.divisor} * {formula.step})::bigint"


def _texts(book: Book, flat: list[Formula], texts: list[str]) -> pl.DataFrame:
    """One row a text of AllocTRES; of every formula its `typed` GPUs, their `models` × elapsed, its `units`."""
    read = tres_table(book, texts)
    table = pl.DataFrame({"_text": texts}, schema={"_text": pl.String})
    for place, formula in enumerate(flat):
        own = read.filter(_tres_card=formula.card.name).select(
            "_text", pl.col("_typed").alias(f"typed{place}"), pl.col("_units").alias(f"units{place}"),
            (pl.col("_typed_micro").cast(pl.Int128) * formula.models // formula.shared).cast(pl.Int64).alias(f"models{place}"))
        table = table.join(own, on="_text", how="left")
    return table
