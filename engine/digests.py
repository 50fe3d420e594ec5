"""What a telling says of a run, in eight bytes: two tellings with the same digest say the same.

A digest is kept beside every stored run, so that what is told again need not be compared column by column. It is the same
on every machine and in every release, or its VERSION changes: a digest of another version is no match, and the columns
decide. Refuses to know where digests are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import polars as pl

VERSION = 1
FACTOR, FOLD = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)         # odd, and less than a word: a round mixes 64 bits into 64
NOTHING = 0x7FF8_0000_0000_0001                 # stands for null; no instant, amount or code is so large


def digest(rows: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """The digest (Int64) of `columns`, whole numbers, flags and texts, of each row.

    Rows that differ in one column always differ in their digest; in several, but for one pair in 2⁶⁴.
    """
    told = np.full(len(rows), VERSION, np.uint64)
    for name in columns:
        told = (told ^ _numbers(rows[name])) * FACTOR       # whole numbers of 64 bits: what does not fit is cut off
        told ^= told >> FOLD
    return pl.Series("digest", told.view(np.int64))


def _numbers(values: pl.Series) -> npt.NDArray[np.uint64]:
    """Each value as a number of its own."""
    numbers = _of_texts(values) if values.dtype == pl.String() else values.cast(pl.Int64).reinterpret(signed=False)
    return numbers.fill_null(NOTHING).to_numpy()


def _of_texts(texts: pl.Series) -> pl.Series:
    known = texts.drop_nulls().unique()
    numbers = map(_of_text, known)
    return texts.replace_strict(known, pl.Series([*numbers], dtype=pl.UInt64), default=None, return_dtype=pl.UInt64)


@lru_cache(maxsize=2**16)
def _of_text(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
