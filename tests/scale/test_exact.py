"""Division of numbers beyond 64 bits gives the same whole number on every engine."""

from __future__ import annotations

import random
from typing import Any

import duckdb
import narwhals as nw
import polars as pl
import pytest

from engine.exact import arithmetic

QUOTIENTS = (0, 1, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**62 + 3, 2**63 - 1)
DENOMINATORS = (1, 2, 3, 3600, 3600 * 1024, 3600 * 1024 * 86_400 * 10**6)


def sums() -> pl.DataFrame:
    """Numerators, denominators and the quotients they are made of, as text; whole quotients and the last before the next."""
    rng = random.Random(3)
    pairs = [(q, d) for q in QUOTIENTS for d in DENOMINATORS]
    pairs += [(rng.randrange(2**63), rng.randrange(1, 10**18)) for _ in range(500)]
    rows = [(q * d + rest, d, q) for q, d in pairs for rest in {0, d - 1}]
    return pl.DataFrame([(str(a), str(d), q) for a, d, q in rows], schema=["a", "d", "quotient"], orient="row")


def wrong(frame: Any) -> list[object]:
    """Rows of a narwhals frame (a, d wide; quotient) whose division is not what it should be."""
    exact = arithmetic(frame)
    found = frame.with_columns(found=exact.floor(exact.wide(nw.col("a")), exact.wide(nw.col("d"))))
    return list(found.filter(nw.col("found") != nw.col("quotient")).lazy().collect().iter_rows())


def test_on_polars() -> None:
    assert wrong(nw.from_native(sums().with_columns(pl.col("a", "d").cast(pl.Int128)))) == []


def test_on_duckdb() -> None:
    given = sums()
    table = duckdb.connect().sql("select a::hugeint as a, d::hugeint as d, quotient from given")
    assert table.count("*").fetchall() == [(len(given),)]
    assert wrong(nw.from_native(table)) == []


@pytest.mark.spark
def test_on_spark(spark: Any) -> None:
    table = spark.createDataFrame(sums().to_arrow()).selectExpr(
        "cast(a as decimal(38, 0)) as a", "cast(d as decimal(38, 0)) as d", "quotient")
    assert wrong(nw.from_native(table)) == []


def test_a_quotient_beyond_64_bits_is_an_error() -> None:
    frame = nw.from_native(pl.DataFrame({"a": [2**63], "d": [1]}, schema={"a": pl.Int128, "d": pl.Int128}))
    with pytest.raises(nw.exceptions.InvalidOperationError):
        wrong(frame.with_columns(quotient=nw.lit(0)))


@pytest.mark.spark
def test_a_quotient_or_a_product_that_is_too_large_is_an_error_of_spark(spark: Any) -> None:
    from pyspark.errors import ArithmeticException
    table = nw.from_native(spark.createDataFrame([(2**62, 1)], "a long, d long"))
    exact = arithmetic(table)
    a, d = exact.wide(nw.col("a")), exact.wide(nw.col("d"))
    for too_large in (exact.floor(a * 2, d), a * a * a):
        with pytest.raises(ArithmeticException):
            table.select(too_large).to_native().collect()
