"""Jobs of a month in the order in which they count: by end, then run key. Refuses to know where they come from.

Run keys are asked for only where a step, fee or package falls among jobs that ended at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.quick_hours import Ints
from engine.quick_prices import Counter

Sums: TypeAlias = dict[str, Ints]               # by counter


@dataclass(frozen=True, slots=True)
class Jobs:
    """Jobs of cells in which order matters: which cell, their end (both may be of 32 bits), and what they add."""

    cell: Ints
    columns: int                # of cells beside each other, which are one payer's
    end: Ints
    adds: Sums
    begin: Sums                 # what counters stood at before the cell

    def stood(self, ladders: Sequence[tuple[NDArray[np.bool_], Counter]], keys: Callable[[Ints], pl.Series]) -> Sums:
        """What counters stood at before every job. `keys` are asked for only where two ended at once and their order matters."""
        first = int(self.end.min())
        when = self.cell.astype(np.int64) * (int(self.end.max()) - first + 1) + self.end - first
        order = np.argsort(when, kind="stable")
        stands = {name: self._before(name, order) for name in self.adds}
        tied = self._tied(when, order, stands, ladders)
        if len(tied):
            rows = np.sort(order[tied])
            those = pl.DataFrame({"row": rows, "when": when[rows], "run_key": keys(rows)}).sort("when", "run_key")
            order[tied] = those["row"].to_numpy()
            stands = {name: self._before(name, order) for name in self.adds}
        return stands

    def _before(self, name: str, order: Ints) -> Ints:
        cell, added = self.cell[order], self.adds[name][order]
        total = np.cumsum(added) - added
        firsts = np.append(0, np.flatnonzero(cell[1:] != cell[:-1]) + 1)
        base = self.begin[name][order][firsts] - total[firsts]
        found = np.empty_like(total)
        found[order] = total + np.repeat(base, np.diff(np.append(firsts, len(cell))))
        return found

    def _tied(self, when: Ints, order: Ints, stands: Sums, ladders: Sequence[tuple[NDArray[np.bool_], Counter]]) -> Ints:
        """Places in `order` of jobs of a cell that ended at once and among which a ladder bends."""
        ordered = when[order]
        firsts = np.append(0, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1)
        lengths = np.diff(np.append(firsts, len(ordered)))
        firsts, lengths = firsts[lengths > 1], lengths[lengths > 1]
        lasts, who = order[firsts + lengths - 1], self.cell[order[firsts]] // self.columns
        bent = np.zeros(len(firsts), bool)
        for own, counter in ladders:
            name = counter.name
            bent |= own[who] & counter.bends(stands[name][order[firsts]], stands[name][lasts] + self.adds[name][lasts])
        places = [np.arange(start, start + length) for start, length in zip(firsts[bent].tolist(), lengths[bent].tolist(), strict=True)]
        return np.concatenate([np.zeros(0, np.int64), *places])
