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
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

import duckdb
import polars as pl
import sqlalchemy as sa

from data.analytics.duck import opened, quoted
from data.analytics.parts import LARGE, Batch
from data.analytics.rollup import FACTS, Rollup
from data.analytics.tables import (
    FACT_COLUMNS,
    add_daily,
    add_facts,
    compact,
    files,
    fill,
    make_tables,
    of_another_version,
    sweep,
    transaction,
    unequal_sums,
)
from data.settings import Settings

LOCK = 0x6C616B65               # the advisory lock of whoever writes the copy
MERGE_EVERY = 50                # batches after which small files are put together
log = logging.getLogger(__name__)

Sums = Mapping[tuple[str, str], tuple[int, int]]      # (tier, currency): (jobs, micro-units)
_IN_FILE = "read_parquet($file, hive_partitioning = false)"


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
        self.rollup = Rollup(engine, self.ask)
        self.fact_files = Rollup(engine, self.ask, FACTS)

    def batch(self, batch_id: int) -> Batch:
        """What a transaction that is not committed yet will bring; large ones are written to Parquet while it goes on."""
        own = self._spool / "ready" if self.remote else Path(self.settings.lake_path) / "main"
        return Batch(batch_id, self.settings.time_zone, own, self._spool / "sums")

    @property
    def _spool(self) -> Path:
        return Path(self.settings.home) / "spool"

    @property
    def remote(self) -> bool:
        """True where the Parquet lies in a bucket."""
        return self.settings.lake_path.startswith("s3://")

    def open_ahead(self, rows: int) -> None:
        """Open DuckDB beside what Postgres is doing, where so many rows will be copied that it pays."""
        if self._duck is None and rows >= LARGE:
            threading.Thread(target=self._open_ahead, daemon=True).start()

    def _open_ahead(self) -> None:
        """Open DuckDB, and the catalog, while Postgres is busy; what goes wrong is met again, and told, by `append`."""
        try:
            self._of_another_version()
        except (duckdb.Error, OSError) as error:
            log.debug("DuckDB could not be opened ahead: %s", self.plain(error))

    def append(self, batch: Batch) -> None:
        """Copy a committed batch. Never raises: what fails stays `pending` and `trouble` says why."""
        try:
            with self._alone() as books:
                self._append(books, batch)
            self.trouble = ""
        except (duckdb.Error, OSError, sa.exc.SQLAlchemyError) as error:
            self.trouble = self.plain(error)
            log.warning("The analytics copy could not be written: %s", self.trouble)

    def mend(self) -> bool:
        """Make the copy anew where a batch is missing in it; True when that was needed. Never raises, as `append`."""
        try:
            with self._alone() as books:
                behind = bool(_pending(books)) or self._of_another_version()
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

    def compact(self) -> dict[str, int]:
        """Put small files together, make `usage_daily` shorter, let go of old files; how many each table has now. Raises
        duckdb.Error."""
        with self._alone(), self.cursor() as duck:
            make_tables(duck)
            compact(duck)
            return files(duck)

    def facts(self, duck: duckdb.DuckDBPyConnection, since: datetime | None = None,
              until: datetime | None = None) -> duckdb.DuckDBPyRelation:
        """A relation on a cursor of this lake: the facts of runs that ended in [since, until), of those months' files only.

        All FACT_COLUMNS. A correction is two rows: `jobs` -1 with the old measures as they were and negative sums, and
        `jobs` 1 with the new ones; whatever is priced anew is summed times `jobs`.
        """
        return duck.query(f"select {', '.join(FACT_COLUMNS)} from lake.usage_fact where ($since::timestamptz is null or end_at >= $since)"
                          " and ($until::timestamptz is null or end_at < $until)", params={"since": since, "until": until})

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
            with self.cursor() as duck:
                unequal = unequal_sums(duck)
        return [*(sentence for table, copy in copies.items() for sentence in _compared(table, told, copy)),
                *(f"usage_daily, {month:%Y-%m}: the sum of {name} is {daily}, of the facts {facts}"
                  for month, name, facts, daily in unequal)]

    def _sums(self, table: str) -> Sums:
        with self.cursor() as duck:             # before the first usage nobody has made them
            make_tables(duck)
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

    def _append(self, books: sa.Connection, batch: Batch) -> None:
        pending = _pending(books)
        if batch.id not in pending:             # somebody made the whole copy since
            return
        if pending != [batch.id] or self._of_another_version():
            self._rebuild(books)
            return
        with self.cursor() as duck:
            with transaction(duck):
                make_tables(duck)
                _append_batch(duck, batch, owned=not self.remote)
            _copied(books, [batch.id])
            if batch.id % MERGE_EVERY == 0:
                compact(duck)

    def _of_another_version(self) -> bool:
        with self.cursor() as duck:
            return of_another_version(duck)

    def _rebuild(self, books: sa.Connection) -> int:
        pending = _pending(books)               # read before the runs: what is pending here is in what is read next
        with self.cursor() as duck:
            with transaction(duck):
                fill(duck, max(pending, default=0), self.settings.time_zone)
            runs = duck.execute("select count(*) from lake.usage_fact").fetchall()[0][0]
            sweep(duck)
        _forget_spooled(self._spool)
        _copied(books, pending)
        return int(runs)

    def plain(self, error: Exception) -> str:
        """The error's first line, without the password that an address may carry."""
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        secret = self.engine.url.password
        return text.replace(str(secret), "…") if secret else text


def _append_batch(duck: duckdb.DuckDBPyConnection, batch: Batch, owned: bool) -> None:
    """`owned` files lie where the lake keeps its own and become its; others are read and let go."""
    facts = batch.facts()
    if facts is not None:
        duck.register("brought", facts)
        _insert(duck, "usage_fact", "brought")
        _insert(duck, "usage_daily", "brought")
        duck.unregister("brought")
    for month in batch.files():
        for table, file in (("usage_fact", month.facts), ("usage_daily", month.sums)):
            if owned:
                duck.execute(f"call ducklake_add_data_files('lake', {quoted(table)}, {quoted(str(file))})")
            else:
                _insert(duck, table, _IN_FILE, file=str(file))
                file.unlink()


def _insert(duck: duckdb.DuckDBPyConnection, table: str, source: str, **values: object) -> None:
    (add_facts if table == "usage_fact" else add_daily)(duck, source, values)


def _forget_spooled(folder: Path) -> None:
    """Files that a process left behind when it died, a day ago or earlier."""
    for file in folder.rglob("batch-*.parquet"):
        if file.stat().st_mtime < time.time() - 86_400:
            file.unlink(missing_ok=True)


def _pending(books: sa.Connection) -> list[int]:
    return list(books.execute(sa.text("select id from lake_batch where state = 'pending' order by id")).scalars())


def _copied(books: sa.Connection, batches: Sequence[int]) -> None:
    books.execute(sa.text("update lake_batch set state = 'copied', copied_at = now() where id = any(:ids)"),
                  {"ids": list(batches)})


def _compared(table: str, told: Sums, copy: Sums) -> list[str]:
    found = []
    for key in sorted({*told, *copy}):
        (jobs, micro), (true_jobs, true_micro) = copy.get(key, (0, 0)), told.get(key, (0, 0))
        if (jobs, micro) != (true_jobs, true_micro):
            found.append(f"{table}, tier {key[0]}, {key[1]}: {jobs} runs and {micro} micro-units,"
                         f" Postgres has {true_jobs} and {true_micro}")
    return found
