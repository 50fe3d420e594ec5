"""Keeping a batch: all of it or nothing, in one transaction, however often and in whatever order it is told.

One batch is kept at a time, across processes and machines. Postgres is written first; the analytics copy follows the
commit, and when it cannot be written the batch stands all the same and a later run mends the copy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import polars as pl

from data.postgres.bulk import SLICE
from data.postgres.shelves.runs import Counts
from data.postgres.store import PostgresTransaction, Store
from data.postgres.turns import KEEPING, turn
from engine.errors import DomainError
from engine.ports import Progress
from engine.rates import RateCard
from engine.revisions import decide, facts, one_row_a_run
from engine.services.usage import price, price_locked
from engine.usage import UsageBatch


@dataclass(frozen=True, slots=True)
class Kept:
    """What a batch brought: `jobs` runs, of which some were new, some corrected what was known."""

    run_id: int
    source: str
    lines: int
    jobs: int
    new: int
    changed: int
    unchanged: int
    notes: tuple[str, ...] = ()


def silent(_share: float) -> None:
    """Progress nobody asked for."""


def keep(store: Store, batch: UsageBatch, progress: Progress | None = None, actor: str = "ingest") -> Kept:
    """Keep `batch`, priced, and say what was new; `progress` is told the share that is written.

    A DomainError means nothing was kept, and its run is `refused`.
    """
    with turn(store.engine, KEEPING):
        run_id = store.run(lambda tx: tx.runs.begin(batch.source, batch.origin, batch.window), actor)
        try:
            kept = store.run(lambda tx: _keep(tx, batch, run_id, progress or silent), actor)
        except DomainError as error:
            sentence = error.sentence
            store.run(lambda tx: tx.runs.refuse(run_id, sentence), actor)
            raise
        return _followed(store, kept, actor)


def _followed(store: Store, kept: Kept, actor: str) -> Kept:
    """Say so where the analytics copy could not follow the commit; mend it where an earlier one could not."""
    if not store.lake.trouble and store.read(lambda tx: tx.lake.pending()):
        store.lake.mend()
    if not store.lake.trouble:
        return kept
    note = f"The analytics copy was not written, a later run mends it: {store.lake.trouble}"
    store.run(lambda tx: tx.runs.note(kept.run_id, note), actor)
    return replace(kept, notes=(*kept.notes, note))


def refuse(store: Store, source: str, origin: str, reason: str, window: tuple[int, int] | None = None,
           skipped: Collection[str] = (), actor: str = "ingest") -> int:
    """Write down that a whole batch was set aside, and why; its run's id. Nothing else changes, the watermark included."""
    def write(tx: PostgresTransaction) -> int:
        run_id = tx.runs.begin(source, origin, window)
        tx.runs.refuse(run_id, "; ".join([reason, *skipped]))
        return run_id
    with turn(store.engine, KEEPING):
        return store.run(write, actor)


def _keep(tx: PostgresTransaction, batch: UsageBatch, run_id: int, progress: Progress) -> Kept:
    told = one_row_a_run(batch.usage)
    tx.usage.take_turn()
    new, known = _decided(tx, told)
    tiers = _payers(tx, [new, known])               # held before any run, as receipts do
    _add(tx, new, tiers, run_id, progress)
    _revise(tx, known, tiers, run_id)
    changed = len(known.filter(verdict="changed"))
    kept = Kept(run_id, batch.source, batch.lines, len(told), len(new), changed, len(told) - len(new) - changed, batch.notes)
    _close(tx, batch, kept, told)
    return kept


def _decided(tx: PostgresTransaction, told: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Runs nobody knew, and runs that say more than what is stored (with `id` and `verdict`)."""
    if told.is_empty() or tx.usage.is_empty():
        return told, told.clear().with_columns(id=pl.lit(0, pl.Int64), verdict=pl.lit(""))
    return decide(told, *tx.usage.matches(told))


def _payers(tx: PostgresTransaction, frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Payers (made where they are new) with their tier, which stays as it is until the transaction ends."""
    names = pl.concat([frame["user_name"].unique() for frame in frames]).unique().to_list()
    tx.payers.ensure(names, tx.settings.default_tier)
    return tx.usage.tiers(names)


def _add(tx: PostgresTransaction, new: pl.DataFrame, tiers: pl.DataFrame, run_id: int, progress: Progress) -> None:
    """Price and write new runs slice by slice; the copy of a large batch is made ready while Postgres takes the rows."""
    if new.is_empty():
        return
    book = tx.rates.book()
    tx.lake.open()

    def priced() -> Iterator[pl.DataFrame]:
        for start in range(0, len(new), SLICE):
            part = price(new.slice(start, SLICE), tiers, book)
            tx.lake.add(facts(part))
            yield part

    tx.usage.add(priced(), len(new), run_id, lambda done: progress(done / len(new)))


def _revise(tx: PostgresTransaction, known: pl.DataFrame, tiers: pl.DataFrame, run_id: int) -> None:
    """Write what corrects a stored run; its old facts are taken back and its new ones added."""
    adopted = known.filter(verdict="adopts")
    if not adopted.is_empty():
        tx.usage.lock(adopted["id"].to_list())
        tx.usage.adopt(adopted)
    better = known.filter(pl.col("verdict").is_in(["changed", "refreshed"]))
    if better.is_empty():
        return
    stored = tx.usage.lock(better["id"].to_list())
    priced = _priced_again(better, stored, tiers, tx.rates.book())
    tx.usage.revise(priced, run_id)
    tx.lake.add(pl.concat([facts(stored, -1), facts(priced)]))


def _priced_again(better: pl.DataFrame, stored: pl.DataFrame, tiers: pl.DataFrame, book: list[RateCard]) -> pl.DataFrame:
    """Runs on a receipt keep payer, tier and card; the others are priced by their payer's tier of now."""
    rows = better.with_columns(step=pl.col("verdict").eq("changed").cast(pl.Int32)).drop("run_key").join(
        stored.select("id", "run_key", "payer", "tier", "rate_card", "billed_micro"), on="id")
    free = price(rows.filter(pl.col("billed_micro").is_null()).drop("payer", "tier", "rate_card"), tiers, book)
    held = price_locked(rows.filter(pl.col("billed_micro").is_not_null()), book)
    return pl.concat([free, held.select(free.columns)]).sort("run_key")


def _close(tx: PostgresTransaction, batch: UsageBatch, kept: Kept, told: pl.DataFrame) -> None:
    clusters = told["cluster"].unique().to_list()
    tx.runs.reject(kept.run_id, batch.rejected)
    tx.runs.resolve(kept.run_id)
    counts = Counts(kept.lines, kept.jobs, kept.new, kept.changed, kept.unchanged, len(batch.rejected))
    tx.runs.taken(kept.run_id, clusters, counts, batch.notes, batch.skipped)
    tx.runs.move_watermark(kept.run_id, batch.source, _complete_to(tx, batch, told), batch.window and batch.window[0])


def _complete_to(tx: PostgresTransaction, batch: UsageBatch, told: pl.DataFrame) -> dict[str, int]:
    """By cluster: the end of the window that was asked for; of a file, which names none, the latest end in it."""
    if batch.window is None:
        ends = told.filter(pl.col("ended")).group_by("cluster").agg(pl.col("end_at").max())
        return dict(ends.iter_rows())
    clusters = set(told["cluster"].unique()) | ({tx.settings.slurm_cluster} - {""})
    if not clusters and len(known := tx.runs.watermarks()) == 1:
        clusters = set(known)
    return dict.fromkeys(clusters, batch.window[1])
