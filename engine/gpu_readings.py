"""What a node says of itself: its GPUs in `nvidia-smi`'s words, and its clock. Pure: runs nothing and has no clock.

What the driver does not know (`[N/A]`) is None, never zero; anything else that cannot be read is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.errors import DomainError

FIELDS = ("index", "memory.total", "memory.used", "utilization.gpu", "temperature.gpu", "name")     # the name last: it may hold commas
MOST_GPUS = 64
MOST_MIB = 2**31
UNKNOWN = frozenset({"[N/A]", "N/A", "[Not Supported]"})
_DATE = re.compile(r"([0-9]{9,11})(?:\.([0-9]{1,9}))?", re.ASCII)
_MAKERS = frozenset({"nvidia", "tesla", "geforce", "quadro", "graphics", "device"})


class BadReading(DomainError):
    """The node's GPUs or clock cannot be read."""

    code, status = "bad_reading", 502


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One GPU at one moment; None is what its driver does not know (all memory on some boards, the load with MIG)."""

    index: int
    name: str
    memory_mib: int | None
    memory_used_mib: int | None
    utilisation_percent: int | None
    temperature_c: int | None = None


@dataclass(frozen=True, slots=True)
class Gpus:
    """What a node is sold as: `count` GPUs of one `model`, each with `memory_mib` (None where the driver does not know)."""

    model: str
    count: int
    memory_mib: int | None


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """How far a node's clock is ahead of ours in ms, and how far off that may be either way."""

    offset_ms: int
    within_ms: int


def parse_gpus(text: str) -> tuple[GpuReading, ...]:
    """The lines of `--query-gpu=FIELDS --format=csv,noheader,nounits`, in order of index."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or lines[0].lower().startswith("no devices"):
        raise BadReading("The driver finds no GPU.")
    if lines[0].startswith("NVIDIA-SMI has failed"):
        raise BadReading("nvidia-smi does not reach the NVIDIA driver: is it installed and loaded?")
    if len(lines) > MOST_GPUS:
        raise BadReading(f"nvidia-smi names more than {MOST_GPUS} GPUs.")
    readings = sorted((_reading(line) for line in lines), key=lambda reading: reading.index)
    if [reading.index for reading in readings] != list(range(len(readings))):
        raise BadReading("nvidia-smi does not number its GPUs from 0 without a gap.")
    return tuple(readings)


def sold_as(readings: Sequence[GpuReading]) -> Gpus:
    """One model and one size of memory, or a refusal: a node has one price per GPU."""
    kinds = {(reading.name, reading.memory_mib) for reading in readings}
    if len(kinds) != 1:
        names = ", ".join(sorted(f"{name} with {memory} MiB" for name, memory in kinds))
        raise BadReading(f"The node has different GPUs ({names}): a node is sold as one kind.")
    (name, memory_mib), = kinds
    return Gpus(name, len(readings), memory_mib)


def rate_model(name: str) -> str:
    """How a rate card would call it, to begin with: `a100` for NVIDIA A100-SXM4-80GB, `rtx4090` for NVIDIA GeForce RTX 4090."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word and word not in _MAKERS]
    if len(words) > 1 and words[0] in ("rtx", "gtx", "titan"):
        return words[0] + words[1]
    return words[0] if words else "gpu"


def clock_offset(remote: str, before: datetime, after: datetime) -> ClockOffset:
    """What `date +%s.%N` said there, asked at our `before` and answered at our `after`: the truth lies between the two."""
    found = _DATE.fullmatch(remote.strip())
    if found is None:
        raise BadReading(f"Its clock says {_shown(remote)}, which is no time.")
    if after < before:
        raise BadReading("Our own clock went back while the node's was read.")
    whole, fraction = found[1], found[2]
    remote_us = int(whole) * 10**6 + int((fraction or "5").ljust(9, "0")) // 1000     # without a fraction: the middle of the second
    round_trip_us = (after - before) // timedelta(microseconds=1)
    doubt_us = round_trip_us // 2 + (0 if fraction else 500_000)
    return ClockOffset((remote_us - _us(before) - round_trip_us // 2) // 1000, -(-doubt_us // 1000))


def _us(at: datetime) -> int:
    return (at - datetime.fromtimestamp(0, at.tzinfo)) // timedelta(microseconds=1)


def _reading(line: str) -> GpuReading:
    values = [value.strip() for value in line.split(",", len(FIELDS) - 1)]
    if len(values) != len(FIELDS):
        raise BadReading(f"nvidia-smi says {_shown(line)}.")
    index, total, used, load, degrees, name = values
    number = _number(index, "index", 10**4, line)
    if number is None or not name or name in UNKNOWN or not name.isprintable() or len(name) > 128:
        raise BadReading(f"nvidia-smi does not name a GPU: {_shown(line)}.")
    return GpuReading(number, name, _number(total, "memory.total", MOST_MIB, line), _number(used, "memory.used", MOST_MIB, line),
                      _number(load, "utilization.gpu", 100, line), _number(degrees, "temperature.gpu", 1000, line))


def _number(value: str, field: str, most: int, line: str) -> int | None:
    if value in UNKNOWN:
        return None
    if not re.fullmatch(r"[0-9]{1,10}", value, re.ASCII) or int(value) > most:
        raise BadReading(f"nvidia-smi says {_shown(value)} for {field}, in {_shown(line)}.")
    return int(value)


def _shown(text: str) -> str:
    return repr("".join(c for c in text.strip() if c.isprintable())[:120])
