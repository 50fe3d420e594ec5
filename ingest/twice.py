"""Which runs of a reading stand in it twice, where their keys are made of cluster, job number and submit time.

A key without a SLUID holds the number, so where numbers only rise through all of a reading nothing can stand twice: that is all that
most readings need, and it costs next to nothing. Where they do not rise, numbers and submit times that come again say which runs to
look at, and their keys decide. Where SLUIDs are, the keys are looked at from then on. Always exact as `Repeats` is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import IO

import numpy as np
import polars as pl

from ingest.repeats import Hashes, Repeats

FEW = 1 << 20                   # numbers that are looked up at a time; where more come again every key is looked at
_ODD, _MIXED = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)      # odd: no two numbers become the same
COLUMNS = ("run_key", "job_id_raw", "submit_at")
Again = Callable[[], Iterable[pl.DataFrame]]


class Twice:
    """Takes usage frames as they come, made by engine/slurm_usage.py."""

    def __init__(self) -> None:
        self.count = self._named = 0
        self._keys, self._unnamed = Repeats(), 0        # keys are looked at from the first frame with a SLUID on
        self._rising, self._last = True, -1
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="corehours-")     # noqa: SIM115  goes when this object goes
        self._ends: list[int] = []

    def add(self, usage: pl.DataFrame) -> None:
        """One more frame: run_key, job_id_raw, submit_at and sluid."""
        named = usage["sluid"].count()
        self.count, self._named = self.count + len(usage), self._named + named
        if self._unnamed < self.count - len(usage) or named:
            self._keys.add(usage["run_key"].hash())
        elif len(usage):
            self._take(usage)

    @property
    def mixed(self) -> bool:
        """True where SLUIDs are told of some runs only: then a run may stand twice under two keys."""
        return self._named not in (0, self.count)

    def found(self, again: Again) -> pl.Series:
        """The hash of each run key that stands more than once. `again` gives all that was added once more: COLUMNS, in any cuts."""
        if self._unnamed == self.count and self._rising:
            return pl.Series(dtype=pl.UInt64)
        if self._unnamed < self.count:
            return self._of_all(again)
        numbers = Repeats()
        for some in self._marks():
            numbers.add(pl.Series(some))
        marks = numbers.found()
        return self._of_all(again) if len(marks) > FEW else _of_some(again, marks)

    def _take(self, usage: pl.DataFrame) -> None:
        numbers = usage["job_id_raw"].to_numpy()
        self._rising = self._rising and int(numbers[0]) > self._last and bool((numbers[1:] > numbers[:-1]).all())
        self._last = int(numbers[-1])
        self._file.write(_mark(usage).tobytes())
        self._unnamed += len(usage)
        self._ends.append(self._unnamed)

    def _marks(self) -> Iterator[Hashes]:
        self._file.seek(0)
        for start, end in pairwise([0, *self._ends]):
            yield np.frombuffer(self._file.read((end - start) * 8), np.uint64)

    def _of_all(self, again: Again) -> pl.Series:
        """By every key: those before the first SLUID are hashed only now."""
        left = self._unnamed
        for frame in again() if left else ():
            if not left:
                break
            self._keys.add(frame["run_key"].head(left).hash())
            left -= min(left, len(frame))
        return self._keys.found()


def _of_some(again: Again, marks: pl.Series) -> pl.Series:
    """By the keys of runs whose number and submit time come again."""
    keys = Repeats()
    if len(marks):
        for frame in again():
            keys.add(frame.filter(pl.Series(_mark(frame)).is_in(marks.implode()))["run_key"].hash())
    return keys.found()


def _mark(usage: pl.DataFrame) -> Hashes:
    """The same for the same number and submit time, and hardly for others; spread over 64 bits."""
    number, submit = (usage[name].to_numpy().astype(np.uint64) for name in ("job_id_raw", "submit_at"))
    mark: Hashes = (number * _ODD + submit) * _MIXED
    return mark
