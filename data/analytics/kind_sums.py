"""Sums of jobs that were priced anew: in all, by tier, account, day and payer, exact to the micro-unit.

Of a piece they are counted in doubles, of numbers small enough that no sum of them is rounded, and added up in 64 bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.analytics.fact_columns import KEYS, Chunk
from data.analytics.names import Names
from engine.errors import MoneyError
from engine.quick_hours import Ints
from engine.quick_prices import MOST
from engine.rerating import SUM_SCHEMA

SUMS = ("jobs", "changed_jobs", "before_micro", "after_micro")
KINDS = ("all", "tier", "account", "day", "payer")
Part: TypeAlias = dict[str, tuple[list[str], Ints]]      # by kind of sum: names, and of each SUMS, a row a sum
_BITS, _FLAG = 24, 2.0**25


class Totals:
    """The sums of all pieces so far."""

    def __init__(self) -> None:
        self._names = {kind: Names() for kind in KINDS}
        self._sums = {kind: np.zeros((len(SUMS), 0), np.int64) for kind in KINDS}
        self._most = np.zeros(len(SUMS))        # no total is larger

    def add(self, part: Part) -> None:
        """Take some sums; names of a kind stand there once."""
        for kind, (names, sums) in part.items():
            numbers = self._names[kind].of(names)
            missing = len(self._names[kind]) - self._sums[kind].shape[1]
            if missing:
                self._sums[kind] = np.pad(self._sums[kind], ((0, 0), (0, missing)))
            self._sums[kind][:, numbers] += sums
            self._most += np.abs(sums).sum(axis=1, dtype=np.float64)

    def frame(self) -> pl.DataFrame:
        """As SUM_SCHEMA has them; nothing stands on receipts. Raises MoneyError where one does not fit 64 bits."""
        if self._most.max() >= MOST * len(KEYS):
            raise MoneyError("An amount does not fit 64 bits.")
        zero = [pl.lit(0, pl.Int64).alias(name) for name in ("receipted_jobs", "receipted_difference_micro")]
        every = pl.concat([self._of_kind(kind) for kind in KINDS])
        return every.filter(pl.col("jobs") != 0).with_columns(zero).select(*SUM_SCHEMA).sort("kind", "name")

    def _of_kind(self, kind: str) -> pl.DataFrame:
        names = pl.Series(self._names[kind].all(), dtype=pl.String)
        return pl.DataFrame({"kind": pl.repeat(kind, len(names), dtype=pl.String, eager=True), "name": names,
                             **dict(zip(SUMS, self._sums[kind], strict=True))})


def summed(chunk: Chunk, rows: Ints | slice, price: Ints) -> list[Part]:
    """By each kind: some facts of `chunk`, all of which `price` has prices for. In several parts where one might be too large."""
    jobs, cost, day = chunk.jobs[rows], chunk.cost[rows], chunk.day[rows]
    after = price[rows] * jobs
    if not len(jobs):
        return []
    largest = float(max(most for values in (cost, after) for most in (values.max(), -values.min())))
    if len(jobs) >= 2**23 or largest / 2**_BITS * len(jobs) >= 2**52:
        every, middle = np.arange(len(price))[rows], len(jobs) // 2
        return [*summed(chunk, every[:middle], price), *summed(chunk, every[middle:], price)]
    whole = largest * len(jobs) < 2**52 or all(float(np.abs(values).sum(dtype=np.float64)) < 2**51 for values in (cost, after))
    parts = _whole if whole else _cut
    floats = [jobs * (_FLAG + (after != cost)), *(values.astype(np.float64) for values in (*parts(cost), *parts(after)))]
    first, last = int(day.min()), int(day.max())
    days = np.datetime_as_string(np.arange(first, last + 1).astype("datetime64[D]")).tolist()
    named = {kind: (chunk.keys[key][0][rows], chunk.keys[key][1]) for kind, key in zip(("tier", "account", "payer"), KEYS, strict=True)}
    payer, payers = named["payer"]
    places = payer if first == last else payer * len(days) + (day - first)
    sums = _sums(places, floats, len(payers) * len(days)).reshape(len(SUMS), -1, len(days))
    by_payer = sums.sum(2)
    return [{"all": ([""], sums.sum((1, 2))[:, None]), "day": (days, sums.sum(1)), "payer": (payers, by_payer),
             **_of_payers(named, payer, by_payer, floats)}]


def _of_payers(named: Mapping[str, tuple[Ints, list[str]]], payer: Ints, by_payer: Ints, floats: Sequence[NDArray[np.float64]]) -> Part:
    """Sums by what nearly every payer has one of: where all have, from theirs."""
    (tiers, tier_names), (accounts, account_names) = named["tier"], named["account"]
    both, own = accounts * len(tier_names) + tiers, np.full(by_payer.shape[1], -1)
    own[payer] = both
    if not (own.take(payer) == both).all():
        return {"tier": (tier_names, _sums(tiers, floats, len(tier_names))),
                "account": (account_names, _sums(accounts, floats, len(account_names)))}
    there = np.flatnonzero(own >= 0)
    found: Part = {}
    for kind, names, places in (("tier", tier_names, own % len(tier_names)), ("account", account_names, own // len(tier_names))):
        found[kind] = names, np.zeros((len(SUMS), len(names)), np.int64)
        np.add.at(found[kind][1].T, places[there], by_payer.T[there])
    return found


def _whole(values: Ints) -> list[Ints]:
    return [values]


def _cut(values: Ints) -> list[Ints]:
    """Their lower bits and the rest: sums of either are small."""
    return [values & 2**_BITS - 1, values >> _BITS]


def _sums(places: Ints, floats: Sequence[NDArray[np.float64]], count: int) -> Ints:
    """SUMS, each in a row, of what stands at the same of `count` places."""
    flags, *sums = (np.bincount(places, weights, count).astype(np.int64) for weights in floats)
    whole = int(_FLAG)
    jobs = (flags + whole // 2) // whole
    before, after = sums if len(sums) == 2 else (sums[0] + (sums[1] << _BITS), sums[2] + (sums[3] << _BITS))
    return np.stack([jobs, flags - jobs * whole, before, after])
