"""Keeping a batch: all of it or nothing, in one transaction, however often and in whatever order it is told.

One batch is kept at a time, across processes and machines. Postgres is written first; the analytics copy follows the
commit, and when it cannot be written the batch stands all the same and a later run mends the copy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

import polars as pl

from data.postgres.bulk import SLICE
from data.postgres.shelves.runs import Counts
from data.postgres.store import PostgresTransaction, Store
from data.postgres.turns import KEEPING, turn
from engine.errors import DomainError
from engine.ports import Progress
from engine.rate_frames import Book, book_of
from engine.rates import RateCard
from engine.revisions import decide, facts
from engine.services.months import settle_months
from engine.services.usage import price, price_locked
from engine.usage import UsageBatch
from ingest.survey import Survey, each_run_once, in_heaps, only, survey

HEAP = 200_000                  # runs compared with what is stored at a time


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
        run_id = store.run(lambda tx: tx.runs.begin(batch.source, batch.origin, batch.window), actor, "usage.begin")
        try:
            kept = store.run(lambda tx: _keep(tx, batch, run_id, progress or silent), actor, "usage.keep")
        except DomainError as error:
            sentence = error.sentence
            store.run(lambda tx: tx.runs.refuse(run_id, sentence), actor)
            raise
        return followed(store, kept, actor)


def followed(store: Store, kept: Kept, actor: str) -> Kept:
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
    told = each_run_once(batch.frames)
    seen = survey(told)
    tx.usage.take_turn()
    tiers = held(tx, seen.users)                    # before any run, as receipts do
    cards = tx.rates.book()
    work = Work(tx, run_id, tiers, cards, book_of(cards), lambda done: progress(done / seen.runs))
    new, changed = work.first(told, seen.runs) if tx.usage.is_empty() else work.again(told, seen.runs)
    return finish(work, batch, seen, new, changed)


def held(tx: PostgresTransaction, names: list[str]) -> pl.DataFrame:
    """Payers (made where they are new) with their tier, which stays as it is until the transaction ends."""
    tx.payers.ensure(names, tx.settings.default_tier)
    return tx.usage.tiers(names)


@dataclass(frozen=True, slots=True)
class Work:
    """Writing one batch: by whom its runs are paid, at which rates, and who is told how many runs are done."""

    tx: PostgresTransaction
    run_id: int
    tiers: pl.DataFrame
    cards: list[RateCard]
    book: Book
    told: Callable[[int], None] = lambda _: None
    payers_before: set[str] = field(default_factory=set)       # of runs that were corrected, as they were
    ends_before: set[int] = field(default_factory=set)

    def first(self, frames: Iterable[pl.DataFrame], count: int) -> tuple[int, int]:
        """Write runs into an empty table: all are new."""
        self._add(frames, count, self.told)
        return count, 0

    def again(self, frames: Iterable[pl.DataFrame], count: int) -> tuple[int, int]:
        """Write what the table does not know just so; how many runs were new, and how many corrected."""
        return self.rest(frames, self.tx.usage.unlike(frames), count)

    def rest(self, frames: Iterable[pl.DataFrame], unlike: pl.Series, count: int) -> tuple[int, int]:
        """The same of those rows of `frames` that are `unlike` what is known."""
        done, added, changed = count - len(unlike), 0, 0
        if done:
            self.told(done)
        for frame in in_heaps(only(frames, unlike), HEAP):
            new, known = decide(frame, *self.tx.usage.matches(frame))
            self._add([new], len(new))
            self._revise(known)
            added, changed, done = added + len(new), changed + len(known.filter(verdict="changed")), done + len(frame)
            self.told(done)
        return added, changed

    def _add(self, frames: Iterable[pl.DataFrame], count: int, told: Callable[[int], None] = lambda _: None) -> None:
        """Price and write new runs slice by slice; the analytics copy is made ready while Postgres takes the rows."""
        if count:
            self.tx.lake.open(count)
            self.tx.usage.add(priced(self.tx, frames, lambda _: self.tiers, self.book), count, self.run_id, told)

    def _revise(self, known: pl.DataFrame) -> None:
        """Write what corrects a stored run; its old facts are taken back and its new ones added."""
        tx = self.tx
        adopted = known.filter(verdict="adopts")
        if not adopted.is_empty():
            tx.usage.lock(adopted["id"].to_list())
            tx.usage.adopt(adopted)
        better = known.filter(pl.col("verdict").is_in(["changed", "refreshed"]))
        if better.is_empty():
            return
        stored = tx.usage.lock(better["id"].to_list())
        self.payers_before.update(stored["payer"])
        self.ends_before.update(stored["end_at"].drop_nulls())
        priced = _priced_again(better, stored, self.tiers, self.cards)
        tx.usage.revise(priced, self.run_id)
        tx.lake.add(pl.concat([facts(stored, -1), facts(priced)]))


def priced(tx: PostgresTransaction, frames: Iterable[pl.DataFrame], tiers: Callable[[pl.DataFrame], pl.DataFrame],
           book: Book) -> Iterator[pl.DataFrame]:
    """Usage with its charge, slice by slice, which the analytics copy takes too; `tiers` has those of a frame's payers."""
    for frame in frames:
        for start in range(0, len(frame), SLICE):
            part = price(frame.slice(start, SLICE), tiers(frame), book)
            tx.lake.add(facts(part))
            yield part
    tx.lake.finish()


def _priced_again(better: pl.DataFrame, stored: pl.DataFrame, tiers: pl.DataFrame, book: list[RateCard]) -> pl.DataFrame:
    """Runs on a receipt keep payer, tier and card; the others are priced by their payer's tier of now."""
    rows = better.with_columns(step=pl.col("verdict").eq("changed").cast(pl.Int32)).drop("run_key").join(
        stored.select("id", "run_key", "payer", "tier", "rate_card", "billed_micro"), on="id")
    free = price(rows.filter(pl.col("billed_micro").is_null()).drop("payer", "tier", "rate_card"), tiers, book)
    held = price_locked(rows.filter(pl.col("billed_micro").is_not_null()), book)
    return pl.concat([free, held.select(free.columns)]).sort("run_key")


def finish(work: Work, batch: UsageBatch, seen: Survey, new: int, changed: int) -> Kept:
    """When a batch's runs are in: settle the months they are of, write down what came of it, and up to when usage is complete."""
    if new or changed:
        first = min([*work.ends_before, *seen.first_end], default=None)
        settle_months(work.tx, work.cards, {*seen.users, *work.payers_before}, first)
    kept = Kept(work.run_id, batch.source, batch.lines, seen.runs, new, changed, seen.runs - new - changed, batch.notes)
    _close(work.tx, batch, kept, seen)
    return kept


def _close(tx: PostgresTransaction, batch: UsageBatch, kept: Kept, seen: Survey) -> None:
    tx.runs.reject(kept.run_id, batch.rejected)
    tx.runs.resolve(kept.run_id)
    counts = Counts(kept.lines, kept.jobs, kept.new, kept.changed, kept.unchanged, len(batch.rejected))
    tx.runs.taken(kept.run_id, list(seen.ends), counts, batch.notes, batch.skipped)
    tx.runs.move_watermark(kept.run_id, batch.source, _complete_to(tx, batch, seen), batch.window and batch.window[0])


def _complete_to(tx: PostgresTransaction, batch: UsageBatch, seen: Survey) -> dict[str, int]:
    """By cluster: the end of the window that was asked for; of a file, which names none, the latest end in it."""
    if batch.window is None:
        return {cluster: end for cluster, end in seen.ends.items() if end is not None}
    clusters = set(seen.ends) | ({tx.settings.slurm_cluster} - {""})
    if not clusters and len(known := tx.runs.watermarks()) == 1:
        clusters = set(known)
    return dict.fromkeys(clusters, batch.window[1])
