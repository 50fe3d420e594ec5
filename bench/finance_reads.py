"""Asks the questions of `bench.finance`, in a process of its own, and prints the milliseconds of each.

The first word is an empty folder for Parquet. The installation is the one that the environment names.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import psycopg

from commands.installation import installation
from data.analytics import reads
from data.analytics.reads import Asked
from data.postgres.shelves.usage_reads import Filters, Scope
from data.postgres.store import Store

SETS = 20
COST = ("jobs", "cost_micro")
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Given:
    """One set of parameters: days [since, until), and a name of each kind."""

    since: date
    until: date
    month: date
    payer: str
    account: str

    @property
    def month_end(self) -> date:
        """The first day after the month."""
        return (self.month + timedelta(31)).replace(day=1)


@dataclass(frozen=True, slots=True)
class Question:
    """The product's own read, and the same in SQL: {day} stands for the local day, {rows} for the table."""

    name: str
    product: Callable[[Store, Given], pl.DataFrame]
    sql: str


def _month(given: Given) -> Asked:
    return Asked(given.month, given.month_end, payers=(given.payer,))


def _last(store: Store, given: Given) -> pl.DataFrame:
    end = _midnight(given.until)
    shown = Filters(end - timedelta(days=365), end)
    return store.read(lambda tx: tx.usage_reads.runs(Scope(payer=given.payer), shown, 50)).select("run_key", "cost_micro")


_COST = "sum({jobs}) as jobs, sum(cost_micro) as cost_micro"
_SPAN = "{ended} and {day} >= $since and {day} < $until"
QUESTIONS = (
    Question("monthly cost by account",
             lambda store, given: reads.monthly(store.lake, Asked(given.since, given.until), ["account_name"], COST).drop("currency"),
             "select cast(date_trunc('month', {day}) as date) as month, account_name, " + _COST + " from {rows} where " + _SPAN
             + " group by 1, 2 order by 1, 2"),
    *(Question(f"top 20 {what}s",
               lambda store, given, by=column: reads.top(store.lake, Asked(given.since, given.until), by).drop("currency"),  # type: ignore[misc]
               f"select {column}, {_COST} from {{rows}} where {_SPAN} group by 1 order by 3 desc, 1 limit 20")
      for what, column in (("account", "account_name"), ("user", "user_name"))),
    Question("daily series of an account",
             lambda store, given: reads.daily(store.lake, Asked(given.since, given.until, accounts=(given.account,)),
                                              sums=COST).drop("currency"),
             "select {day} as day, " + _COST + " from {rows} where " + _SPAN + " and account_name = $account group by 1 order by 1"),
    Question("one person's month", lambda store, given: reads.daily(store.lake, _month(given), sums=COST).drop("currency"),
             "select {day} as day, " + _COST + " from {rows} where {ended} and {day} >= $month and {day} < $month_end"
             " and payer = $payer group by 1 order by 1"),
    Question("one person's last 50 jobs", _last,
             "select run_key, cost_micro from {rows} where {ended} and {at} >= $year_ago and {at} < $end and payer = $payer"
             " order by {at} desc, run_key desc limit 50"),
)


def main(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Milliseconds by question and role. Raises where two answers differ."""
    with installation() as store:
        bare = duckdb.connect(config={"threads": "2"})
        bare.execute("set global TimeZone = 'UTC'")
        _write_hive(store, bare, folder)
        sets = _drawn(store)
        url = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as books:
            return {question.name: _timed(question, store, books, bare, sets) for question in QUESTIONS}


def _timed(question: Question, store: Store, books: psycopg.Connection[Any], bare: duckdb.DuckDBPyConnection,
           sets: Sequence[Given]) -> dict[str, list[float]]:
    asked: dict[str, Callable[[Given], Rows]] = {
        "product": lambda given: question.product(store, given).rows(),
        "peer": lambda given: books.execute(_in_postgres(question.sql), _values(given)).fetchall(),
        "limit": lambda given: bare.execute(*_in_duck(question.sql, _values(given))).fetchall()}
    timed: dict[str, list[float]] = {role: [] for role in asked}
    for number, given in enumerate([sets[0], *sets]):           # the first of each is not counted: it opens files
        answers = []
        for role, ask in asked.items():
            began = time.perf_counter()
            answers.append(ask(given))
            if number:
                timed[role].append((time.perf_counter() - began) * 1000)
        _agree(question.name, given, answers)
    return timed


def _agree(name: str, given: Given, answers: list[Rows]) -> None:
    plain = [[tuple(int(cell) if hasattr(cell, "to_integral_value") else cell for cell in row) for row in answer] for answer in answers]
    if not plain[0] == plain[1] == plain[2]:
        raise AssertionError(f"{name} {given}: {[answer[:3] for answer in plain]}")


def _values(given: Given) -> dict[str, object]:
    end = _midnight(given.until)
    return {"since": given.since, "until": given.until, "month": given.month, "month_end": given.month_end, "payer": given.payer,
            "account": given.account, "end": end, "year_ago": end - timedelta(days=365)}


def _in_postgres(sql: str) -> bytes:
    """Days as instants, which an index could use; values by name as psycopg has them."""
    text = sql
    for name in ("since", "until", "month_end", "month"):
        text = text.replace(f"{{day}} >= ${name} ", f"end_at >= %({name})s::timestamptz ").replace(
            f"{{day}} < ${name} ", f"end_at < %({name})s::timestamptz ")
    text = text.format(day="cast(end_at at time zone 'UTC' as date)", rows="usage_record", ended="ended", at="end_at", jobs="1")
    for name in _NAMES:
        text = text.replace(f"${name}", f"%({name})s")
    return text.encode()


def _in_duck(sql: str, values: dict[str, object]) -> tuple[str, dict[str, object]]:
    text = sql.format(day="day", rows="usage", ended="true", at="end_at", jobs="jobs")
    return text, {name: value for name, value in values.items() if f"${name} " in f"{text} "}


_NAMES = ("month_end", "month", "since", "until", "payer", "account", "year_ago", "end")


def _write_hive(store: Store, bare: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """The facts as plain hive Parquet, one file a month, which the bare connection reads as `usage`."""
    with store.lake.cursor() as duck:
        for month, in duck.execute("select distinct date_trunc('month', day)::date from lake.usage_fact").fetchall():
            place = folder / f"year={month.year}" / f"month={month.month}"
            place.mkdir(parents=True)
            duck.execute(f"copy (select * from lake.usage_fact where date_trunc('month', day) = '{month}')"
                         f" to '{place / 'facts.parquet'}' (format parquet)")
    bare.execute(f"create view usage as select * from read_parquet('{folder}/*/*/*.parquet', hive_partitioning = true)")


def _drawn(store: Store) -> list[Given]:
    """Twenty sets: spans of one to twelve months; half the payers drawn by name, half by how many jobs they ran."""
    dice = random.Random(20)
    days = store.lake.ask("select min(day), max(day) from lake.usage_daily").row(0)
    by_jobs = store.lake.ask("select payer, account_name, sum(jobs)::bigint as jobs from lake.usage_daily group by all order by all")
    given = []
    for number in range(SETS):
        weights = by_jobs["jobs"].to_list() if number % 2 else None
        payer, account, _ = by_jobs.row(dice.choices(range(len(by_jobs)), weights)[0])
        since = days[0] + timedelta(dice.randrange((days[1] - days[0]).days - 30))
        until = min(since + timedelta(dice.randrange(30, 366)), days[1])
        given.append(Given(since, until, since.replace(day=1), payer, account))
    return given


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
