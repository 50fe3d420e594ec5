"""What decides about time, ready for millions of runs at once: the factor of every quarter hour, and its month.

The same table of quarter hours as rating joins (engine/calendars.py), looked up. Refuses to know prices.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.calendars import ONE, SLOT, Calendar, calendar_table

Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Hours:
    """What decides about time: of every quarter hour from `first` on its factor, over `one`; what a run weighs until an instant t
    in it, less factor × t; its month."""

    first: int
    one: int
    weights: Ints
    factors: Ints
    months: Ints

    @property
    def modified(self) -> bool:
        """Whether some instant costs another price than another."""
        return bool((self.factors != self.one).any())

    def weighed(self, begin: Ints, end: Ints) -> tuple[Ints, Ints]:
        """What runs weigh, over what; one that took no time has the factor of its end."""
        weight, long = self._until(end) - self._until(begin), end - begin
        none = np.flatnonzero(long == 0)
        weight[none], long[none] = self.factors[end[none] // SLOT - self.first], 1
        return weight, long * self.one

    def month(self, instants: Ints) -> Ints:
        """Year × 100 + month in the card's zone."""
        return self.months[instants // SLOT - self.first]

    def _until(self, instants: Ints) -> Ints:
        """What a run weighs until then that began with the first quarter hour. It may wrap on the way; differences are right."""
        slots = instants // SLOT - self.first
        return self.factors.take(slots) * instants + self.weights.take(slots)


def hours_of(calendar: Calendar, first: int, last: int) -> Hours:
    """For runs from `first` to `last`, Unix seconds, both within."""
    table = calendar_table([calendar], first, last)
    shared, begin = gcd(ONE, *table["ppm"].unique().to_list()), first // SLOT
    factors, instants = (table["ppm"] // shared).to_numpy(), np.arange(begin, begin + len(table)) * SLOT
    return Hours(begin, ONE // shared, (table["weight"] // shared).to_numpy() - factors * instants, factors, table["month"].to_numpy())
