"""How large the numbers of a rating can get: whether 64 bits hold every product, and which run outgrows 128.

polars multiplies integers without looking, so this looks first: once over all runs, with floats, from above.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add

import polars as pl

from engine.calendars import largest_ppm
from engine.errors import MoneyError
from engine.exact import Arithmetic
from engine.meters import Meter
from engine.rate_frames import Book

FITS, MOST = 2.0**62, 9.9e37            # what 64 bits hold for certain; what 128 bits, and 38 decimal digits, do
WHOLE = Meter.MEM.unit_size             # the denominator all meters share
SHARE = {"cpu": WHOLE // Meter.CPU.unit_size, "gpu": WHOLE // Meter.GPU.unit_size, "mem": 1, "extra": WHOLE // Meter.NODE.unit_size}
MEASURED = ("elapsed_seconds", "alloc_cpus", "alloc_gpus", "alloc_mem_mib", "cpu_used_core_seconds", "mem_used_mib_seconds")


def fitting(rows: pl.DataFrame, book: Book, tables: Mapping[str, pl.DataFrame]) -> Arithmetic:
    """64 bits where no product of these runs can outgrow them, else 128; a MoneyError names a run that outgrows those."""
    most = rows.lazy().select(largest(book, tables).max()).collect().item() or 0.0
    if most > MOST:
        raise MoneyError(too_large(rows, book, tables))
    return Arithmetic(decimals=False, narrow=most / book.shared < FITS and not book.calendars)


def too_large(rows: pl.DataFrame, book: Book, tables: Mapping[str, pl.DataFrame]) -> str:
    dearest = rows.sort(largest(book, tables)).row(-1, named=True)
    return f"An amount does not fit 64 bits; look at run {dearest['run_key']}, which has the largest quantities."


def largest(book: Book, tables: Mapping[str, pl.DataFrame]) -> pl.Expr:
    """At least the largest product that rating a run takes, as a float: every quantity at the book's highest prices."""
    c = {name: pl.col(name).cast(pl.Float64) for name in MEASURED}
    elapsed = c["elapsed_seconds"]
    quantities = {"cpu": pl.max_horizontal(c["alloc_cpus"] * elapsed, c["cpu_used_core_seconds"]), "gpu": c["alloc_gpus"] * elapsed,
                  "mem": pl.max_horizontal(c["alloc_mem_mib"] * elapsed, c["mem_used_mib_seconds"])}
    if book.extras:
        quantities["extra"] = elapsed * float(tables["tres"]["_units"].max() or 0)      # type: ignore[arg-type]
    exact = reduce(add, (quantity * unit + once for quantity, (unit, once) in (
        (quantity, _dearest(book, meter)) for meter, quantity in quantities.items())))
    seconds = (pl.col("end_at") - pl.min_horizontal("start_at", "end_at")).cast(pl.Float64).fill_null(0) + 1 if book.calendars else 1
    factor = max((largest_ppm(calendar.modifiers) for calendar in book.calendars), default=1)
    return (exact * factor + max(book.roundings, default=1) * WHOLE * factor) * 2 * seconds


def _dearest(book: Book, meter: str) -> tuple[float, float]:
    """The highest price over WHOLE of a base quantity on any card, and of what is charged once. No less than what prices share: the
    quantity itself has to fit where that is taken out."""
    prices = [price for card in book.cards for price in card.prices if price.meter == meter or (
        meter == "extra" and price.meter in (Meter.NODE, Meter.BILLING))]
    unit = max([step.micro_per_unit for price in prices for step in price.steps], default=0)
    once = sum(step.flat_micro + step.micro_per_unit * bool(price.package) for price in prices for step in price.steps)
    return float(max(book.shared, unit) * SHARE[meter]), float(once * WHOLE)
