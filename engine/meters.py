"""Meters: what can be priced, the unit a price is for, and the base quantity it is counted in.

A price is for one unit (a core-hour); usage is counted in whole base quantities (core-seconds). Refuses to know prices.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Meter(StrEnum):
    """What is counted. The order is the one prices are shown in."""

    CPU = "cpu"
    """CPU cores over time."""
    GPU = "gpu"
    """GPUs over time; a price may name a model."""
    MEM = "mem"
    """Memory over time; Slurm's G is 1024 M."""
    NODE = "node"
    """Whole nodes over time, from AllocTRES `node`."""
    BILLING = "billing"
    """Slurm's own weighted units over time, from AllocTRES `billing`; what the policy billing_tres charges."""
    TOKENS = "tokens"
    """Tokens of a language model."""
    SPARKS = "sparks"
    """Sparks, the credits of an assistant."""
    STORAGE = "storage"
    """Bytes kept over time: a GB is 10⁹ bytes, a month 30 days."""
    SESSION = "session"
    """Time of an interactive or network session."""

    @property
    def unit(self) -> str:
        """What one price is for, in words: `core-hour`."""
        return _MEASURES[self].unit

    @property
    def unit_size(self) -> int:
        """Base quantities in one unit: 3600 core-seconds in a core-hour."""
        return _MEASURES[self].unit_size

    @property
    def base(self) -> str:
        """The base quantity in words: `core-seconds`."""
        return _MEASURES[self].base


@dataclass(frozen=True, slots=True)
class _Measure:
    unit: str
    unit_size: int
    base: str


_MEASURES = {
    Meter.CPU: _Measure("core-hour", 3600, "core-seconds"),
    Meter.GPU: _Measure("GPU-hour", 3600, "GPU-seconds"),
    Meter.MEM: _Measure("GiB-hour", 3600 * 1024, "MiB-seconds"),
    Meter.NODE: _Measure("node-hour", 3600, "node-seconds"),
    Meter.BILLING: _Measure("billing-unit-hour", 3600, "billing-unit-seconds"),
    Meter.TOKENS: _Measure("million tokens", 10**6, "tokens"),
    Meter.SPARKS: _Measure("Spark", 1, "Sparks"),
    Meter.STORAGE: _Measure("GB-month", 1000 * 30 * 86_400, "MB-seconds"),
    Meter.SESSION: _Measure("session-minute", 60, "seconds"),
}
RUN_METERS = (Meter.CPU, Meter.GPU, Meter.MEM, Meter.NODE, Meter.BILLING)         # what a Slurm run has
