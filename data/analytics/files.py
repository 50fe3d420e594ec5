"""The facts as files, for engines other than DuckDB: which Parquet the lake consists of, and what its rows hold.

Facts only grow and are never deleted from, so the files alone are the table. A batch of a few rows lies in the catalog
until it is asked for here.
"""
# ruff: noqa: S608  statements are put together from constants and whole numbers; every value is bound

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb

from data.analytics.lake import LOCK, Lake
from data.postgres.turns import turn
from engine.rates import NODE_TIER

MEASURES = ("alloc_tres", "alloc_cpus", "alloc_gpus", "alloc_mem_mib", "elapsed_seconds", "cpu_used_core_seconds", "mem_used_mib_seconds")
INSTANTS = ("submit_at", "start_at", "end_at")
COLUMNS: dict[str, str] = {
    **dict.fromkeys(("run_key", "payer", "account_name", "tier", "alloc_tres"), "string"), "day": "date",
    **dict.fromkeys(INSTANTS, "timestamp"), **dict.fromkeys((*MEASURES[1:], "jobs", "cost_micro"), "bigint")}
_PERIOD = ("($begin::timestamptz is null or (end_at >= $begin and day >= $begin::date - 1))"
           " and ($until::timestamptz is null or (end_at < $until and day <= $until::date + 1))"
           f" and tier <> '{NODE_TIER}'")               # paid as it ran: never priced again
_TELL = ("select coalesce(sum(jobs) filter ($since::timestamptz is null or end_at >= $since), 0)::bigint,"
         " list(distinct alloc_tres) filter (alloc_tres is not null),"
         " coalesce(epoch(min(least(start_at, end_at)))::bigint, 0), coalesce(epoch(max(end_at))::bigint, 0),"
         " list_sort(list(distinct strftime(day, '%Y-%m'))), coalesce(bool_or(jobs < 0), false)"
         f" from lake.usage_fact where {_PERIOD}")


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of runs that ended in [begin, until), as they were at one instant; those since `since` are asked for."""

    since: datetime | None
    until: datetime | None
    begin: datetime | None          # month ladders need a month from its first day
    version: int                    # of the lake
    files: tuple[str, ...]
    jobs: int                       # runs since `since`, corrections counted once
    texts: tuple[str, ...]          # every distinct alloc_tres
    first: int                      # Unix seconds: no run began before
    last: int                       # … or ended later
    months: tuple[str, ...]         # of `day`, as 2026-11
    corrected: bool                 # some facts take others back


def facts_of(lake: Lake, since: datetime | None = None, until: datetime | None = None, whole_months: bool = False) -> Facts:
    """What the copy holds now of [since, until), with `whole_months` from the first day of a month on. Raises duckdb.Error."""
    begin = _first_of_month(since) if since and whole_months else since
    with turn(lake.engine, LOCK), lake.cursor() as duck:
        duck.execute("call ducklake_flush_inlined_data('lake')")
        version = duck.execute("select id from ducklake_current_snapshot('lake')").fetchall()[0][0]
        files = duck.execute("select data_file from ducklake_list_files('lake', 'usage_fact') order by 1").fetchall()
        jobs, texts, first, last, months, corrected = _told(duck, since, until, begin)
    return Facts(since, until, begin, version, tuple(file for file, in files), jobs, texts, first, last, months, corrected)


def _first_of_month(since: datetime) -> datetime:
    """No later than the first of its month, whichever zone that is in."""
    return (since - timedelta(days=1)).astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)


def _told(duck: duckdb.DuckDBPyConnection, since: datetime | None, until: datetime | None,
          begin: datetime | None) -> tuple[int, tuple[str, ...], int, int, tuple[str, ...], bool]:
    row = duck.execute(_TELL, {"since": since, "until": until, "begin": begin}).fetchone()
    assert row is not None
    jobs, texts, first, last, months, corrected = row
    return jobs, tuple(texts or ()), first, last, tuple(months or ()), corrected


def usage_sql(facts: Facts, month: str = "") -> str:
    """The facts as usage, for a cursor of the lake; $begin and $until are bound. `month`: only that one."""
    only = f" and day >= '{month}-01'::date and day < '{month}-01'::date + interval 1 month" if month else ""
    select = ", ".join(as_usage("epoch({})::bigint", "strftime(day, '%Y-%m')"))
    return f"select {select} from lake.usage_fact at (version => {facts.version}) where {_PERIOD}{only}"


def as_usage(instant: str, month: str) -> list[str]:
    """What makes usage of facts, as SQL: instants in Unix seconds, magnitudes, the month, and what they cost.

    `instant` is how the engine at hand makes Unix seconds of a column {}, `month` the text of the day's month.
    """
    plain = ("run_key", "payer", "account_name", "tier", *(name for name in MEASURES if name != "elapsed_seconds"))
    return [*plain, *(f"{instant.format(name)} as {name}" for name in INSTANTS), f"{month} as month", "true as ended", "jobs",
            "elapsed_seconds * jobs as elapsed_seconds", "cost_micro * jobs as stored_micro"]
