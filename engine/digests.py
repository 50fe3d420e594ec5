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
        told ^= _numbers(rows[name])
        told *= FACTOR                                      # whole numbers of 64 bits: what does not fit is cut off
        told ^= told >> FOLD
    return pl.Series("digest", told.view(np.int64))


def _numbers(values: pl.Series) -> npt.NDArray[np.uint64]:
    """Each value as a number of its own."""
    if values.dtype == pl.String():
        return _of_texts(values)
    numbers: npt.NDArray[np.uint64] = values.cast(pl.Int64).fill_null(NOTHING).to_numpy().view(np.uint64)
    return numbers


def _of_texts(texts: pl.Series) -> npt.NDArray[np.uint64]:
    """The numbers of texts, of which most come often: each is looked up once."""
    coded = texts.fill_null("").rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    numbers = np.array([*map(_of_text, coded.dictionary.to_pylist())], np.uint64)
    places = np.frombuffer(coded.indices.buffers()[1], np.int32, len(texts))        # Arrow's own way to numpy brings in pandas
    told: npt.NDArray[np.uint64] = numbers.take(places)
    return np.where(texts.is_null().to_numpy(), np.uint64(NOTHING), told) if texts.null_count() else told


@lru_cache(maxsize=2**16)
def _of_text(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
