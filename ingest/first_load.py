"""A first load: a large file of sacct's text is written while it is read, into books that hold no usage yet.

Nothing waits for the end of the file, and memory does not grow with it. What only the whole can tell is asked when all is
written: whether a run stands in it twice, and whether a payer came from elsewhere meanwhile. Then everything is taken back
and the file is read anew, as any other is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

from data.postgres.shelves.usage import FIRST_LOAD
from data.postgres.store import PostgresTransaction, Store
from data.postgres.turns import KEEPING, turn
from engine.errors import BatchRefused, DomainError
from engine.ports import Progress
from engine.rate_frames import book_of
from engine.services.months import settle_months
from engine.usage import UsageBatch
from ingest.keep import Kept, close, followed, priced
from ingest.slurm import Material, TextUsage, is_text
from ingest.sources.file import FileSource
from ingest.survey import Surveyor
from ingest.twice import Twice

LARGE = 16 << 20                # bytes of text from which this pays


class _Anew(Exception):
    """It is not as simple as that: read the file as any other."""


def first_load(store: Store, source: FileSource, progress: Progress, actor: str) -> tuple[Kept, UsageBatch] | None:
    """Keep a large file in empty books, and what it told of itself (without its frames); None where it is to be read and kept as
    any other, and nothing was kept. `progress` is told the share that is read. A file that is refused is a run that says why."""
    if not _is_large(source):
        return None
    with turn(store.engine, KEEPING):
        if not store.read(lambda tx: tx.usage.is_empty()):
            return None
        run_id = store.run(lambda tx: tx.runs.begin(source.name, source.origin, None), actor, "usage.begin")
        try:
            with source.refusing():
                kept, batch = store.run(lambda tx: _load(tx, source.material(), run_id, progress), actor, "usage.keep")
        except _Anew:
            store.run(lambda tx: tx.runs.forget(run_id), actor)
            return None
        except DomainError as error:
            reason = error.detail if isinstance(error, BatchRefused) else error.sentence
            store.run(lambda tx: tx.runs.refuse(run_id, reason), actor)
            raise
        return followed(store, kept, actor), batch


def _is_large(source: FileSource) -> bool:
    """Whether there is so much text; what cannot be read is said by who reads it."""
    try:
        material = source.material()
        return material.size >= LARGE and is_text(material)
    except BatchRefused:
        return False


def _load(tx: PostgresTransaction, material: Material, run_id: int, progress: Progress) -> tuple[Kept, UsageBatch]:
    tx.usage.take_turn()
    if not tx.usage.is_empty():
        raise _Anew
    payers = _Payers(tx)                                # held before any run, as receipts do
    cards, reading, seen = tx.rates.book(), TextUsage(material, progress), _Seen()
    tx.lake.open(FIRST_LOAD)
    tx.usage.add(priced(tx, seen.through(reading), payers.of, book_of(cards)), FIRST_LOAD, run_id, lambda _: None)
    payers.make()
    told = seen.survey.told()
    settle_months(tx, cards, set(told.users), min(told.first_end, default=None))
    batch = UsageBatch(material.source, material.origin, reading.lines, (), reading.rejected, reading.notes)
    kept = Kept(run_id, batch.source, batch.lines, told.runs, told.runs, 0, 0, batch.notes)
    close(tx, batch, kept, told)
    return kept, batch


class _Payers:
    """Everybody who is known, with a tier that stays as it is until the transaction ends; and those whom the file names
    besides, at the tier that a payer begins with."""

    def __init__(self, tx: PostgresTransaction) -> None:
        self._tx, self._new, self._begins_at = tx, set[str](), tx.settings.default_tier
        self._tiers = tx.usage.tiers([payer.name for payer in tx.payers.all()])

    def of(self, usage: pl.DataFrame) -> pl.DataFrame:
        """The tiers (payer, tier) of these runs' payers, and of others."""
        names = usage["user_name"].unique()
        if len(new := names.filter(~names.is_in(self._tiers["payer"].implode()))):
            self._new.update(new)
            self._tiers = pl.concat([self._tiers, pl.DataFrame({"payer": new, "tier": [self._begins_at] * len(new)})])
        return self._tiers

    def make(self) -> None:
        """Make the new ones."""
        self._tx.payers.ensure(self._new, self._begins_at)
        if set(self._tx.usage.tiers(self._new)["tier"]) - {self._begins_at}:    # somebody else made one meanwhile
            raise _Anew


class _Seen:
    """What went by."""

    def __init__(self) -> None:
        self.survey, self._twice, self._named = Surveyor(), Twice(), 0

    def through(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """The same frames, looked at. Ends with _Anew where a run may stand in them more than once: where a key comes again, or
        SLUIDs are told of some runs only."""
        for frame in frames:
            self.survey.add(frame)
            self._twice.add(frame)
            self._named += frame["sluid"].count()
            yield frame
        if self._named not in (0, self._twice.count) or len(self._twice.found(_anew)):
            raise _Anew


def _anew() -> Iterable[pl.DataFrame]:
    """What went by is gone."""
    raise _Anew
