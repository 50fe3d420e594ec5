"""The analytics copy: ended runs and their daily sums in DuckLake, for pictures. It decides nothing and can be made
again from Postgres at any time.

Both tables only grow: a correction is a row that takes the old figures back and a row that adds the new ones, so that
sums are right and appends never collide. Postgres commits first, with a `pending` batch; then, one writer at a time
(an advisory lock), the batch is appended and marked `copied`. Who finds a batch pending that is not his own knows that
a writer died in between, and makes the copy anew. A copy that cannot be written never undoes what Postgres has.
"""
# ruff: noqa: S608  statements are put together from constants; every value is bound

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import duckdb
import polars as pl
import sqlalchemy as sa

from data.analytics.duck import opened
from data.analytics.parts import KEYS, LARGE, SUMS, Part, summed
from data.settings import Settings

LOCK = 0x6C616B65               # the advisory lock of whoever writes the copy
MERGE_EVERY = 100               # batches after which small files are put together
log = logging.getLogger(__name__)

Sums = Mapping[tuple[str, str], tuple[int, int]]      # (tier, currency): (jobs, micro-units)
_FACT_TEXTS = ("run_key", "cluster", "job_id", "user_name", "account_name", "payer", "partition_name", "state", "tier",
               "rate_card", "currency")
_TABLES = (
    "create table if not exists lake.usage_fact (batch_id bigint, day date, end_at timestamptz, "
    + ", ".join(f"{name} varchar" for name in _FACT_TEXTS) + ", " + ", ".join(f"{name} bigint" for name in SUMS) + ")",
    "create table if not exists lake.usage_daily (batch_id bigint, day date, "
    + ", ".join(f"{name} varchar" for name in KEYS[1:]) + ", " + ", ".join(f"{name} bigint" for name in SUMS) + ")",
)
_FROM_BOOKS = ("select $batch::bigint as batch_id, timezone($zone, end_at)::date as day, *, 1::bigint as jobs,"
               " cpu_core_seconds as core_seconds from books.public.usage_record where ended")


class HasLake(Protocol):
    """A store."""

    @property
    def lake(self) -> Lake: ...


def verify(store: HasLake) -> list[str]:
    """Where the copy differs from Postgres, one sentence each; empty when both agree to the micro-unit."""
    return store.lake.differences()


class Lake:
    """The copy of one database. Share one per process; safe to use from several threads."""

    def __init__(self, engine: sa.Engine, settings: Settings) -> None:
        self.engine, self.settings = engine, settings
        self.trouble = ""                       # why the last writing failed; empty when it did not
        self._opening = threading.Lock()
        self._duck: duckdb.DuckDBPyConnection | None = None

    def part(self, batch_id: int, differences: pl.DataFrame) -> Part:
        """Differences (FACT_SCHEMA) of a batch that is not committed yet, made ready to append."""
        remote = self.settings.lake_path.startswith("s3://")
        folder = None if remote else Path(self.settings.lake_path) / "main" / "usage_fact"
        if self._duck is None and len(differences) >= LARGE:
            threading.Thread(target=self._open_ahead, daemon=True).start()
        return Part(batch_id, differences, self.settings.time_zone, folder)

    def _open_ahead(self) -> None:
        """Open DuckDB while Postgres is busy; what goes wrong is met again, and told, by `append`."""
        try:
            with self.cursor():
                pass
        except (duckdb.Error, OSError) as error:
            log.debug("DuckDB could not be opened ahead: %s", self.plain(error))

    def append(self, batch_id: int, parts: Sequence[Part]) -> None:
        """Copy a committed batch. Never raises: what fails stays `pending` and `trouble` says why."""
        try:
            with self._alone() as books:
                self._append(books, batch_id, parts)
            self.trouble = ""
        except (duckdb.Error, OSError, sa.exc.SQLAlchemyError) as error:
            self.trouble = self.plain(error)
            log.warning("The analytics copy could not be written: %s", self.trouble)

    def mend(self) -> bool:
        """Make the copy anew where a batch is missing in it; True when that was needed. Never raises, as `append`."""
        try:
            with self._alone() as books:
                behind = bool(_pending(books))
                if behind:
                    self._rebuild(books)
            self.trouble = ""
        except (duckdb.Error, OSError, sa.exc.SQLAlchemyError) as error:
            self.trouble = self.plain(error)
            return False
        return behind

    def rebuild(self) -> int:
        """Make the whole copy again from Postgres, in bounded memory; how many runs it holds. Raises duckdb.Error."""
        with self._alone() as books:
            return self._rebuild(books)

    def differences(self) -> list[str]:
        """See `verify`. A copy behind by a batch is made whole first."""
        self.mend()
        if self.trouble:
            return [f"The analytics copy cannot be read: {self.trouble}"]
        with self._alone() as books:
            told = {(row.tier, row.currency): (int(row.jobs), int(row.micro)) for row in books.execute(sa.text(
                "select tier, trim(currency) as currency, count(*) as jobs, sum(cost_micro) as micro from usage_record"
                " where ended group by 1, 2"))}
            copies = {table: self._sums(table) for table in ("usage_fact", "usage_daily")}
        return [sentence for table, copy in copies.items() for sentence in _compared(table, told, copy)]

    def _sums(self, table: str) -> Sums:
        with self.cursor() as duck:             # before the first usage nobody has made them
            _make_tables(duck)
        rows = self.ask(f"select tier, currency, sum(jobs)::bigint, sum(cost_micro)::bigint from lake.{table} group by all")
        sums = {(tier, currency): (jobs, micro) for tier, currency, jobs, micro in rows.iter_rows()}
        return {key: value for key, value in sums.items() if value != (0, 0)}

    def ask(self, sql: str, values: Sequence[object] | Mapping[str, object] = ()) -> pl.DataFrame:
        """The rows of `sql` on a cursor of this call's own. Raises duckdb.Error."""
        with self.cursor() as duck:
            return duck.execute(sql, values).pl()

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for one call; the connection behind it is opened once and opened anew after it broke."""
        with self._opening:
            if self._duck is None:
                url = self.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
                self._duck = opened(url, self.settings)
            cursor = self._duck.cursor()
        try:
            yield cursor
        except (duckdb.FatalException, duckdb.InternalException, duckdb.IOException):
            self.close()
            raise
        finally:
            cursor.close()

    def close(self) -> None:
        """Let go of DuckDB; the next call opens it again."""
        with self._opening:
            if self._duck is not None:
                self._duck.close()
            self._duck = None

    @contextmanager
    def _alone(self) -> Iterator[sa.Connection]:
        """A connection that holds the writers' lock: the lock is the connection's and dies with its process."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as books:
            books.execute(sa.text("select pg_advisory_lock(:lock)"), {"lock": LOCK})
            try:
                yield books
            finally:
                books.execute(sa.text("select pg_advisory_unlock(:lock)"), {"lock": LOCK})

    def _append(self, books: sa.Connection, batch_id: int, parts: Sequence[Part]) -> None:
        pending = _pending(books)
        if batch_id not in pending:             # somebody made the whole copy since
            return
        if pending != [batch_id]:
            self._rebuild(books)
            return
        with self.cursor() as duck:
            with _transaction(duck):
                _make_tables(duck)
                _append_parts(duck, parts)
            if batch_id % MERGE_EVERY == 0:
                duck.execute("call ducklake_merge_adjacent_files('lake')")
        _copied(books, [batch_id])

    def _rebuild(self, books: sa.Connection) -> int:
        pending = _pending(books)               # read before the runs: what is pending here is in what is read next
        with self.cursor() as duck:
            with _transaction(duck):
                duck.execute("drop table if exists lake.usage_fact")
                duck.execute("drop table if exists lake.usage_daily")
                _make_tables(duck)
                _write_all(duck, max(pending, default=0), self.settings.time_zone)
            runs = duck.execute("select count(*) from lake.usage_fact").fetchall()[0][0]
            _sweep(duck)
        _copied(books, pending)
        return int(runs)

    def plain(self, error: Exception) -> str:
        """The error's first line, without the password that an address may carry."""
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        secret = self.engine.url.password
        return text.replace(str(secret), "…") if secret else text


def _make_tables(duck: duckdb.DuckDBPyConnection) -> None:
    for statement in _TABLES:
        duck.execute(statement)


def _append_parts(duck: duckdb.DuckDBPyConnection, parts: Sequence[Part]) -> None:
    for part in parts:
        if file := part.file():
            duck.execute("call ducklake_add_data_files('lake', 'usage_fact', ?)", [str(file)])
        elif part.facts is not None:
            _insert(duck, "usage_fact", part.facts)
    if parts:
        _insert(duck, "usage_daily", summed(pl.concat([part.daily for part in parts])))


def _insert(duck: duckdb.DuckDBPyConnection, table: str, rows: pl.DataFrame) -> None:
    columns = ", ".join(rows.columns)
    duck.register("brought", rows)
    duck.execute(f"insert into lake.{table} ({columns}) select {columns} from brought")
    duck.unregister("brought")


def _write_all(duck: duckdb.DuckDBPyConnection, batch_id: int, zone: str) -> None:
    """Both tables from Postgres, streamed: bounded memory however many runs there are."""
    facts = ", ".join(["batch_id", "day", "end_at", *_FACT_TEXTS, *SUMS])
    keys, sums = ", ".join(KEYS), ", ".join(f"sum({name})::bigint" for name in SUMS)
    duck.execute(f"insert into lake.usage_fact ({facts}) select {facts} from ({_FROM_BOOKS})", {"batch": batch_id, "zone": zone})
    duck.execute(f"insert into lake.usage_daily (batch_id, {keys}, {', '.join(SUMS)})"
                 f" select batch_id, {keys}, {sums} from lake.usage_fact group by all")


def _sweep(duck: duckdb.DuckDBPyConnection) -> None:
    """Let go of the files of tables that were replaced; readers had an hour to finish."""
    duck.execute("call ducklake_expire_snapshots('lake', older_than => now() - interval 1 hour)")
    duck.execute("call ducklake_cleanup_old_files('lake', older_than => now() - interval 1 hour)")
    duck.execute("call ducklake_delete_orphaned_files('lake', older_than => now() - interval 1 day)")


def _pending(books: sa.Connection) -> list[int]:
    return list(books.execute(sa.text("select id from lake_batch where state = 'pending' order by id")).scalars())


def _copied(books: sa.Connection, batches: Sequence[int]) -> None:
    books.execute(sa.text("update lake_batch set state = 'copied', copied_at = now() where id = any(:ids)"),
                  {"ids": list(batches)})


@contextmanager
def _transaction(duck: duckdb.DuckDBPyConnection) -> Iterator[None]:
    duck.execute("begin")
    try:
        yield
    except BaseException:
        duck.execute("rollback")
        raise
    duck.execute("commit")


def _compared(table: str, told: Sums, copy: Sums) -> list[str]:
    found = []
    for key in sorted({*told, *copy}):
        (jobs, micro), (true_jobs, true_micro) = copy.get(key, (0, 0)), told.get(key, (0, 0))
        if (jobs, micro) != (true_jobs, true_micro):
            found.append(f"{table}, tier {key[0]}, {key[1]}: {jobs} runs and {micro} micro-units,"
                         f" Postgres has {true_jobs} and {true_micro}")
    return found
