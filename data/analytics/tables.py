"""The two tables of the copy: how they are made, filled from Postgres, summed by day, put together and swept.

Both are partitioned by the month of `day`. Every function works on a cursor of DuckDB with the lake attached, and takes
for granted that its caller is the only writer.
"""
# ruff: noqa: S608  statements are put together from constants; every value is bound

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date

import duckdb
import stamina

from data.analytics.duck import quoted
from data.analytics.parts import INSTANTS, KEYS, NUMBERS, SUMS, TEXTS

FACT_COLUMNS = ("batch_id", "day", *INSTANTS, *TEXTS, *NUMBERS)
DAILY_COLUMNS = ("batch_id", *KEYS, *SUMS)
COLUMNS = {"usage_fact": FACT_COLUMNS, "usage_daily": DAILY_COLUMNS}
SMALL = 64 * 2**20              # bytes from which a file of facts is left as it is
_TYPES = {"day": "date", **dict.fromkeys(INSTANTS, "timestamptz"), **dict.fromkeys((*TEXTS, *KEYS[1:]), "varchar")}
_FROM_BOOKS = ("select $batch::bigint as batch_id, timezone($zone, end_at)::date as day, *, 1::bigint as jobs,"
               " cpu_core_seconds as core_seconds from books.public.usage_record where ended")
_KEYS, _SUMS = ", ".join(KEYS), ", ".join(f"sum({name})::bigint as {name}" for name in SUMS)
_IN_MONTH = "day >= $month and day < $month + interval 1 month"


def make_tables(duck: duckdb.DuckDBPyConnection) -> None:
    """Both tables, where they are not there."""
    there = _shapes(duck)
    for table, columns in COLUMNS.items():
        if table not in there:
            typed = ", ".join(f"{name} {_TYPES.get(name, 'bigint')}" for name in columns)
            duck.execute(f"create table lake.{table} ({typed})")
            duck.execute(f"alter table lake.{table} set partitioned by (year(day), month(day))")
            if table == "usage_daily":          # one payer's rows stand together once files are put together
                duck.execute("alter table lake.usage_daily set sorted by (payer, day)")


def of_another_version(duck: duckdb.DuckDBPyConnection) -> bool:
    """True where a table is there that has other columns than this version of the product writes."""
    return any(set(columns) != set(COLUMNS[table]) for table, columns in _shapes(duck).items())


def _shapes(duck: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    rows = duck.execute("select table_name, list(column_name) from duckdb_columns() where database_name = 'lake'"
                        f" and schema_name = 'main' and table_name in ({', '.join(map(quoted, COLUMNS))}) group by 1")
    return dict(rows.fetchall())


def add_facts(duck: duckdb.DuckDBPyConnection, source: str, values: dict[str, object]) -> None:
    """Append the facts that `source` (SQL with $names of `values`) has, by name."""
    columns = ", ".join(FACT_COLUMNS)
    duck.execute(f"insert into lake.usage_fact ({columns}) select {columns} from {source}", values)


def add_daily(duck: duckdb.DuckDBPyConnection, source: str, values: dict[str, object]) -> None:
    """Append the sums by batch, day and KEYS of facts that `source` has."""
    duck.execute(f"insert into lake.usage_daily (batch_id, {_KEYS}, {', '.join(SUMS)})"
                 f" select batch_id, {_KEYS}, {_SUMS} from {source} group by all", values)


def fill(duck: duckdb.DuckDBPyConnection, batch_id: int, zone: str) -> None:
    """Both tables anew from Postgres, streamed: bounded memory however many runs there are."""
    for table in ("usage_fact", "usage_daily"):
        duck.execute(f"drop table if exists lake.{table}")
    make_tables(duck)
    add_facts(duck, f"({_FROM_BOOKS})", {"batch": batch_id, "zone": zone})
    for month in _months(duck, "usage_fact"):
        add_daily(duck, f"(from lake.usage_fact where {_IN_MONTH})", {"month": month})


def compact(duck: duckdb.DuckDBPyConnection) -> None:
    """Put small files together, sum `usage_daily` over batches where that makes it shorter, and sweep."""
    for month in _loose_months(duck):
        _retried(duck, lambda month=month: _sum_again(duck, month))   # type: ignore[misc]
    for table, limit in (("usage_fact", f", max_file_size => {SMALL}"), ("usage_daily", "")):
        merge = f"call ducklake_merge_adjacent_files('lake', '{table}'{limit})"
        _retried(duck, lambda merge=merge: duck.execute(merge))       # type: ignore[misc]
    sweep(duck)


def _retried(duck: duckdb.DuckDBPyConnection, work: Callable[[], object]) -> None:
    """`work` in one transaction; again where somebody who does not take turns came in between."""
    for attempt in stamina.retry_context(on=duckdb.TransactionException, attempts=5, wait_initial=0.05):
        with attempt, transaction(duck):
            work()


def _loose_months(duck: duckdb.DuckDBPyConnection) -> list[date]:
    """Months of which several batches have sums for the same day and KEYS, so many that one in ten rows can go."""
    rows = duck.execute(f"select month from (select date_trunc('month', day)::date as month, count(*) as rows"
                        f" from lake.usage_daily group by month, {_KEYS})"
                        " group by month having sum(rows) > 1.1 * count(*) order by month").fetchall()
    return [month for month, in rows]


def _sum_again(duck: duckdb.DuckDBPyConnection, month: date) -> None:
    """One month's sums over all batches in place of one row a batch. Its files are let go whole."""
    duck.execute(f"create or replace temp table summed as select max(batch_id) as batch_id, {_KEYS}, {_SUMS}"
                 f" from lake.usage_daily where {_IN_MONTH} group by {_KEYS}", {"month": month})
    duck.execute(f"delete from lake.usage_daily where {_IN_MONTH}", {"month": month})
    columns = ", ".join(DAILY_COLUMNS)
    duck.execute(f"insert into lake.usage_daily ({columns}) select {columns} from summed order by payer, day")
    duck.execute("drop table summed")


def sweep(duck: duckdb.DuckDBPyConnection) -> None:
    """Let go of the files of tables that were replaced; readers had an hour to finish."""
    duck.execute("call ducklake_expire_snapshots('lake', older_than => now() - interval 1 hour)")
    duck.execute("call ducklake_cleanup_old_files('lake', older_than => now() - interval 1 hour)")
    duck.execute("call ducklake_delete_orphaned_files('lake', older_than => now() - interval 1 day)")


def unequal_sums(duck: duckdb.DuckDBPyConnection) -> list[tuple[date, str, int, int]]:
    """Where the daily sums are not those of the facts: (month, column, sum of the facts, sum by day)."""
    sums = {table: {(month, name): value for month, *values in duck.execute(
        f"select date_trunc('month', day)::date, {_SUMS} from lake.{table} group by 1").fetchall()
        for name, value in zip(SUMS, values, strict=True)} for table in ("usage_fact", "usage_daily")}
    facts, daily = sums["usage_fact"], sums["usage_daily"]
    return [(*key, facts.get(key, 0), daily.get(key, 0)) for key in sorted({*facts, *daily})
            if facts.get(key, 0) != daily.get(key, 0)]


def files(duck: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How many Parquet files each table has."""
    return {table: duck.execute(f"select count(*) from ducklake_list_files('lake', '{table}')").fetchall()[0][0] for table in COLUMNS}


def _months(duck: duckdb.DuckDBPyConnection, table: str) -> list[date]:
    rows = duck.execute(f"select distinct date_trunc('month', day)::date as month from lake.{table} order by 1").fetchall()
    return [month for month, in rows]


@contextmanager
def transaction(duck: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All of the block, or nothing of it."""
    duck.execute("begin")
    try:
        yield
    except BaseException:
        duck.execute("rollback")
        raise
    duck.execute("commit")
