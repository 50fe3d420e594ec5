"""What a batch holds, gone through once before anything is written: who is in it, from where, and whether a run is told twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from engine.revisions import one_row_a_run
from engine.usage import empty_usage
from ingest.twice import Twice


@dataclass(frozen=True, slots=True)
class Survey:
    """How many runs, of whom, when the first of them ended (empty: none has), and by cluster when the last did
    (Unix seconds; None: none has)."""

    runs: int
    users: list[str]
    first_end: list[int]
    ends: dict[str, int | None]


class Surveyor:
    """Takes usage frames as they come."""

    def __init__(self) -> None:
        self._runs = 0
        self._users: set[str] = set()
        self._firsts: set[int] = set()
        self._ends: dict[str, int | None] = {}

    def add(self, usage: pl.DataFrame) -> None:
        """One more frame."""
        ended = pl.col("end_at").filter("ended")
        told = usage.group_by("cluster").agg(pl.col("user_name").unique(), first=ended.min(), last=ended.max())
        for cluster, names, first, last in told.iter_rows():
            self._users.update(names)
            self._firsts |= {first} - {None}
            self._ends[cluster] = max((one for one in (last, self._ends.get(cluster)) if one is not None), default=None)
        self._runs += len(usage)

    def told(self) -> Survey:
        """What there was so far."""
        return Survey(self._runs, sorted(self._users), sorted(self._firsts)[:1], self._ends)


def survey(frames: Iterable[pl.DataFrame]) -> Survey:
    """Go through usage frames once."""
    surveyor = Surveyor()
    for frame in frames:
        surveyor.add(frame)
    return surveyor.told()


def each_run_once(frames: Iterable[pl.DataFrame]) -> Iterable[pl.DataFrame]:
    """The same usage with each run once, whatever names it.

    Where all runs have a SLUID, or none has, the run key says all. Only a batch that repeats keys or mixes both is put
    together in memory to be sorted out.
    """
    seen = Twice()
    for frame in frames:
        seen.add(frame)
    if not seen.mixed and seen.found(lambda: frames).is_empty():
        return frames
    return [one_row_a_run(pl.concat([empty_usage(), *frames]))]


def only(frames: Iterable[pl.DataFrame], rows: pl.Series) -> Iterator[pl.DataFrame]:
    """The rows with these numbers, ascending and counted through all frames."""
    count = taken = 0
    for frame in frames if len(rows) else ():
        count += len(frame)
        end = int(rows.search_sorted(count))
        yield frame[rows[taken:end] - (count - len(frame))]
        taken = end


def in_heaps(frames: Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """The same rows in frames of at least `rows`, but for the last one; none is empty."""
    heap: list[pl.DataFrame] = []
    for frame in (frame for frame in frames if len(frame)):
        heap.append(frame)
        if sum(map(len, heap)) >= rows:
            yield pl.concat(heap)
            heap = []
    if heap:
        yield pl.concat(heap)
