"""Which values come more than once in a long column of hashes, in memory that does not grow with it.

The hashes wait in a file without a name, eight bytes each, and are looked at a part of their range at a time.
"""

from __future__ import annotations

import tempfile
from typing import IO

import numpy as np
import polars as pl

AT_ONCE = 1 << 20               # hashes compared at a time, about


class Repeats:
    """Takes hashes (UInt64) as they come."""

    def __init__(self) -> None:
        self.count = 0
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="corehours-")     # noqa: SIM115  goes when this object goes

    def add(self, hashes: pl.Series) -> None:
        """Some more of them."""
        self._file.write(hashes.to_numpy().tobytes())
        self.count += len(hashes)

    def found(self) -> pl.Series:
        """Each value that was added more than once."""
        if not self.count:
            return pl.Series(dtype=pl.UInt64)
        self._file.flush()
        hashes = np.memmap(self._file, dtype=np.uint64, mode="r")
        parts = self.count // AT_ONCE + 1
        bounds = np.linspace(0, 2.0**64, parts + 1)[1:-1].astype(np.uint64)
        places = np.searchsorted(bounds, hashes, side="right") if parts > 1 else None
        found = [_twice(hashes if places is None else hashes[places == part]) for part in range(parts)]
        return pl.Series(np.concatenate(found), dtype=pl.UInt64)


def _twice(hashes: np.ndarray) -> np.ndarray:
    ordered = np.sort(hashes)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
