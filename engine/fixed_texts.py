"""Texts of a known shape, such as `2026-11-21T03:40:34`, read as bytes all at once: a whole column in a few numpy steps.

A shape is the least and the greatest text, letter by letter. What does not have it is null, as is what has it and means
nothing (the thirtieth of February); the slower readers of engine/slurm_values.py say what that is. Knows no formats but these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

Letters = NDArray[np.uint8]
Digits = NDArray[np.uint8]                      # a row a text: each letter less the least that may stand there
Numbers = NDArray[np.int64]
NOTHING = np.iinfo(np.int64).min                # what a text of the shape stands for that means nothing
DAY, HOUR, MINUTE = 86_400, 3600, 60
FIRST_YEAR, YEARS = 2000, 100
LONGEST_DAYS = 6                                # digits
AT_ONCE = 8192                                  # texts that are worked on while the processor has them at hand


@dataclass(frozen=True, slots=True)
class Shape:
    """Texts between two others in every letter, and the numbers they stand for."""

    least: bytes
    greatest: bytes
    read: Callable[[Digits], Numbers]

    def numbers(self, texts: Letters) -> Numbers:
        """The number of every text, one a row of this width; NOTHING where it has not this shape."""
        least, most = _bounds(self.least, self.greatest)
        digits = texts - least[:len(texts)]
        strange = digits > most[:len(texts)]
        if not strange.any():
            return self.read(digits)
        fits = ~strange.any(axis=1)
        numbers = np.full(len(texts), NOTHING)
        numbers[fits] = self.read(digits[fits])
        return numbers


def shaped(texts: pl.Series, shapes: tuple[Shape, ...]) -> pl.Series:
    """Int64: what each text stands for in the shape of its width; null where it has none of the shapes."""
    letters, starts, widths = _letters(texts)
    found, left = np.full(len(texts), NOTHING), len(texts)
    for shape in shapes:
        width = len(shape.least)
        places = np.flatnonzero(widths == width)
        for some in _parts(places, len(texts)):
            found[some] = shape.numbers(_rows(letters, starts[some], width))
        if not (left := left - len(places)):
            break
    made = pl.Series(texts.name, found)
    nothing = found == NOTHING
    return made.set(pl.Series(nothing), None) if nothing.any() else made


def _parts(places: Numbers, count: int) -> Iterator[slice | Numbers]:
    """`places` among `count`, AT_ONCE at a time."""
    parts = (slice(at, at + AT_ONCE) for at in range(0, len(places), AT_ONCE))
    return parts if len(places) == count else (places[part] for part in parts)


def _letters(texts: pl.Series) -> tuple[Letters, Numbers, Numbers]:
    """The bytes of all texts, one behind the other; where each begins; how many each has (a null none)."""
    arrow = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, letters = arrow.buffers()
    bounds = np.frombuffer(offsets, np.int64)[arrow.offset:arrow.offset + len(arrow) + 1]
    return np.frombuffer(letters or b"", np.uint8), bounds[:-1], np.diff(bounds)


def _rows(letters: Letters, starts: Numbers, width: int) -> Letters:
    """The `width` bytes from each of `starts` on, a row each."""
    first, last = int(starts[0]), int(starts[-1])
    if last - first == (len(starts) - 1) * width:           # nothing stands between them
        return letters[first:last + width].reshape(-1, width)
    rows: Letters = letters[starts[:, None] + np.arange(width)]
    return rows


@cache
def _bounds(least: bytes, greatest: bytes) -> tuple[Letters, Letters]:
    """The least letters, and how far above them the greatest are, for AT_ONCE texts."""
    low, high = (np.frombuffer(text, np.uint8) for text in (least, greatest))
    return np.tile(low, (AT_ONCE, 1)), np.tile(high - low, (AT_ONCE, 1))


def _two(digits: Digits, at: int) -> Digits:
    return digits[:, at] * np.uint8(10) + digits[:, at + 1]


def _day_numbers() -> NDArray[np.int32]:
    """Days since 1970 at [year, month, day], of every year from FIRST_YEAR on; a day that there is not is out of reach."""
    days = np.arange(f"{FIRST_YEAR}-01-01", f"{FIRST_YEAR + YEARS}-01-01", dtype="datetime64[D]")
    months, years = days.astype("datetime64[M]"), days.astype("datetime64[Y]")
    table = np.full((YEARS, 20, 40), _NO_DAY, dtype=np.int32)
    table[years.astype(int) + 1970 - FIRST_YEAR, months.astype(int) % 12 + 1, (days - months).astype(int) + 1] = days.astype(int)
    return table.reshape(-1)


_NO_DAY = np.iinfo(np.int32).min
_DAYS = _day_numbers()


def _instants(digits: Digits) -> Numbers:
    """Unix seconds of `2026-11-21T03:40:34`."""
    place = (_two(digits, 2).astype(np.int32) * 20 + _two(digits, 5)) * 40 + _two(digits, 8)
    days, hours = _DAYS.take(place), _two(digits, 11)
    numbers = days.astype(np.int64) * DAY + _clock(digits, 11)
    strange = (days == _NO_DAY) | (hours > 23)
    return np.where(strange, NOTHING, numbers) if strange.any() else numbers


def _clock(digits: Digits, at: int) -> NDArray[np.int32]:
    """Seconds of `03:40:34`, which begins at letter `at`."""
    hours, minutes, seconds = (_two(digits, at + place).astype(np.int32) for place in (0, 3, 6))
    return hours * HOUR + minutes * MINUTE + seconds


def _clocks(digits: Digits) -> Numbers:
    return _clock(digits, 0).astype(np.int64)


def _days_and_clocks(digits: Digits) -> Numbers:
    """Seconds of `12-03:40:34`."""
    count, days = digits.shape[1] - 9, np.zeros(len(digits), dtype=np.int64)
    for at in range(count):
        days = days * 10 + digits[:, at]
    strange = _two(digits, count + 1) > 23
    numbers = days * DAY + _clock(digits, count + 1)
    return np.where(strange, NOTHING, numbers) if strange.any() else numbers


_CLOCK = (b"00:00:00", b"99:59:59")
INSTANTS = (Shape(b"2000-00-00T00:00:00", b"2099-19-39T29:59:59", _instants),)
DURATIONS = (Shape(*_CLOCK, _clocks), *(
    Shape(b"0" * count + b"-" + _CLOCK[0], b"9" * count + b"-29:59:59", _days_and_clocks) for count in range(1, LONGEST_DAYS + 1)))
