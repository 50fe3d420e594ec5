"""What one batch brings to the copy: its facts, ready to be appended, and how they are summed by day.

A small batch stays in memory. A large one is written as Parquet, one file a month, while Postgres still takes the rows;
the files mean nothing until the lake is told of them, which happens after the commit. Those that are never told of are
swept away later. Memory is bounded however much is added, in whatever order.
"""

from __future__ import annotations

import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.revisions import FACT_SCHEMA, FACT_SUMS

LARGE = 50_000                  # rows from which writing ahead pays
ROW_GROUP = 61_440
HELD = 150_000                  # rows that wait for their month's row group to fill
SUMS = ("jobs", *(name.replace("cpu_core_seconds", "core_seconds") for name in FACT_SUMS))
KEYS = ("day", "cluster", "account_name", "user_name", "payer", "partition_name", "tier", "currency")
# All columns of a fact in the lake but batch_id and day.
INSTANTS = ("submit_at", "start_at", "end_at")
TEXTS = tuple(name for name, dtype in FACT_SCHEMA.items() if dtype == pl.String())
NUMBERS = tuple(name.replace("cpu_core_seconds", "core_seconds") for name, dtype in FACT_SCHEMA.items()
                if dtype == pl.Int64() and name not in INSTANTS)
# Columns in which a dictionary saves more than it costs.
REPEATING = ("batch_id", "day", *(name for name in TEXTS if name not in ("run_key", "job_id")), "jobs", "alloc_cpus", "alloc_gpus",
             "alloc_mem_mib")
_writers = ThreadPoolExecutor(1, thread_name_prefix="lake")


class Batch:
    """The facts of one transaction. Large ones are written under `folder`, in one of each table; `spool` is for what is
    on its way. Call from one thread at a time."""

    def __init__(self, batch_id: int, zone: str, folder: Path, spool: Path) -> None:
        self.id, self._zone, self._folders = batch_id, zone, (folder, spool)
        self._finished: list[Future[list[MonthFiles]]] = []
        self._held: list[pl.DataFrame] = []
        self._months: _Months | None = None
        self._writing: Future[None] | None = None
        self._failed: BaseException | None = None

    def add(self, differences: pl.DataFrame) -> None:
        """Take FACT_SCHEMA rows. Waits where writing is behind. What goes wrong in it is told by `files`, not here."""
        if self._failed is None:
            self._held.append(differences)
        if sum(map(len, self._held)) >= LARGE:
            self._write()

    def facts(self) -> pl.DataFrame | None:
        """The facts as the lake keeps them, where they are few enough to be in memory."""
        return None if self._months or not self._held else dated(self.id, pl.concat(self._held), self._zone)

    def finish(self) -> None:
        """Finish the files of what came so far, beside what the caller does next; what comes later goes into others."""
        if self._months is not None:
            self._write()
            self._finished.append(_writers.submit(self._months.closed))
            self._months = None

    def files(self) -> list[MonthFiles]:
        """The complete Parquet files of a large batch, month by month; else none. Raises what went wrong in writing them."""
        self.finish()
        self._wait()
        if self._failed:
            raise self._failed
        return [month for finished in self._finished for month in finished.result()]

    def _write(self) -> None:
        self._wait()                            # one block is written while the next is gathered, never more
        if self._months is None:
            self._months = _Months(*self._folders, f"batch-{self.id}-{uuid.uuid4().hex}.parquet")
        if self._held and self._failed is None:
            self._writing = _writers.submit(self._months.add, self.id, pl.concat(self._held), self._zone)
        self._held = []

    def _wait(self) -> None:
        if self._writing:
            self._failed = self._failed or self._writing.exception()


@dataclass(frozen=True, slots=True)
class MonthFiles:
    """Parquet of one month: the facts of a large batch, and their sums by day."""

    facts: Path
    sums: Path


class _Months:
    """Both files of each month, in folders named as DuckLake names them, written row group by row group."""

    def __init__(self, folder: Path, spool: Path, name: str) -> None:
        self._folders, self._name = (folder / "usage_fact", folder / "usage_daily", spool), name
        self._held: dict[date, list[pl.DataFrame]] = {}
        self._open: dict[date, _Open] = {}

    def add(self, batch_id: int, differences: pl.DataFrame, zone: str) -> None:
        """Sort rows into their months; write what is a row group, and the largest while too much waits."""
        months = dated(batch_id, differences, zone).with_columns(_month=pl.col("day").dt.month_start())
        for (month,), rows in months.partition_by("_month", as_dict=True, include_key=False).items():
            self._held.setdefault(month, []).append(rows)
            if self._waiting(month) >= ROW_GROUP:
                self._flush(month)
        while sum(map(self._waiting, self._held)) > HELD:
            self._flush(max(self._held, key=self._waiting))

    def closed(self) -> list[MonthFiles]:
        """Write the rest and finish every file."""
        for month in list(self._held):
            self._flush(month)
        return [self._open[month].closed() for month in sorted(self._open)]

    def _waiting(self, month: date) -> int:
        return sum(map(len, self._held[month]))

    def _flush(self, month: date) -> None:
        facts = pl.concat(self._held.pop(month))
        rows, sums = _arrow(facts), _arrow(_summed(facts.lazy()))
        if month not in self._open:
            paths = [folder / f"year={month.year}" / f"month={month.month}" / self._name for folder in self._folders]
            self._open[month] = _Open(MonthFiles(*paths[:2]), paths[2], _writer(paths[0], rows), _writer(paths[2], sums))
        self._open[month].facts.write_table(rows, row_group_size=ROW_GROUP)
        self._open[month].parts.write_table(sums)


@dataclass(frozen=True, slots=True)
class _Open:
    """Files of a month that are being written: its facts, and sums of every row group that are still to be added up."""

    files: MonthFiles
    spooled: Path
    facts: pq.ParquetWriter
    parts: pq.ParquetWriter

    def closed(self) -> MonthFiles:
        """The whole files; one payer's sums stand together."""
        self.facts.close()
        self.parts.close()
        sums = _arrow(_summed(pl.scan_parquet(self.spooled, hive_partitioning=False)).sort("payer", "day"))
        with _writer(self.files.sums, sums) as writer:
            writer.write_table(sums, row_group_size=ROW_GROUP)
        self.spooled.unlink()
        return self.files


def _summed(facts: pl.LazyFrame) -> pl.DataFrame:
    return facts.group_by("batch_id", *KEYS).agg(pl.col(SUMS).sum()).collect()


def _arrow(rows: pl.DataFrame) -> pa.Table:
    return rows.to_arrow(compat_level=pl.CompatLevel.newest())


def _writer(path: Path, rows: pa.Table) -> pq.ParquetWriter:
    """It tells nobody how the rows lay in memory: text is text to every reader."""
    path.parent.mkdir(parents=True, exist_ok=True)
    repeating = [name for name in REPEATING if name in rows.column_names]
    skipped_by = [name for name in rows.column_names if name == "payer" or name not in TEXTS]     # other texts lie in no order
    return pq.ParquetWriter(path, rows.schema, compression="lz4", use_dictionary=repeating, write_statistics=skipped_by, store_schema=False)


def dated(batch_id: int, differences: pl.DataFrame, zone: str) -> pl.DataFrame:
    """FACT_SCHEMA rows as the lake keeps them: with their batch and the day they ended in the site's zone."""
    instants = {name: pl.from_epoch(name).dt.cast_time_unit("us").dt.replace_time_zone("UTC") for name in INSTANTS}
    return differences.lazy().rename({"cpu_core_seconds": "core_seconds"}).with_columns(
        batch_id=pl.lit(batch_id, pl.Int64), day=instants["end_at"].dt.convert_time_zone(zone).dt.date(), **instants).collect()
