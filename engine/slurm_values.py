"""What Slurm writes into one field: times, durations, sizes, trackable resources, states. Strict, integers only.

Each format is read by one plain function, which is the truth; the `*_column` functions do the same for a whole
column, the common forms with polars expressions and each other distinct text once. What cannot be read is a
ValueError, or null in a column: never zero, never guessed. Knows no files and no jobs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache
from typing import TypeVar

import polars as pl

from engine.fixed_texts import DURATIONS, INSTANTS, shaped
from engine.usage import JobState

# Words Slurm writes where there is no value yet.
NOTHING = ("", "Unknown", "None", "N/A", "NONE")

_DURATION = re.compile(r"(?:(?P<days>\d+)-)?(?P<fields>\d+(?::\d+){0,2})(?:\.(?P<fraction>\d{1,6}))?", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:Z|[+-]\d\d:?\d\d)?", re.ASCII)
_SIZE = re.compile(r"(\d+)(?:\.(\d+))?([KMGTPE]?)B?", re.ASCII)
_UNIT_KIB = {"K": 1, "M": 1 << 10, "G": 1 << 20, "T": 1 << 30, "P": 1 << 40, "E": 1 << 50}
_WHOLE = re.compile(r"\d+", re.ASCII)
_LARGEST = 1 << 62
T = TypeVar("T")


def whole(text: str) -> int:
    """`12` → 12. Signs, blanks, fractions and what does not fit 63 bits are refused."""
    if not _WHOLE.fullmatch(text) or int(text) > _LARGEST:
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def instant(text: str) -> int:
    """A time as Unix seconds: `1795232434`, `2026-11-21T03:40:34` (UTC), or with `Z` or an offset `+07:00`."""
    if _WHOLE.fullmatch(text) and len(text) < 12:
        return int(text)
    try:
        moment = datetime.fromisoformat(text) if _TIME.fullmatch(text) else None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(f"{text!r} is no time")
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def duration_ms(text: str) -> int:
    """A duration in milliseconds: `[D-]HH:MM:SS`, `MM:SS.mmm`, `D-HH`, `D-HH:MM`; microseconds are cut.

    A bare number is refused: as a limit it means minutes, elsewhere seconds.
    """
    match = _DURATION.fullmatch(text)
    if match is None or (match["days"] is None and ":" not in match["fields"]):
        raise ValueError(f"{text!r} is no duration")
    fields = [int(field) for field in match["fields"].split(":")]
    if match["days"] is not None:                        # counted from the hours
        days, hours, minutes, seconds = int(match["days"]), *fields, *[0] * (3 - len(fields))
    else:                                                # counted from the seconds
        days, hours, minutes, seconds = 0, *[0] * (3 - len(fields)), *fields
    if seconds > 59 or (minutes > 59 and len(fields) == 3) or (days and (hours > 23 or minutes > 59)) or days > 10**8:
        raise ValueError(f"{text!r} is no duration")
    fraction = int((match["fraction"] or "0").ljust(3, "0")[:3])
    return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 + fraction


def size_kib(text: str, bare: str = "B") -> int:
    """A size in KiB, the rest cut: `3172K`, `16G`, `62.50G`. `bare` names the unit of a number without one (B or M)."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no size")
    digits, decimals, unit = match[1], match[2] or "", match[3] or bare
    number = Fraction(int(digits + decimals), 10 ** len(decimals))
    kib = int(number / 1024 if unit == "B" else number * _UNIT_KIB[unit])
    if kib > _LARGEST:
        raise ValueError(f"{text!r} is too large a size")
    return kib


def memory_mib(text: str) -> int:
    """Memory in MiB, Slurm's unit: `2G`, `1000M`, `2048K`, `1T`, `62.50G`; a bare number is MiB already."""
    kib = size_kib(text, bare="M")
    if 0 < kib < 1024:
        raise ValueError(f"{text!r} is less than 1 MiB")
    return kib // 1024


def memory_text(mib: int) -> str:
    """MiB as the shortest exact text: 16384 → `16G`, 64000 → `64000M`."""
    for unit, size in (("P", 1 << 30), ("T", 1 << 20), ("G", 1 << 10)):
        if mib and mib % size == 0:
            return f"{mib // size}{unit}"
    return f"{mib}M"


@dataclass(frozen=True, slots=True)
class Tres:
    """What was allocated: CPUs (None when not named), GPUs, memory in MiB (None when not named), and the exact text."""

    cpus: int | None
    gpus: int
    mem_mib: int | None
    text: str


def tres(text: str) -> Tres:
    """`billing=38,cpu=4,gres/gpu:a100=2,gres/gpu=2,mem=8G,node=1` as numbers.

    The same GPUs stand there with and without their type: the total without a type wins, else the types are added.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name or not value or name in found:
            raise ValueError(f"{part!r} in {text!r} cannot be read")
        found[name] = value
    typed = [whole(value) for name, value in found.items() if name.startswith("gres/gpu:")]
    mem = memory_mib(found["mem"]) if "mem" in found else None
    if mem is not None:
        found["mem"] = memory_text(mem)
    return Tres(cpus=whole(found["cpu"]) if "cpu" in found else None,
                gpus=whole(found["gres/gpu"]) if "gres/gpu" in found else sum(typed), mem_mib=mem,
                text=",".join(f"{name}={value}" for name, value in found.items()))


def requested_memory_mib(text: str, nodes: int, cpus: int) -> int:
    """ReqMem as MiB for the whole job: old versions write it per node (`31000Mn`) or per core (`4000Mc`)."""
    if text.endswith("n"):
        return memory_mib(text[:-1]) * nodes
    if text.endswith("c"):
        return memory_mib(text[:-1]) * cpus
    return memory_mib(text)


def state(text: str) -> JobState:
    """`CANCELLED by 1007` → CANCELLED; an unknown word is refused."""
    try:
        return JobState(text.split(" ", 1)[0])
    except ValueError:
        raise ValueError(f"{text!r} is no state this version knows") from None


def state_of_flags(words: list[str]) -> str:
    """The state newer versions write as a list: `["PENDING", "REQUEUED"]` is an ended run, so the flag wins."""
    ended_by_flag = [word for word in words if word in (JobState.REQUEUED, JobState.RESIZING)]
    return (ended_by_flag or words or [""])[0]


# --- the same for whole columns ------------------------------------------------------------------------------------


def whole_column(texts: pl.Series) -> pl.Series:
    """Int64; null where `whole` refuses."""
    c = pl.col("text")
    number = c.cast(pl.UInt64, strict=False)                # takes a plus sign, too
    return _fast(texts, pl.when(~c.str.starts_with("+") & (number < 10**18)).then(number).cast(pl.Int64))


def instant_column(texts: pl.Series) -> pl.Series:
    """Unix seconds, Int64; null where `instant` refuses."""
    values = shaped(texts, INSTANTS)
    if values.null_count() == 0:
        return values
    c = pl.col("text")
    epoch = pl.when(_digits(c) & (c.str.len_bytes() < 12)).then(c.cast(pl.Int64, strict=False))
    return _leftovers(texts, values.fill_null(_fast(texts, epoch)), instant)


def duration_column(texts: pl.Series) -> pl.Series:
    """Milliseconds, Int64; null where `duration_ms` refuses."""
    return _leftovers(texts, shaped(texts, DURATIONS) * 1000, duration_ms)


def rss_column(texts: pl.Series) -> pl.Series:
    """KiB, Int64; null where `size_kib` refuses."""
    return _leftovers(texts, pl.Series(texts.name, [None] * len(texts), dtype=pl.Int64), size_kib)


def tres_column(texts: pl.Series) -> pl.DataFrame:
    """Columns cpus, gpus, mem_mib (Int64) and text (String); all null where `tres` refuses. Each distinct text once."""
    distinct, places = _distinct(texts)
    read = [_tres_or_none(text) for text in distinct]
    return pl.DataFrame({
        "cpus": pl.Series([one and one.cpus for one in read], dtype=pl.Int64),
        "gpus": pl.Series([one and one.gpus for one in read], dtype=pl.Int64),
        "mem_mib": pl.Series([one and one.mem_mib for one in read], dtype=pl.Int64),
        "text": pl.Series([one and one.text for one in read], dtype=pl.String),
    }).select(pl.all().gather(places))


@lru_cache(maxsize=1 << 15)
def _tres_or_none(text: str) -> Tres | None:
    return _or_none(tres, text)


def state_column(texts: pl.Series) -> pl.Series:
    """One word of JobState; null where `state` refuses."""
    distinct, places = _distinct(texts)
    return pl.Series(texts.name, [_or_none(state, text) for text in distinct], dtype=pl.String).gather(places)


def _distinct(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Each text once, and for every row which of them it has; null where it has none."""
    distinct = texts.drop_nulls().unique()
    return distinct, texts.cast(pl.Enum(distinct)).to_physical()


def _digits(c: pl.Expr) -> pl.Expr:
    return c.str.contains(r"^[0-9]{1,18}$")


def _fast(texts: pl.Series, expression: pl.Expr) -> pl.Series:
    return texts.alias("text").to_frame().select(expression.alias(texts.name)).to_series()


def _leftovers(texts: pl.Series, values: pl.Series, read: Callable[[str], int]) -> pl.Series:
    """`values`, and where they are null what `read` makes of the text."""
    if values.null_count() == 0:
        return values
    left = texts.filter(values.is_null() & texts.is_not_null() & ~texts.is_in(list(NOTHING)))
    return values.fill_null(_each_distinct(texts, read, pl.Int64(), left)) if len(left) else values


def _each_distinct(texts: pl.Series, read: Callable[[str], T], dtype: pl.DataType, among: pl.Series | None = None) -> pl.Series:
    distinct = (texts if among is None else among).drop_nulls().unique()
    known = {text: _or_none(read, text) for text in distinct}
    if not known:
        return pl.Series(texts.name, [None] * len(texts), dtype=dtype)
    return texts.replace_strict(list(known), list(known.values()), default=None, return_dtype=dtype)


def _or_none(read: Callable[[str], T], text: str) -> T | None:
    try:
        return read(text)
    except ValueError:
        return None
