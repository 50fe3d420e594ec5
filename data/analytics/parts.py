"""What one batch brings to the copy: its facts and their daily sums, ready to be appended.

A large part is written as Parquet while Postgres still takes the rows; the file means nothing until the lake is told
of it, which happens after the commit. One that is never told of is swept away later.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

from engine.revisions import FACT_SUMS

LARGE = 50_000                  # rows from which writing ahead pays
SUMS = ("jobs", *(name.replace("cpu_core_seconds", "core_seconds") for name in FACT_SUMS))
KEYS = ("day", "cluster", "account_name", "user_name", "payer", "partition_name", "tier", "currency")
_writers = ThreadPoolExecutor(1, thread_name_prefix="lake")


class Part:
    """Facts of one batch, or the file they are written to, and `daily`, their sums by day and whatever else people ask by."""

    def __init__(self, batch_id: int, differences: pl.DataFrame, zone: str, folder: Path | None) -> None:
        facts = dated(batch_id, differences, zone)
        file = folder / f"batch-{batch_id}-{uuid.uuid4().hex}.parquet" if folder and len(facts) >= LARGE else None
        self.daily = summed(facts)
        self.facts = None if file else facts
        self._file = _writers.submit(_write, facts, file) if file else None

    def file(self) -> Path | None:
        """The Parquet file once it is complete; None where there is none. Raises what went wrong in writing it."""
        return self._file.result() if self._file else None


def summed(rows: pl.DataFrame) -> pl.DataFrame:
    """Facts, or such sums of several parts, by batch, day and KEYS."""
    return rows.lazy().group_by("batch_id", *KEYS).agg(pl.col(SUMS).sum()).collect()


def dated(batch_id: int, differences: pl.DataFrame, zone: str) -> pl.DataFrame:
    """FACT_SCHEMA rows as the lake keeps them: with their batch and the day they ended in the site's zone."""
    ended = pl.from_epoch("end_at").dt.cast_time_unit("us").dt.replace_time_zone("UTC")
    return differences.lazy().rename({"cpu_core_seconds": "core_seconds"}).with_columns(
        batch_id=pl.lit(batch_id, pl.Int64), end_at=ended, day=ended.dt.convert_time_zone(zone).dt.date()).collect()


def _write(facts: pl.DataFrame, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    facts.write_parquet(file, compression="lz4", row_group_size=122_880)
    return file
