"""The limit for rating a file: bare polars in bounded blocks, cut at newlines, stored as Parquet; nothing is checked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import polars as pl

from bench.limit_ingest import priced_text
from bench.measure import Measured
from bench.rows import KEPT, digest, stored
from ingest.pricing import ROW_GROUP, in_frames, parquet_writer

BLOCK = 8 << 20


def blocks(path: Path) -> Iterator[pl.DataFrame]:
    """Priced rows of the file, block by block."""
    with path.open("rb") as file:
        head, carry, block, text = file.readline(), b"", bytearray(BLOCK), BytesIO()
        while count := file.readinto(block):
            cut = block.rfind(b"\n", 0, count) + 1
            text.seek(0)
            text.writelines([head, carry, memoryview(block)[:cut]])
            text.truncate()
            carry = bytes(memoryview(block)[cut:count])
            yield priced_text(text.getvalue()).select(KEPT)


def main(path: Path, out: Path) -> str:
    """Figures of one run, and what it made."""
    with Measured() as measured:
        writer = None
        for group in in_frames(blocks(path), ROW_GROUP):
            rows = group.to_arrow(compat_level=pl.CompatLevel.newest())
            writer = writer or parquet_writer(out, rows.schema)
            writer.write_table(rows)
            del group, rows
        assert writer is not None
        writer.close()
    return json.dumps({**measured.figures, **digest(stored(out))})


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2])))
