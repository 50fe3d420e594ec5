"""Frames that may be many: kept in memory while they are small, beyond that in a file that goes with its process.

Gone through in their order, as often as one likes. Refuses to know what stands in them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

import polars as pl

ROOM = 256 << 20                # bytes of frames that are kept in memory


class Spool:
    """A list of frames whose memory is bounded by `room` bytes. Has no name on the disk: nothing is left of it."""

    def __init__(self, room: int | None = None) -> None:
        self._room = ROOM if room is None else room
        self._near: list[pl.DataFrame] = []
        self._far: list[tuple[int, int]] = []       # where a frame begins in the file, and its bytes
        self._file: IO[bytes] | None = None

    @classmethod
    def of(cls, frames: Iterable[pl.DataFrame]) -> Spool:
        """A spool of these frames."""
        spool = cls()
        for frame in frames:
            spool.append(frame)
        return spool

    def append(self, frame: pl.DataFrame) -> None:
        """Keep `frame` behind the others."""
        if frame.is_empty():
            return
        size = int(frame.estimated_size())
        if self._file is None and size <= self._room:
            self._room -= size
            self._near.append(frame)
            return
        self._file = self._file or self._opened()
        start = self._file.seek(0, os.SEEK_END)
        frame.write_ipc_stream(self._file, compat_level=pl.CompatLevel.newest())
        self._far.append((start, self._file.tell() - start))

    def filled(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """The same frames, each kept as it goes by."""
        for frame in frames:
            self.append(frame)
            yield frame

    def __iter__(self) -> Iterator[pl.DataFrame]:
        yield from self._near
        for start, size in self._far:
            assert self._file is not None
            yield pl.read_ipc_stream(os.pread(self._file.fileno(), size, start))

    @staticmethod
    def _opened() -> IO[bytes]:
        return tempfile.TemporaryFile(prefix="corehours-")
