"""One run of the ingest: which window to ask for, the source or chain, keeping the batch, or writing down why not.

A refused batch leaves the watermark where it is, so that the next run asks for the same time again. One run at a
time, across machines: who finds another at work leaves at once. Rows arrive late, so windows overlap.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import polars as pl

from data.postgres.store import PostgresTransaction, Store
from data.postgres.turns import INGESTING, turn_if_free
from engine.errors import BatchRefused
from engine.ports import Progress, UsageSource
from engine.usage import UsageBatch
from ingest.chain import configured
from ingest.keep import Kept, keep, refuse
from ingest.large_file import keep_large
from ingest.sources.file import FileSource
from ingest.sources.gpu_node import keep_finished
from ingest.spool import Spool

log = logging.getLogger("ingest")

HOUR = 3600
DAY = 24 * HOUR
OVERLAP = 48 * HOUR             # rows of the last two days may still come or change
WIDE, WIDE_EVERY = 35 * DAY, 7 * DAY
FIRST = 1                       # Unix second; 0 means "not set" to slurmrestd


def run_once(store: Store) -> Kept | None:
    """Ask the configured chain for what is due and keep it; None when it was refused or another run is at work."""
    with turn_if_free(store.engine, INGESTING) as mine:
        if not mine:
            log.info("another run is at work")
            return None
        keep_finished(store)
        try:
            kept, batch = take(store, configured(store.settings), store.read(due))
        except BatchRefused as refusal:
            log.error("refused: %s", refusal.detail)
            return None
        log.info("taken from %s: %d jobs, %d new, %d changed, %d rejected", batch.source, kept.jobs, kept.new, kept.changed,
                 len(batch.rejected))
        return kept


def take(store: Store, source: UsageSource, window: tuple[int, int] | None, reading: Progress = lambda _: None,
         keeping: Progress = lambda _: None, actor: str = "ingest") -> tuple[Kept, UsageBatch]:
    """Read `window` from `source` and keep it. A refused batch becomes a run that says why, and is raised again."""
    if window is None and isinstance(source, FileSource) and (kept := keep_large(store, source, keeping, actor)):
        return kept
    try:
        batch = source.read(window, reading)
    except BatchRefused as refusal:
        refuse(store, source.name, source.origin, refusal.detail, window, actor=actor)
        raise
    batch = _within(batch, window) if batch.source == "file" else _told_in_utc(replace(batch, window=window))
    return keep(store, batch, keeping, actor), batch


def due(tx: PostgresTransaction) -> tuple[int, int]:
    """The window to ask for: from before the watermark until now; everything when there is none yet."""
    now, marks = int(tx.now.timestamp()), tx.runs.watermarks()
    of_this = [marks[tx.settings.slurm_cluster]] if tx.settings.slurm_cluster in marks else list(marks.values())
    if not of_this or (tx.settings.slurm_cluster and tx.settings.slurm_cluster not in marks):
        return FIRST, now
    start = int(min(of_this).timestamp()) - OVERLAP
    wide = tx.runs.last_window_of(WIDE)
    if wide is None or now - int(wide.timestamp()) >= WIDE_EVERY:
        start = min(start, now - WIDE)
    return max(start, FIRST), now


def _told_in_utc(batch: UsageBatch) -> UsageBatch:
    """Remarks on runs submitted after the window: their times are then likely of another zone."""
    if batch.window is None:
        return batch
    last = batch.window[1] + HOUR // 6
    late = sum((frame["submit_at"] > last).sum() for frame in batch.frames)
    if not late:
        return batch
    note = f"{late} runs were submitted after the asked time: does the command that is asked set TZ=UTC?"
    return replace(batch, notes=(*batch.notes, note))


def _within(batch: UsageBatch, window: tuple[int, int] | None) -> UsageBatch:
    """Of a file, the runs that were there in the window, as sacct chooses them."""
    if window is None:
        return batch
    there = (pl.col("submit_at") < window[1]) & (pl.col("end_at").fill_null(window[1]) >= window[0])
    frames = Spool.of(frame.filter(there) for frame in batch.frames)
    left = sum(map(len, batch.frames)) - sum(map(len, frames))
    notes = (f"{left} runs outside the asked time left out.",) if left else ()
    return replace(batch, frames=frames, notes=batch.notes + notes)
