"""Pricing a file without keeping it: usage in, Parquet out, in memory that does not grow with the file.

Everything that ingestion checks is checked, and what cannot be read is told. The output has the same bytes whatever the
size of the blocks it was read in and however many threads there were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import BatchRefused, RateError
from engine.months import counting
from engine.ports import Progress
from engine.rate_frames import Book, book_of
from engine.rates import RateCard
from engine.rating import rate
from engine.usage import Rejection
from ingest.slurm import Material, TextUsage
from ingest.twice import COLUMNS, Twice

ROW_GROUP = 32_768
AT_ONCE = 2 * ROW_GROUP         # rows priced in one go
# Texts that mostly repeat are written as numbers into a list; what a reader may skip by has its smallest and largest value.
REPEATING = ["cluster", "job_name", "user_name", "account_name", "partition_name", "qos", "node_list", "state", "alloc_tres",
             "cpu_used_from", "mem_used_from", "payer", "tier", "rate_card", "policy", "currency"]
SKIPPED_BY = ["job_id_raw", "end_at"]


@dataclass(frozen=True, slots=True)
class Priced:
    """What a file would cost: runs, their sum by currency in micro-units, what was rejected, remarks."""

    lines: int
    runs: int
    cost_micro: dict[str, int]
    rejected: tuple[Rejection, ...]
    notes: tuple[str, ...]


def price_text(material: Material, out: Path, tier: str, book: list[RateCard], progress: Progress = lambda _: None) -> Priced:
    """Price the sacct text in `material` for payers of `tier` and write one row a run (USAGE_SCHEMA and the charge) to `out`.

    BatchRefused where ingestion would refuse it, and where a run stands in it twice: ingestion takes the last one, which
    nobody can know before the end. `out` is whole or not there.
    """
    if counted := [card for card in counting(book) if card.tier == tier or card.project]:
        raise RateError(f"{counted[0].name} counts what was used in a month, which only ingestion can.")
    reading, seen, costs, ready = TextUsage(material, progress), Twice(), dict[str, int](), book_of(book)
    fresh = out.with_name(f"{out.name}.new")
    try:
        _write(fresh, _counted(_priced(reading, tier, ready), seen, costs))
        if len(found := seen.found(lambda: _written(fresh))):
            runs = "1 run stands" if len(found) == 1 else f"{len(found)} runs stand"
            raise BatchRefused(f"{material.where}: {runs} in it more than once; ingest it, that takes the last of each.")
        fresh.replace(out)
    except OSError as error:
        raise BatchRefused(f"{out} cannot be written: {error.strerror or error}.") from None
    finally:
        with suppress(OSError):
            fresh.unlink()
    return Priced(reading.lines, seen.count, costs, reading.rejected, reading.notes)


def _priced(usages: Iterable[pl.DataFrame], tier: str, book: Book) -> Iterator[pl.DataFrame]:
    """Runs with their charge, some row groups at a time."""
    for usage in in_frames(usages, AT_ONCE):
        yield rate(usage.with_columns(payer="user_name", tier=pl.lit(tier)), book)


def _counted(frames: Iterable[pl.DataFrame], seen: Twice, costs: dict[str, int]) -> Iterator[pl.DataFrame]:
    for frame in frames:
        seen.add(frame)
        for currency, micro in _by_currency(frame):
            costs[currency] = costs.get(currency, 0) + micro
        yield frame
        del frame


def _by_currency(frame: pl.DataFrame) -> Iterable[tuple[str, int]]:
    currencies = frame["currency"]
    if currencies.min() == currencies.max():
        return [(currencies[0], frame["cost_micro"].sum())]
    return frame.group_by("currency").agg(pl.col("cost_micro").sum()).iter_rows()


def _written(path: Path) -> Iterator[pl.DataFrame]:
    """What names the runs that were written, row group by row group."""
    with pq.ParquetFile(path) as file:
        for group in range(file.metadata.num_row_groups):
            yield pl.DataFrame(pl.from_arrow(file.read_row_group(group, columns=list(COLUMNS), use_threads=False)))


def _write(path: Path, groups: Iterable[pl.DataFrame]) -> None:
    writer: pq.ParquetWriter | None = None
    try:
        for group in groups:
            rows = group.to_arrow(compat_level=pl.CompatLevel.newest())
            writer = writer or parquet_writer(path, rows.schema)
            writer.write_table(rows, row_group_size=ROW_GROUP)
            del group, rows             # else they are held while the next ones are made
    finally:
        if writer:
            writer.close()


def parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of priced rows. It tells nobody how they lay in memory: text is text to every reader."""
    repeating = [name for name in REPEATING if name in schema.names]
    return pq.ParquetWriter(path, schema, compression="lz4", use_dictionary=repeating, write_statistics=SKIPPED_BY, store_schema=False)


def in_frames(frames: Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """The same rows in frames of `rows` each, but for the last one; each row is copied once at most."""
    waiting: list[pl.DataFrame] = []
    wanted = rows
    for frame in frames:
        while len(frame) >= wanted:
            yield pl.concat([*waiting, frame.head(wanted)], rechunk=True)
            frame, waiting, wanted = frame.slice(wanted), [], rows
        if len(frame):
            waiting.append(frame)
            wanted -= len(frame)
    if waiting:
        yield pl.concat(waiting, rechunk=True)
