"""Rating: from a frame of usage and a frame of cards to a frame of charges. One pure function, integers only.

Each charge explains itself: the quantity that was billed, the card, what each meter cost, and the rounding stand in
columns of their own. Written with narwhals expressions, so that the same lines run on polars, DuckDB and Spark.
Products are taken in wide whole numbers and cast back strictly: too large is an error, never a wrapped number.
"""

from __future__ import annotations

from typing import Any, TypeVar

import narwhals as nw
import polars as pl

from engine.errors import MoneyError, RateError
from engine.exact import Arithmetic, arithmetic

Frame = TypeVar("Frame", nw.DataFrame[Any], nw.LazyFrame[Any])
HOUR = 3600
GIB = 1024                                   # MiB; Slurm's G

# What rating adds to a usage row that carries its payer's `tier`. Quantities in whole seconds, money in micro-units.
CHARGE_SCHEMA: dict[str, pl.DataType] = {
    "rate_card": pl.String(), "policy": pl.String(), "currency": pl.String(),
    "cpu_core_seconds": pl.Int64(), "gpu_seconds": pl.Int64(), "mem_mib_seconds": pl.Int64(), "extra_seconds": pl.Int64(),
    "cpu_micro": pl.Int64(), "gpu_micro": pl.Int64(), "mem_micro": pl.Int64(), "extra_micro": pl.Int64(),
    "rounding_micro": pl.Int64(), "cost_micro": pl.Int64(),
}


def rate(usage: pl.DataFrame, cards: pl.DataFrame, policy: str | None = None) -> pl.DataFrame:
    """Price every row of `usage` (USAGE_SCHEMA and `tier`) with the card of its tier valid when it ended.

    Returns the same rows in the same order with CHARGE_SCHEMA added. A run that has not ended costs nothing yet and
    carries the card that is valid at its start. `policy` prices by another policy than the card's. A row without a
    card is a RateError; an amount beyond 64 bits a MoneyError.
    """
    numbered = usage.with_row_index("_row")
    try:
        priced: pl.DataFrame = charges(nw.from_native(numbered), nw.from_native(cards), policy).to_native()
    except nw.exceptions.InvalidOperationError as error:
        raise MoneyError(f"An amount does not fit 64 bits: {str(error).splitlines()[0]}") from None
    if len(priced) != len(usage):
        raise RateError(_uncovered(numbered, priced))
    return priced.sort("_row").select(*usage.columns, *CHARGE_SCHEMA)


def charges(usage: Frame, cards: Frame, policy: str | None = None) -> Frame:
    """The rating expressions themselves, for any engine narwhals knows; rows no card covers are left out."""
    c, exact = nw.col, arithmetic(usage)
    moment = nw.coalesce(c("end_at"), c("start_at"), c("submit_at"))
    carded = usage.join(cards, on="tier", how="inner").filter(c("valid_from") <= moment, moment < c("valid_to"))
    if policy is not None:
        carded = carded.with_columns(policy=nw.lit(policy))
    elapsed = exact.wide(c("elapsed_seconds"))

    def by_policy(used: str, allocated: str) -> nw.Expr:
        was_used = nw.when(c("policy") == nw.lit("used")).then(exact.wide(c(used)))
        return was_used.otherwise(c(allocated) * elapsed).cast(nw.Int64)

    return _amounts(carded.with_columns(
        cpu_core_seconds=by_policy("cpu_used_core_seconds", "alloc_cpus"),
        gpu_seconds=(c("alloc_gpus") * elapsed).cast(nw.Int64),
        mem_mib_seconds=by_policy("mem_used_mib_seconds", "alloc_mem_mib"),
        extra_seconds=nw.lit(0, nw.Int64),
    ), exact)


def _amounts(quantities: Frame, exact: Arithmetic) -> Frame:
    """Exact numerators over one denominator, each meter cut to micro-units, the total rounded once."""
    c, whole = nw.col, exact.wide(nw.lit(HOUR * GIB))
    billable = exact.wide(nw.when(c("ended")).then(nw.lit(1)).otherwise(nw.lit(0)))
    numerators = quantities.with_columns(
        _cpu=exact.wide(c("cpu_core_seconds")) * c("cpu_rate") * GIB * billable,
        _gpu=exact.wide(c("gpu_seconds")) * c("gpu_rate") * GIB * billable,
        _mem=exact.wide(c("mem_mib_seconds")) * c("mem_rate") * billable,
        _step=exact.wide(nw.when(c("rounding") == nw.lit("per_job_minor")).then(c("minor_micro")).otherwise(nw.lit(1))),
    )
    total = (c("_cpu") + c("_gpu") + c("_mem")) * 2 + c("_step") * whole
    cut = numerators.with_columns(
        cpu_micro=exact.floor(c("_cpu"), whole),
        gpu_micro=exact.floor(c("_gpu"), whole),
        mem_micro=exact.floor(c("_mem"), whole),
        extra_micro=nw.lit(0, nw.Int64),
        cost_micro=(exact.wide(exact.floor(total, c("_step") * 2 * whole)) * c("_step")).cast(nw.Int64),
    )
    return cut.with_columns(rounding_micro=c("cost_micro") - c("cpu_micro") - c("gpu_micro") - c("mem_micro"))


def _uncovered(usage: pl.DataFrame, priced: pl.DataFrame) -> str:
    lost = usage.join(priced.select("_row"), on="_row", how="anti")
    if lost.is_empty():
        return "Two cards of one tier cover the same time."
    row = lost.row(0, named=True)
    return f"{len(lost)} runs have no card; the first is {row['run_key']} of tier {row['tier']!r}."
