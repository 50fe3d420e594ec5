"""`analytics rate`: every job of the copy priced by the rating function, on the engine of one's choice; nothing is kept."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from commands.installation import installation
from commands.output import table
from data.analytics import spark
from data.analytics.files import Facts, facts_of
from data.analytics.rated import SUMS, by_duckdb, by_polars
from data.postgres.store import Store
from engine.errors import DomainError, RateError
from engine.money import amount_text
from engine.periods import parse_span
from engine.rate_frames import Book, book_of
from engine.rate_text import cards_from_text
from engine.rerating import drafted

ENGINES = ("duckdb", "polars", "spark")


class CopyTrouble(DomainError):
    """The analytics copy cannot be used."""

    code, status = "analytics", 503


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `analytics rate`."""
    parser.add_argument("-S", "--starttime", metavar="TIME", help="jobs that ended at or after this, such as 2026-11-01 or now-30days")
    parser.add_argument("-E", "--endtime", metavar="TIME", help="jobs that ended before this")
    parser.add_argument("--file", help="draft cards in place of their lines' published ones (YAML or JSON; - for standard input)")
    parser.add_argument("--engine", choices=ENGINES, default="duckdb", help="who does the sums (default duckdb); spark needs Java")
    parser.add_argument("--master", default="local[*]", help="of Spark: where it runs (default local[*], this machine)")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Price and print."""
    text = _read(args.file) if args.file else ""
    with installation() as store:
        book = _book(store, text)
        since, until = parse_span(args.starttime, args.endtime, datetime.now(UTC), store.settings.zone)
        store.lake.mend()
        try:
            began = time.monotonic()
            facts = facts_of(store.lake, since, until, whole_months=bool(book.slots))
            found = _priced(store, facts, book, args)
        except (duckdb.Error, OSError) as error:
            raise CopyTrouble(store.lake.plain(error)) from None
    seconds = round(time.monotonic() - began, 3)
    print(_as_json(found, args.engine, seconds) if args.json else _shown(found, args.engine, seconds))
    return 0


def _book(store: Store, text: str) -> Book:
    cards = store.read(lambda tx: tx.rates.book())
    if not text:
        return book_of(cards)
    book = drafted(cards, cards_from_text(text), dated=False).book
    return book if isinstance(book, Book) else book_of(book)


def _priced(store: Store, facts: Facts, book: Book, args: argparse.Namespace) -> pl.DataFrame:
    if args.engine == "spark":
        return spark.by_spark(spark.session(args.master), store.settings, facts, book)
    return {"duckdb": by_duckdb, "polars": by_polars}[args.engine](store.lake, facts, book)


def _as_json(found: pl.DataFrame, engine: str, seconds: float) -> str:
    return json.dumps({"engine": engine, "seconds": seconds, "jobs": found["jobs"].sum(), "cost_micro": found["cost_micro"].sum(),
                       "stored_micro": found["stored_micro"].sum(), "rows": found.to_dicts()})


def _shown(found: pl.DataFrame, engine: str, seconds: float) -> str:
    sums = found.group_by("currency").agg(pl.lit("").alias("month"), pl.lit("all").alias("tier"), pl.col(SUMS).sum()).sort("currency")
    rows = [_row(row) for row in pl.concat([found, sums.select(found.columns)]).iter_rows(named=True)]
    heads = ["Month", "Tier", "", "Jobs", "As stored", "As rated", "Difference"]
    return table(heads, rows, right=(3, 4, 5, 6)) + f"\n{engine}, {seconds} s"


def _row(row: dict[str, Any]) -> list[str]:
    amounts = (row["stored_micro"], row["cost_micro"], row["cost_micro"] - row["stored_micro"])
    return [row["month"], row["tier"], row["currency"], f"{row['jobs']:,}", *(amount_text(amount, row["currency"]) for amount in amounts)]


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RateError(f"{name} cannot be read: {error}.") from None
