"""Each run of a reading once: of several rows with one run key the last one stands, which is the newest.

Looked at in eight bytes a run, however many there are (ingest/twice.py); where two are the same the keys themselves decide.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from ingest.spool import Spool
from ingest.twice import Twice


class Once:
    """Takes usage frames of engine/slurm_usage.py in their order; `frames` gives them back without repeats, and `notes` says how
    many there were."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._spool = Spool()
        self._seen = Twice()

    def append(self, usage: pl.DataFrame) -> None:
        """One more frame of USAGE_SCHEMA."""
        if len(usage):
            self._spool.append(usage)
            self._seen.add(usage)

    def frames(self) -> Iterable[pl.DataFrame]:
        """Everything that was appended, each run once. Call it when all is there."""
        suspects = self._seen.found(lambda: self._spool)
        if suspects.is_empty() or (earlier := _earlier(self._spool, suspects)).is_empty():
            return self._spool
        repeats = "1 row" if len(earlier) == 1 else f"{len(earlier)} rows"
        self.notes.append(f"{repeats} repeated by a later row of the same run; the last one was taken.")
        return Spool.of(_without(self._spool, earlier))


def _earlier(frames: Iterable[pl.DataFrame], suspects: pl.Series) -> pl.Series:
    """Numbers of the rows (counted through all frames) whose run key comes again later."""
    found, count = [], 0
    for frame in frames:
        rows = frame.select("run_key", row=pl.int_range(count, count + len(frame), dtype=pl.Int64))
        found.append(rows.filter(pl.col("run_key").hash().is_in(suspects.implode())))
        count += len(frame)
    rows = pl.concat(found)
    return rows.filter(pl.col("row") != pl.col("row").max().over("run_key"))["row"]


def _without(frames: Iterable[pl.DataFrame], rows: pl.Series) -> Iterable[pl.DataFrame]:
    count = 0
    for frame in frames:
        numbers = pl.int_range(count, count + len(frame), dtype=pl.Int64)
        yield frame.filter(~numbers.is_in(rows.implode()))
        count += len(frame)
