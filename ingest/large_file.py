"""A large file of sacct's text is kept while it is read: its rows are written where there is no usage yet, else their digests are
compared with what there is.

Nothing waits for the end of the file. What only the whole can tell is asked at its end: whether a run stands in it twice, and, of
a first load, whether one of its payers came from elsewhere meanwhile. Then everything is taken back, and the file is read anew and
kept as any other is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

from data.postgres.store import PostgresTransaction, Store
from data.postgres.turns import KEEPING, turn
from engine.errors import BatchRefused, DomainError
from engine.ports import Progress
from engine.rate_frames import book_of
from engine.usage import UsageBatch
from ingest.keep import Kept, Work, finish, followed, held, priced
from ingest.slurm import Material, TextUsage, is_text
from ingest.sources.file import FileSource
from ingest.spool import Spool
from ingest.survey import Surveyor
from ingest.twice import Twice

LARGE = 16 << 20                # bytes of text from which this pays
BLOCK = LARGE                   # read at a time
ROWS = 50_000                   # there are about as many in them


class _Anew(Exception):
    """It is not as simple as that: read the file as any other."""


def keep_large(store: Store, source: FileSource, progress: Progress, actor: str) -> tuple[Kept, UsageBatch] | None:
    """Keep a large file, and what it told of itself (without its frames); None where it is to be read and kept as any other, and
    nothing was kept. `progress` is told the share that is read. A file that is refused is a run that says why."""
    if not _is_large(source):
        return None
    with turn(store.engine, KEEPING):
        run_id = store.run(lambda tx: tx.runs.begin(source.name, source.origin, None), actor, "usage.begin")
        try:
            with source.refusing():
                kept, batch = store.run(lambda tx: _keep(tx, source.material(), run_id, progress), actor, "usage.keep")
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
        with source.refusing():
            return material.size >= LARGE and is_text(material)
    except BatchRefused:
        return False


def _keep(tx: PostgresTransaction, material: Material, run_id: int, progress: Progress) -> tuple[Kept, UsageBatch]:
    reading = TextUsage(material, progress, BLOCK)
    seen, load = _Seen(reading), _first if tx.usage.is_empty() else _again
    work, new, changed = load(tx, run_id, seen)
    batch = UsageBatch(material.source, material.origin, reading.lines, (), reading.rejected, reading.notes)
    return finish(work, batch, seen.survey.told(), new, changed), batch


def _first(tx: PostgresTransaction, run_id: int, seen: _Seen) -> tuple[Work, int, int]:
    tx.usage.take_turn()
    payers, cards = _Payers(tx), tx.rates.book()        # held before any run, as receipts do
    book = book_of(cards)
    tx.lake.open(ROWS)
    tx.usage.add(priced(tx, seen, payers.of, book), ROWS, run_id, lambda _: None)
    return Work(tx, run_id, payers.made(), cards, book), seen.survey.told().runs, 0


def _again(tx: PostgresTransaction, run_id: int, seen: _Seen) -> tuple[Work, int, int]:
    spool = Spool()
    unlike = tx.usage.unlike(spool.filled(seen))        # nobody waits for this
    tx.usage.take_turn()
    told, cards = seen.survey.told(), tx.rates.book()
    work = Work(tx, run_id, held(tx, told.users), cards, book_of(cards))
    return work, *work.rest(spool, unlike, told.runs)


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

    def made(self) -> pl.DataFrame:
        """All tiers, when the new ones are made."""
        self._tx.payers.ensure(self._new, self._begins_at)
        if set(self._tx.usage.tiers(self._new)["tier"]) - {self._begins_at}:    # somebody else made one meanwhile
            raise _Anew
        return self._tiers


class _Seen:
    """Frames that are looked at as they go by, once."""

    def __init__(self, frames: Iterable[pl.DataFrame]) -> None:
        self.survey, self._frames, self._twice = Surveyor(), frames, Twice()

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Ends with _Anew where a run may stand in them more than once: where a key comes again, or SLUIDs are told of some only."""
        for frame in self._frames:
            self.survey.add(frame)
            self._twice.add(frame)
            yield frame
        if self._twice.mixed or len(self._twice.found(_anew)):
            raise _Anew


def _anew() -> Iterable[pl.DataFrame]:
    """What went by is gone."""
    raise _Anew
