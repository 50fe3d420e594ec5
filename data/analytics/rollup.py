"""The Parquet files of a table of the lake as they are now, for reads that people wait for.

Asking DuckLake costs its catalog a dozen queries, each time. Here the newest snapshot's number is asked, one query, and
the list of files only when that moved. The table is kept so that its files are all of it: nothing in the catalog, nothing
deleted in part. Where that does not hold the table itself is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb
import polars as pl
import sqlalchemy as sa

DAILY, FACTS = "usage_daily", "usage_fact"
_SNAPSHOT = sa.text("select max(snapshot_id) from lake.ducklake_snapshot")
_FILES = "select data_file, delete_file from ducklake_list_files('lake', '{}')"
_MONTH = re.compile(r"year=(\d+)/month=(\d+)/[^/]*$")


@dataclass(frozen=True, slots=True)
class Source:
    """What stands behind `from`, and the values of its question marks."""

    sql: str
    values: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class _Seen:
    """A snapshot's files with their month; None where they are not all of the table."""

    snapshot: int
    files: tuple[tuple[date, str], ...] | None


class Rollup:
    """Remembers one snapshot. `ask` runs SQL on the lake."""

    def __init__(self, engine: sa.Engine, ask: Callable[[str], pl.DataFrame], table: str = DAILY) -> None:
        self._engine, self._ask, self._table = engine, ask, table
        self._seen: _Seen | None = None

    def source(self, since: date | None, until: date | None) -> Source:
        """All rows of the days in [since, until), and others of those months. Raises duckdb.CatalogException before the
        first copy.
        """
        files = self._files()
        if not files:
            return Source(f"lake.{self._table}")
        inside = [path for _, path in _of_months(files, since, until)]
        return Source("read_parquet(?, hive_partitioning = false)", (inside or [files[0][1]],))

    def months(self, since: date | None, until: date | None) -> dict[date, list[str]] | None:
        """The files of every month that has days in [since, until), months in order; None where files are not all of the table.
        Raises duckdb.CatalogException before the first copy.
        """
        files = self._files()
        if files is None:
            return None
        found: dict[date, list[str]] = {}
        for month, path in sorted(_of_months(files, since, until)):
            found.setdefault(month, []).append(path)
        return found

    def _files(self) -> Sequence[tuple[date, str]] | None:
        snapshot = self._snapshot()
        if self._seen is None or self._seen.snapshot != snapshot:
            self._seen = _Seen(snapshot, _whole(self._ask(_FILES.format(self._table))))
        return self._seen.files

    def _snapshot(self) -> int:
        try:
            with self._engine.connect() as books:
                return int(books.execute(_SNAPSHOT).scalar_one())
        except sa.exc.ProgrammingError:
            raise duckdb.CatalogException("Nothing was copied yet.") from None


def _of_months(files: Sequence[tuple[date, str]], since: date | None, until: date | None) -> list[tuple[date, str]]:
    return [(month, path) for month, path in files if (since is None or month >= since.replace(day=1)) and (until is None or month < until)]


def _whole(listed: pl.DataFrame) -> tuple[tuple[date, str], ...] | None:
    files = []
    for path, deleted in listed.iter_rows():
        named = _MONTH.search(path)
        if deleted or named is None or set(path) & set("*?[{"):
            return None
        files.append((date(int(named[1]), int(named[2]), 1), path))
    return tuple(files)
