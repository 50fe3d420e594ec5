"""What every counter of a payer's month stood at before each job: cards with quotas, steps or packages cannot be told otherwise.

A month of facts at a time, and of it first only sums: by who pays, line, month of the card's zone, and a few hours of time. Where a
unit costs the same throughout such a cell, the order of its jobs does not matter; that is nearly everywhere. In the few others jobs
are put in order as the rating function does, by end, then run key. What a month of the site leaves of a month of the card's zone is
carried into the next. Facts that were taken back count for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.analytics.fact_columns import ALWAYS_READ, NUMBERS, Chunk, Piece, payers_in, read, run_keys
from data.analytics.lake import Lake
from data.analytics.month_order import Jobs, Sums
from data.analytics.names import Names
from engine.calendars import SLOT
from engine.quick_hours import Hours, Ints
from engine.quick_prices import MOST, Counter, Counters, Runs, Tariff, Wide

if TYPE_CHECKING:
    from data.analytics.what_if import Question

Each = Callable[[Callable[[tuple[int, Piece]], pl.DataFrame], Sequence[tuple[int, Piece]]], Iterator[pl.DataFrame]]
ROUND = 3                                       # months of a card's zone that a month of the site may touch
BEFORE, SPAN = 2 * 86_400 // SLOT, 36 * 86_400 // SLOT       # slots that are looked at: from two days before it
CELLS, MOST_TIMES = 2**20, 64
N = TypeVar("N", bound=np.generic)
_PART = 21                                      # bits: sums of so small numbers are exact in doubles


@dataclass(frozen=True, slots=True)
class Cells:
    """Where jobs stand: each at `at` among rows of `width` columns, the first of which is column `first` of all."""

    at: Ints
    first: int
    width: int
    sums: Sums
    total: float                # of all that they add

    def of(self, table: NDArray[N]) -> NDArray[N]:
        """What `table` has at each job's cell."""
        found: NDArray[N] = np.ascontiguousarray(table[:, self.first:self.first + self.width]).reshape(-1).take(self.at.astype(np.int64))
        return found


@dataclass(frozen=True, slots=True)
class Priced:
    """The facts of a piece that a card prices, and what is known of them. `cells` is None where no month counts; else of `runs` is
    held what pricing still reads."""

    tariff: Tariff
    rows: Ints
    runs: Runs
    plain: Counters
    quantities: Counters        # of meters that are counted
    cells: Cells | None


@dataclass(frozen=True, slots=True)
class Look:
    """A piece that was read: what its sums need, and its facts by card. All of a month are held at once: as small as they can be."""

    piece: Piece
    chunk: Chunk
    cards: tuple[Priced, ...]

    @classmethod
    def of(cls, piece: Piece, chunk: Chunk, cards: tuple[Priced, ...]) -> Look:
        """Of the facts only what their sums need."""
        keys = {key: (_small(places), names) for key, (places, names) in chunk.keys.items()}
        return cls(piece, replace(chunk, runs=chunk.runs.at(np.zeros(0, np.int64)), keys=keys), cards)

    def wide(self) -> Chunk:
        """The facts as they were read."""
        return replace(self.chunk, keys={key: (places.astype(np.int64), names) for key, (places, names) in self.chunk.keys.items()})


@dataclass(frozen=True, slots=True)
class Stood:
    """What a month's cells cost a unit, by card and counter; and of those where order matters, by piece and card, the jobs' places
    and what the counters stood at before."""

    slopes: Mapping[tuple[str, str], Ints]
    exact: Sequence[Mapping[str, tuple[Ints, Counters]]]

    def laddered(self, piece: int, card: Priced) -> Counters:
        """What each job costs by every counter on a ladder."""
        places, before = self.exact[piece].get(card.tariff.card.name, (None, {}))
        found: dict[str, Ints] = {}
        for counter in card.tariff.on_ladders:
            assert card.cells is not None
            own = card.quantities[counter.name].astype(np.int64)
            cost = own * card.cells.of(self.slopes[card.tariff.card.name, counter.name])
            if places is not None:
                cost[places] = counter.cost(before[counter.name], own[places])
            found[counter.name] = cost
        return found


@dataclass(frozen=True, slots=True)
class Month:
    """A month of the site: its first day, into how many spans of time it is cut, and by piece the rows that count for nothing."""

    first: date
    times: int
    gone: Mapping[int, Ints]

    @property
    def zero(self) -> int:
        """The month before it, counted from the year 0: the first of ROUND."""
        return self.first.year * 12 + self.first.month - 2


@dataclass(slots=True)
class Counting:
    """Goes through months in order: `look` at all pieces of one (several at once), then `stood`. The next may be begun before."""

    lake: Lake
    question: Question
    _payers: Names = field(default_factory=Names)
    _codes: dict[str, Ints] = field(default_factory=dict)                   # by line, of every payer: the number, or -1
    _lines: list[str] = field(default_factory=list)                         # by number
    _carried: dict[tuple[str, int], Ints] = field(default_factory=dict)     # by counter and month: what it stands at, by code
    _lock: Lock = field(default_factory=Lock)

    def begin(self, month: date, pieces: Sequence[Piece], each: Each) -> Month:
        """A month of the site."""
        many = max(len(self._lines), payers_in(self.lake, pieces[0]), 1)
        return Month(month, max(1, min(MOST_TIMES, CELLS // (ROUND * many))), _taken_back(self.lake, self.question, pieces, each))

    def look(self, month: Month, place: int, piece: Piece) -> Look:
        """Read a piece and put its jobs into their cells. Wide where 64 bits may not hold what they add."""
        chunk, gone = read(self.lake, piece, self.question.asked), month.gone.get(place)
        who, columns = self._payers.of([*chunk.keys["payer"][1], ""]), _Columns(month, chunk.runs.end)
        cards = tuple(self._priced(chunk, tariff, gone, who, columns) for tariff in self.question.tariffs)
        return Look.of(piece, chunk, cards)

    def _priced(self, chunk: Chunk, tariff: Tariff, gone: Ints | None, who: Ints, columns: _Columns) -> Priced:
        rows = self.question.rows(chunk, tariff)
        rows = rows if gone is None else rows[~np.isin(rows, gone)]
        runs = chunk.runs.at(rows)
        if not tariff.counted or not len(rows):
            return Priced(tariff, rows, runs, {}, {}, None)
        assert tariff.hours is not None
        quantities, codes = tariff.quantities(runs), self._codes_of(tariff.card.line, who, chunk.keys["payer"][0].take(rows))
        column, first, width = columns.of(tariff.hours)
        at = codes * width + column.take(rows)
        adds = {name: quantities[name] for name in tariff.counted if name in quantities}
        sums = {name: _summed(at, values, (int(codes.max()) + 1) * width).reshape(-1, width) for name, values in adds.items()}
        total = max((float(values.sum(dtype=np.float64)) for values in adds.values()), default=0.0)
        held, cells = tariff.held(replace(runs, end=_small(runs.end))), Cells(_small(at), first, width, sums, total)
        small = {name: _small(values) for name, values in adds.items()}
        return Priced(tariff, _small(rows), held, tariff.plain(runs, quantities), small, cells)

    def _codes_of(self, line: str, who: Ints, payer: Ints) -> Ints:
        """Of every job the number of who pays for it on the line."""
        codes = self._known_codes(line, who).take(payer)
        if codes.min() >= 0:
            return codes
        with self._lock:
            own = np.unique(who[payer[codes < 0]])
            own = own[self._known_codes(line, own) < 0]
            known = np.full(len(self._payers), -1)
            known[:len(self._codes.get(line, ()))] = self._codes.get(line, ())
            known[own] = np.arange(len(self._lines), len(self._lines) + len(own))
            self._codes[line] = known
            self._lines += [line] * len(own)
        return self._known_codes(line, who).take(payer)

    def _known_codes(self, line: str, who: Ints) -> Ints:
        """Of those who pay; -1 where one has none."""
        known = self._codes.get(line, who[:0])
        return np.append(known, -1).take(np.minimum(who, len(known)))

    def stood(self, month: Month, looks: Sequence[Look]) -> Stood:
        """What the month's jobs found, when all of it was looked at. Wide where 64 bits may not hold a count."""
        cells, lines = [card.cells for look in looks for card in look.cards if card.cells], np.array(self._lines)
        before, after = self._sums(month, cells, len(lines))
        first, end = min((one.first for one in cells), default=0), max((one.first + one.width for one in cells), default=0)
        bent, slopes = np.zeros((len(lines), ROUND * month.times), bool), {}
        for tariff in self._asked():
            who = np.flatnonzero(lines == tariff.card.line)
            for counter in tariff.on_ladders:
                stands = before[counter.name][who, first:end]
                bent[who, first:end] |= counter.bends(stands, after[counter.name][who, first:end])
                slope = slopes[tariff.card.name, counter.name] = np.zeros(bent.shape, np.int64)
                slope[who, first:end] = counter.slope(stands)
        ladders = [(lines == tariff.card.line, counter) for tariff in self._asked() for counter in tariff.on_ladders]
        return Stood(slopes, self._in_order(looks, bent, before, ladders))

    def _asked(self) -> list[Tariff]:
        return [tariff for tariff in self.question.tariffs if tariff.card.name in self.question.new.names and tariff.counted]

    def _sums(self, month: Month, cells: Sequence[Cells], count: int) -> tuple[Sums, Sums]:
        """What every counter stood at before and after each cell; carries it on."""
        before, after = Sums(), Sums()
        for name in sorted({name for tariff in self.question.tariffs for name in tariff.counted}):
            added = np.zeros((count, ROUND * month.times), np.int64)
            for one in cells:
                if name in one.sums:
                    added[:len(one.sums[name]), one.first:one.first + one.width] += one.sums[name]
            by_month = added.reshape(count, ROUND, month.times)
            carried = np.stack([self._known(name, month.zero + place, count) for place in range(ROUND)], axis=1)
            if sum(one.total for one in cells) + float(carried.max(initial=0)) >= MOST:
                raise Wide
            stands = np.cumsum(by_month, axis=2) + carried[:, :, None]
            self._carried |= {(name, month.zero + place): stands[:, place, -1] for place in range(ROUND)}
            before[name], after[name] = (stands - by_month).reshape(added.shape), stands.reshape(added.shape)
        return before, after

    def _known(self, name: str, month: int, count: int) -> Ints:
        found = np.zeros(count, np.int64)
        carried = self._carried.get((name, month), found[:0])
        found[:len(carried)] = carried
        return found

    def _in_order(self, looks: Sequence[Look], bent: NDArray[np.bool_], before: Sums,
                  ladders: Sequence[tuple[NDArray[np.bool_], Counter]]) -> list[dict[str, tuple[Ints, Counters]]]:
        """The jobs of bent cells, put in order: by piece and card their places and what counters stood at."""
        found: list[dict[str, tuple[Ints, Counters]]] = [{} for _ in looks]
        parts = [(piece, card, places) for piece, look in enumerate(looks) for card in look.cards
                 if card.cells and len(places := np.flatnonzero(card.cells.of(bent)))]
        if not parts:
            return found
        jobs = _jobs(parts, before, bent.shape[1])
        stands = jobs.stood(ladders, lambda tied: self._keys(looks, parts, tied))
        start = 0
        for piece, card, places in parts:
            found[piece][card.tariff.card.name] = places, {name: own[start:start + len(places)] for name, own in stands.items()}
            start += len(places)
        return found

    def _keys(self, looks: Sequence[Look], parts: Sequence[tuple[int, Priced, Ints]], tied: Ints) -> pl.Series:
        """The run keys of some jobs, counted through all parts, ascending."""
        found, start = [pl.Series(dtype=pl.String)], 0
        for piece, card, places in parts:
            own = tied[(tied >= start) & (tied < start + len(places))] - start
            if len(own):
                found.append(run_keys(self.lake, looks[piece].piece, self.question.asked, card.rows[places[own]]))
            start += len(places)
        return pl.concat(found)


def _jobs(parts: Sequence[tuple[int, Priced, Ints]], before: Sums, columns: int) -> Jobs:
    cells, adds = [], Sums()
    for _, card, places in parts:
        assert card.cells is not None
        at = card.cells.at[places].astype(np.int64)
        cells.append(at // card.cells.width * columns + at % card.cells.width + card.cells.first)
    for name in before:
        adds[name] = np.concatenate([card.quantities[name][places] if name in card.quantities else np.zeros_like(places)
                                     for _, card, places in parts], dtype=np.int64)
    cell, end = np.concatenate(cells), np.concatenate([card.runs.end[places] for _, card, places in parts], dtype=np.int64)
    return Jobs(cell, columns, end, adds, {name: values.reshape(-1)[cell] for name, values in before.items()})


@dataclass(slots=True)
class _Columns:
    """The columns of a piece's jobs, worked out once for all cards of a zone."""

    month: Month
    ends: Ints
    _known: dict[int, tuple[Ints, int, int]] = field(default_factory=dict)

    def of(self, hours: Hours) -> tuple[Ints, int, int]:
        """From the first one on; which one that is, and how many there are."""
        if id(hours) not in self._known:
            column = _columns(hours, self.month, self.ends)
            first = int(column.min())
            self._known[id(hours)] = column - first, first, int(column.max()) - first + 1
        return self._known[id(hours)]


def _columns(hours: Hours, month: Month, ends: Ints) -> Ints:
    """The column of each end: `times` for each of ROUND months of the card's zone, from the one before `month` on. Wide where it is
    in none of them, which no job of a month of the site is."""
    lowest = int(datetime(month.first.year, month.first.month, 1, tzinfo=UTC).timestamp()) // SLOT - BEFORE
    slots = np.arange(lowest - hours.first, lowest - hours.first + SPAN)
    known = (slots >= 0) & (slots < len(hours.months))
    months = hours.months[np.clip(slots, 0, len(hours.months) - 1)]
    number = months // 100 * 12 + months % 100 - 1 - month.zero
    table = np.where(known & (number >= 0) & (number < ROUND), number * month.times + np.arange(SPAN) * month.times // SPAN, -1)
    places = ends // SLOT - lowest
    if int(places.min()) < 0 or int(places.max()) >= SPAN or int((column := table.take(places)).min()) < 0:
        raise Wide
    return np.asarray(column, np.int64)


def _small(values: Ints) -> NDArray[Any]:
    """In as few bytes as hold them."""
    return values.astype(np.min_scalar_type(-1 - max(int(values.max(initial=0)), -1 - int(values.min(initial=0)))))


def _summed(at: Ints, values: Ints, count: int) -> Ints:
    """Sums by place, exact: of numbers that doubles may not hold part by part."""
    if float(values.max(initial=0)) * len(values) < 2.0**53:
        return np.bincount(at, values, count).astype(np.int64)
    parts = [np.bincount(at, values >> shift & 2**_PART - 1, count).astype(np.int64) << shift for shift in range(0, 63, _PART)]
    return np.asarray(sum(parts), np.int64)


def _taken_back(lake: Lake, question: Question, pieces: Sequence[Piece], each: Each) -> dict[int, Ints]:
    """By piece, the rows that count for nothing: those that take one back, and the one that each takes back."""
    if not question.corrected:
        return {}
    items = list(enumerate(pieces))
    all_read = replace(question.asked, columns=tuple(dict.fromkeys([*question.asked.columns, *NUMBERS.values(), "run_key"])))

    def corrected(item: tuple[int, Piece]) -> pl.DataFrame:
        chunk = read(lake, item[1], replace(question.asked, columns=(*ALWAYS_READ, "run_key")))
        return pl.DataFrame({"run_key": _keys(chunk).filter(pl.Series(chunk.jobs < 0))})

    again = pl.concat(list(each(corrected, items)))["run_key"].unique()

    def facts(item: tuple[int, Piece]) -> pl.DataFrame:
        return _measured(read(lake, item[1], all_read), item[0]).filter(pl.col("run_key").is_in(again.implode()))

    every = pl.concat(list(each(facts, items)))
    measures = [name for name in every.columns if name not in ("piece", "row", "jobs")]
    ranked = every.with_columns(turn=pl.int_range(pl.len()).over([*measures, "jobs"]), back=(pl.col("jobs") < 0).sum().over(measures))
    gone = ranked.filter((pl.col("jobs") < 0) | (pl.col("turn") < pl.col("back")))
    return {int(place): part["row"].to_numpy() for (place,), part in gone.partition_by("piece", as_dict=True).items()}


def _keys(chunk: Chunk) -> pl.Series:
    assert chunk.run_key is not None
    return chunk.run_key.cast(pl.String)


def _measured(chunk: Chunk, place: int) -> pl.DataFrame:
    """What makes a fact and the one that takes it back the same."""
    runs, cost = chunk.runs, chunk.cost * chunk.jobs
    names = {key: pl.Series(known, dtype=pl.String).gather(places) for key, (places, known) in chunk.keys.items()}
    return pl.DataFrame({"piece": np.full(len(cost), place, np.int32), "row": np.arange(len(cost)), "run_key": _keys(chunk),
                         "jobs": chunk.jobs, "cost": cost, **names, **{name: getattr(runs, name) for name in runs.__slots__}})
