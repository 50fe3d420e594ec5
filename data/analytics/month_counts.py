"""What every counter of a payer's month stood at before each job: cards with quotas, steps or packages cannot be told otherwise.

A month of facts at a time. Jobs count in the order they ended, then by run key, as in the rating function; what a month of the
site leaves of a month of the card's zone is carried into the next. Facts that were taken back count for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from data.analytics.fact_columns import ALWAYS_READ, NUMBERS, Asked, Chunk, Piece, read, run_keys
from data.analytics.lake import Lake
from engine.quick_prices import MOST, Counters, Ints, Wide

if TYPE_CHECKING:
    from data.analytics.what_if import Question

Stood = dict[str, tuple[Ints, Counters]]        # by card: the rows of a piece that it prices, and what counters were at before
_MONTHS = 2**16                                 # room for months of a payer on a line
Each = Callable[[Callable[[tuple[int, Piece]], pl.DataFrame], Sequence[tuple[int, Piece]]], Iterator[pl.DataFrame]]


@dataclass(slots=True)
class Standing:
    """Payers met so far, and what their months stand at, by counter."""

    payers: dict[str, int] = field(default_factory=dict)
    sums: dict[str, dict[int, int]] = field(default_factory=dict)


def counted(lake: Lake, question: Question, pieces: Sequence[Piece], standing: Standing, each: Each) -> list[Stood]:
    """Of every piece of one month, what its jobs found. `standing` moves on. Wide where 64 bits may not hold a count."""
    gone = _taken_back(lake, question, pieces, each)
    names = sorted({name for tariff in question.tariffs for name in tariff.counted})
    payers = standing.payers

    def look(item: tuple[int, Piece]) -> pl.DataFrame:
        return _adds(question, read(lake, item[1], question.asked), item[0], gone.get(item[0]), names, payers)

    rows = pl.concat(list(each(look, list(enumerate(pieces)))))
    order = _order(lake, question.asked, pieces, rows)
    before = {name: _before(rows["group"].to_numpy(), rows[name].to_numpy(), order, standing.sums.setdefault(name, {})) for name in names}
    return _by_piece(question, len(pieces), rows, before)


def _adds(question: Question, chunk: Chunk, place: int, gone: Ints | None, names: Sequence[str], payers: dict[str, int]) -> pl.DataFrame:
    """A row for every job on a line of the drafts: where it stands, its card and group, its end, and what it adds."""
    codes = np.array([payers.setdefault(name, len(payers)) for name in chunk.keys["payer"][1]], np.int64)[chunk.keys["payer"][0]]
    lines = {line: number for number, line in enumerate(sorted({tariff.card.line for tariff in question.tariffs}))}
    parts = []
    for number, tariff in enumerate(question.tariffs):
        rows = question.rows(chunk, tariff)
        rows = rows if gone is None else rows[~np.isin(rows, gone)]
        runs = chunk.runs.at(rows)
        adds = tariff.quantities(runs)
        months = tariff.hours.month(runs.end) if tariff.hours and len(rows) else np.zeros_like(rows)
        group = (codes[rows] * len(lines) + lines[tariff.card.line]) * _MONTHS + months // 100 * 12 + months % 100
        parts.append(pl.DataFrame({"piece": np.full(len(rows), place, np.int32), "card": np.full(len(rows), number, np.int32), "row": rows,
                                   "group": group, "end": runs.end} | {name: adds.get(name, np.zeros_like(rows)) for name in names}))
    return pl.concat(parts)


def _order(lake: Lake, asked: Asked, pieces: Sequence[Piece], rows: pl.DataFrame) -> Ints:
    """Places of `rows` by group, end and run key. Keys are looked up only where two of a group ended at once."""
    if rows.is_empty():
        return np.zeros(0, np.int64)
    groups, ends = rows["group"].to_numpy(), rows["end"].to_numpy()
    order = _sorted(groups, ends)
    same = (groups[order][1:] == groups[order][:-1]) & (ends[order][1:] == ends[order][:-1])
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    if len(tied):
        those = rows.select("piece", "row", "group", "end")[order[tied]].with_columns(place=pl.Series(order[tied]))
        order[tied] = _keyed(lake, asked, pieces, those).sort("group", "end", "run_key")["place"].to_numpy()
    return order


def _sorted(groups: Ints, ends: Ints) -> Ints:
    """By group, then end: as one number where that fits."""
    months, first = groups % _MONTHS, int(ends.min())
    width, span = int(months.max() - months.min()) + 1, int(ends.max()) - first + 1
    if (int(groups.max()) // _MONTHS + 1) * width * span >= 2**63:
        return np.lexsort((ends, groups))
    return np.argsort((groups // _MONTHS * width + months - months.min()) * span + ends - first)


def _keyed(lake: Lake, asked: Asked, pieces: Sequence[Piece], rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` with their run keys."""
    found = []
    for (place,), part in rows.partition_by("piece", as_dict=True).items():
        found.append(part.with_columns(run_key=run_keys(lake, pieces[int(place)], asked, part["row"].to_numpy())))
    return pl.concat(found)


def _before(groups: Ints, adds: Ints, order: Ints, carried: dict[int, int]) -> Ints:
    """What the counter was at before every row; `carried` moves on."""
    if not len(order):
        return np.zeros(0, np.int64)
    if float(adds.sum(dtype=np.float64)) + float(max(carried.values(), default=0)) >= MOST:
        raise Wide
    group, added = groups[order], adds[order]
    total = np.cumsum(added)
    firsts = np.append(0, np.flatnonzero(group[1:] != group[:-1]) + 1)
    lengths = np.diff(np.append(firsts, len(group)))
    base = np.array([carried.get(key, 0) for key in group[firsts].tolist()], np.int64) - (total[firsts] - added[firsts])
    stood = total - added + np.repeat(base, lengths)
    lasts = firsts + lengths - 1
    carried.update(zip(group[lasts].tolist(), (stood + added)[lasts].tolist(), strict=True))
    found = np.empty(len(stood), np.int64)
    found[order] = stood
    return found


def _by_piece(question: Question, count: int, rows: pl.DataFrame, before: Mapping[str, Ints]) -> list[Stood]:
    """As `counted` answers: rows came piece after piece, card after card."""
    places = rows["piece"].to_numpy().astype(np.int64) * len(question.tariffs) + rows["card"].to_numpy()
    bounds = np.searchsorted(places, np.arange(count * len(question.tariffs) + 1))
    row = rows["row"].to_numpy()
    found: list[Stood] = []
    for piece in range(count):
        stood: Stood = {}
        for number, tariff in enumerate(question.tariffs):
            low, high = bounds[piece * len(question.tariffs) + number:][:2]
            stood[tariff.card.name] = row[low:high], {name: values[low:high] for name, values in before.items()}
        found.append(stood)
    return found


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
