"""Which values come more than once in a long column of hashes, in memory that does not grow with it.

The hashes wait in a file without a name, eight bytes each, and are looked at a part of their range at a time.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from typing import IO, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

AT_ONCE = 1 << 20               # hashes compared at a time, about
Hashes: TypeAlias = "NDArray[np.uint64]"


class Repeats:
    """Takes hashes (UInt64) as they come."""

    def __init__(self) -> None:
        self.count = 0
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="corehours-")     # noqa: SIM115  goes when this object goes
        self._ends: list[int] = []              # of what came together, which lies there in its order

    def add(self, hashes: pl.Series) -> None:
        """Some more of them."""
        self._file.write(np.sort(hashes.to_numpy()).tobytes())
        self.count += len(hashes)
        self._ends.append(self.count)

    def found(self) -> pl.Series:
        """Each value that was added more than once."""
        if not self.count:
            return pl.Series(dtype=pl.UInt64)
        self._file.flush()
        parts = self.count // AT_ONCE + 1
        bounds = np.linspace(0, 2.0**64, parts + 1)[1:-1].astype(np.uint64)
        cuts = np.array([[start, *(start + np.searchsorted(some, bounds)), start + len(some)] for start, some in self._runs()])
        return pl.Series(np.concatenate([self._twice(cuts[:, part], cuts[:, part + 1]) for part in range(parts)]), dtype=pl.UInt64)

    def _runs(self) -> Iterator[tuple[int, Hashes]]:
        """What came together, one after the other: where it begins, and the hashes."""
        for start, end in pairwise([0, *self._ends]):
            yield start, self._read(start, end)

    def _read(self, start: int, end: int) -> Hashes:
        return np.frombuffer(os.pread(self._file.fileno(), (end - start) * 8, start * 8), np.uint64)

    def _twice(self, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Hashes:
        """Those that stand more than once between these places."""
        ordered = np.sort(np.concatenate([self._read(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]))
        return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
