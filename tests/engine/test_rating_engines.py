"""The rating expressions on other engines than polars: the same charges, to the micro-unit, with every kind of card."""

from __future__ import annotations

import importlib.util
import shutil
from random import Random

import duckdb
import narwhals as nw
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.rate_frames import Book, book_of
from engine.rating import CHARGE_SCHEMA, charges, factor_schema, rate, tables_for
from tests.engine.rating_cases import some_cards, some_runs


def judged(book: Book, runs: pl.DataFrame, charged: pl.DataFrame) -> None:
    columns = ["run_key", *CHARGE_SCHEMA, *factor_schema(book)]
    wanted = rate(runs, book, factors=True).select(columns).sort("run_key")
    assert_frame_equal(charged.select(columns).sort("run_key"), wanted)


def on_duckdb(book: Book, runs: pl.DataFrame) -> pl.DataFrame:
    with duckdb.connect() as connection:
        tables = {name: nw.from_native(connection.from_arrow(table.to_arrow())) for name, table in tables_for(runs, book).items()}
        usage = nw.from_native(connection.from_arrow(runs.to_arrow()))
        return charges(usage, book, tables).select("run_key", *CHARGE_SCHEMA, *factor_schema(book)).to_native().pl()


@pytest.mark.parametrize("seed", range(3))
def test_duckdb_equals_polars(seed: int) -> None:
    """Modifiers, GPU models, nodes, billing units, projects, month ladders, every policy."""
    random = Random(seed)
    book, runs = book_of(some_cards(random)), some_runs(random, 300, 30)
    judged(book, runs, on_duckdb(book, runs))


def test_duckdb_equals_polars_on_plain_cards() -> None:
    random = Random(99)
    book, runs = book_of(some_cards(random, plain=True, ladders=False)), some_runs(random, 300, 30)
    judged(book, runs, on_duckdb(book, runs))


@pytest.mark.skipif(importlib.util.find_spec("pyspark") is None or shutil.which("java") is None, reason="pyspark or Java is not installed")
@pytest.mark.parametrize("ladders", [False, True])
def test_spark_equals_polars(ladders: bool) -> None:
    from pyspark.sql import SparkSession

    random = Random(7)
    book, runs = book_of(some_cards(random, ladders=ladders)), some_runs(random, 60, 10)
    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config(
        "spark.sql.shuffle.partitions", "1").getOrCreate()
    try:
        tables = {name: nw.from_native(spark.createDataFrame(table.to_arrow())) for name, table in tables_for(runs, book).items()}
        usage = nw.from_native(spark.createDataFrame(runs.to_arrow()))
        charged = charges(usage, book, tables).select("run_key", *CHARGE_SCHEMA, *factor_schema(book)).to_native().toArrow()
        judged(book, runs, pl.DataFrame(pl.from_arrow(charged)))
    finally:
        spark.stop()
