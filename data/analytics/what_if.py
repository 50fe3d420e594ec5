"""What other cards would make of the jobs in the copy: sums before and after, every job priced to the micro-unit, nothing kept.

Piece by piece, two at a time: which card prices a job, what it costs (engine/quick_prices.py), and the sums of the piece. A piece
with runs too large for 64 bits goes through the rating function itself.
"""
# ruff: noqa: S608  statements are put together from constants; every value is bound

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeAlias, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.analytics.fact_columns import ALWAYS_READ, KEYS, NUMBERS, Asked, Chunk, Piece, period, pieces, read, span, texts_of
from data.analytics.lake import Lake
from data.analytics.month_counts import Counting, Look, Priced, Stood
from engine.errors import MoneyError, RateError
from engine.quick_prices import MOST, Counters, Ints, Runs, Tariff, Wide, tariffs
from engine.rate_frames import Book, book_of
from engine.rates import NODE_TIER, Policy
from engine.rating import rate
from engine.rerating import SUM_SCHEMA, Drafted

WORKERS = min(4, os.cpu_count() or 1)
SUMS = ("jobs", "changed_jobs", "before_micro", "after_micro")
_PERIOD = ("($since::timestamptz is null or (end_at >= $since and day >= $since::date - 1))"
           " and ($until::timestamptz is null or (end_at < $until and day <= $until::date + 1))")
Progress: TypeAlias = Callable[[float], None]
T = TypeVar("T")
R = TypeVar("R")
Part: TypeAlias = dict[str, tuple[list[str], Ints]]      # by kind of sum: names, and of each SUMS, a row a sum


def silent(_: float) -> None:
    """Progress nobody asked for."""


@dataclass(frozen=True, slots=True)
class Question:
    """The drafts, ready: the cards of their lines, whose are the drafts', and what is read of a fact."""

    new: Drafted
    tariffs: Sequence[Tariff]
    asked: Asked
    counts_from: int | None     # jobs that ended before are only counted
    corrected: bool             # some facts take others back

    def rows(self, chunk: Chunk, tariff: Tariff) -> Ints:
        """The facts that a card prices."""
        card, end = tariff.card, chunk.runs.end
        if card.project:
            found = chunk.named("account_name", card.project) & ~chunk.named("tier", NODE_TIER)
        else:
            found = chunk.named("tier", card.tier)
            for account, since in self._projects:
                found &= ~(chunk.named("account_name", account) & (end >= since))
        return np.flatnonzero(found & (end >= tariff.since) & (end < tariff.until))

    @property
    def _projects(self) -> list[tuple[str, int]]:
        """Accounts that have cards of their own, and from when."""
        table = self.new.book.projects_table
        rows = () if table is None else table.iter_rows(named=True)
        return [(row["_account"], row["_project_from"]) for row in rows if row["_project"] is not None]


def what_if(lake: Lake, new: Drafted, since: datetime | None, until: datetime | None, progress: Progress = silent) -> pl.DataFrame:
    """Sums by every kind (SUM_SCHEMA) over the jobs that ended in [since, until) and that the drafts price. The copy does not
    know receipts: `receipted_…` are zero. `progress` is told the share that is done. Raises duckdb.Error, Wide where a month
    cannot be counted in 64 bits; RateError and MoneyError as rating does."""
    begin = new.begin(since)
    _check_currency(lake, new, since, until)
    months = pieces(lake, begin, until)
    question = _question(lake, new, since, begin, until, [piece for some in months.values() for piece in some])
    found: list[Part] = []
    for done, part in enumerate(_answers(lake, question, months), 1):
        found.append(part)
        progress(done / sum(map(len, months.values())))
    return _by_kind(found)


def _question(lake: Lake, new: Drafted, since: datetime | None, begin: datetime | None, until: datetime | None,
              every: Sequence[Piece]) -> Question:
    book, lines = new.book, {card.line for card in new.drafts}
    starts, ends = period(begin, until)
    texts = _texts(lake, every, starts, ends) if book.texts else []
    first, last = _span(lake, every, begin, until) if book.calendars else (0, 0)
    prepared = tariffs(book, sorted(lines), texts, first, last)
    asked = Asked(starts, ends, _columns(prepared, bool(texts)), {text: place for place, text in enumerate(texts)},
                  _sides(book, prepared, starts, ends))
    taken_back = lake.ask(f"select 1 from lake.usage_fact where {_PERIOD} and jobs < 0 limit 1", {"since": begin, "until": until})
    return Question(new, prepared, asked, period(since, None)[0], not taken_back.is_empty())


def _texts(lake: Lake, every: Sequence[Piece], since: int | None, until: int | None) -> list[str]:
    """Every text of AllocTRES in the period."""
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="what-if") as workers:
        return sorted(set[str]().union(*workers.map(lambda piece: texts_of(lake, piece, since, until), every)))


def _span(lake: Lake, every: Sequence[Piece], begin: datetime | None, until: datetime | None) -> tuple[int, int]:
    """When the first job began and the last one ended, or some time around that: as the files say, else by looking."""
    if known := span(every):
        return known
    row = lake.ask("select epoch(min(least(start_at, end_at)))::bigint, epoch(max(end_at))::bigint from lake.usage_fact"
                   f" where {_PERIOD}", {"since": begin, "until": until}).row(0)
    return row if row[0] is not None else (0, 0)


def _columns(prepared: Iterable[Tariff], texts: bool) -> tuple[str, ...]:
    """What the cards read of a fact."""
    policies = {tariff.card.policy for tariff in prepared}
    unused = {*(("cpu_used", "mem_used") if Policy.USED not in policies else ()),
              *(("cpus", "mem_mib") if policies == {Policy.USED} else ())}
    read_ = [*ALWAYS_READ, *(column for name, column in NUMBERS.items() if name not in unused)]
    if any(tariff.modified for tariff in prepared):
        read_ += ["start_at", "submit_at"]
    return (*read_, *(("alloc_tres",) if texts else ()))


def _sides(book: Book, prepared: Sequence[Tariff], since: int | None, until: int | None) -> tuple[int, ...] | None:
    """Instants before or after which it matters that a job ended; None where it matters when."""
    if any(tariff.hours for tariff in prepared):
        return None
    spans = [instant for tariff in prepared for instant in (tariff.since, tariff.until)]
    projects = [] if book.projects_table is None else book.projects_table["_project_from"].drop_nulls().to_list()
    return (*(instant for instant in (since, until) if instant is not None), *spans, *projects)


def _answers(lake: Lake, question: Question, months: Mapping[date, Sequence[Piece]]) -> Iterator[Part]:
    """The sums of every piece; what is counted by the month, month after month."""
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="what-if") as workers:
        if not question.new.by_month:
            every = [piece for pieces_ in months.values() for piece in pieces_]
            yield from _each(workers, lambda piece: _piece(question, read(lake, piece, question.asked)), every)
            return
        try:
            yield from _month_by_month(workers, lake, question, [(month, some) for month, some in months.items() if some])
        finally:
            workers.shutdown(cancel_futures=True)


def _month_by_month(workers: ThreadPoolExecutor, lake: Lake, question: Question,
                    months: Sequence[tuple[date, Sequence[Piece]]]) -> Iterator[Part]:
    """While a month's last pieces are summed, the next one is looked at already."""
    counting, looking = Counting(lake, question), list[Future[Look]]()
    for month, pieces_ in [*months, (None, ())]:
        pricing = _priced_when_counted(workers, question, counting, looking) if looking else []
        if month:
            counting.begin(month, pieces_, lambda work, items: _each(workers, work, items))
            looking = [workers.submit(counting.look, place, piece) for place, piece in enumerate(pieces_)]
        while pricing:
            yield pricing.pop(0).result()


def _priced_when_counted(workers: ThreadPoolExecutor, question: Question, counting: Counting,
                         looking: Sequence[Future[Look]]) -> list[Future[Part]]:
    looks = [look.result() for look in looking]
    stood = counting.stood(looks)
    return [workers.submit(_counted_piece, question, look, stood, place) for place, look in enumerate(looks)]


def _each(workers: ThreadPoolExecutor, work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """The answers in order, no more underway than there are workers and one besides."""
    underway: list[Future[R]] = []
    for item in items:
        underway.append(workers.submit(work, item))
        if len(underway) > WORKERS:
            yield underway.pop(0).result()
    while underway:
        yield underway.pop(0).result()


def _piece(question: Question, chunk: Chunk) -> Part:
    """Sums of those of its facts that a draft prices."""
    asked = [tariff for tariff in question.tariffs if tariff.card.name in question.new.names]
    priced = [(rows, _prices(question, tariff, chunk.runs.at(rows))) for tariff in asked if len(rows := question.rows(chunk, tariff))]
    return _of_priced(chunk, priced)


def _counted_piece(question: Question, look: Look, stood: Stood, place: int) -> Part:
    """The same where a card counts the month."""
    priced = []
    for card in look.cards:
        if card.tariff.card.name in question.new.names and len(card.rows):
            price = _on_ladders(question, card, stood.laddered(place, card)) if card.cells else (
                _late(question, card.runs), _prices(question, card.tariff, card.runs.at(_late(question, card.runs))))
            priced.append((card.rows[price[0]], price[1]))
    return _of_priced(look.chunk, priced)


def _on_ladders(question: Question, card: Priced, laddered: Counters) -> tuple[Ints, Ints]:
    """Which of its jobs are asked for, and their prices."""
    late, runs, quantities = _late(question, card.runs), card.runs, card.quantities
    if len(late) < len(card.rows):
        runs = runs.at(late)
        quantities, laddered = ({name: values[late] for name, values in one.items()} for one in (quantities, laddered))
    _check_units(card.tariff, runs)
    return late, card.tariff.costs(runs, quantities, laddered)


def _late(question: Question, runs: Runs) -> Ints:
    """Those that are not only counted."""
    return np.flatnonzero(runs.end >= question.counts_from) if question.counts_from is not None else np.arange(len(runs.end))


def _of_priced(chunk: Chunk, priced: Sequence[tuple[Ints, Ints]]) -> Part:
    price = np.zeros(len(chunk.cost), np.int64)
    for rows, prices in priced:
        price[rows] = prices
    every = np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in priced)])
    return _summed(chunk, slice(None) if len(every) == len(price) else every, price)


def _check_units(tariff: Tariff, runs: Runs) -> None:
    if tariff.unknown(runs):
        raise RateError("The card prices nodes or billing units, but AllocTRES of some jobs does not say how many.")


def _prices(question: Question, tariff: Tariff, runs: Runs) -> Ints:
    _check_units(tariff, runs)
    try:
        return tariff.costs(runs, tariff.quantities(runs), {})
    except Wide:
        return _either_way(question, tariff, runs)


def _either_way(question: Question, tariff: Tariff, runs: Runs) -> Ints:
    """Runs that 64 bits may not hold by the rating function itself."""
    fits, price = tariff.fits(runs), np.zeros(len(runs.end), np.int64)
    narrow = runs.at(np.flatnonzero(fits))
    price[fits] = tariff.costs(narrow, tariff.quantities(narrow), {})
    price[~fits] = _rated(question, tariff, runs.at(np.flatnonzero(~fits)))
    return price


def _rated(question: Question, tariff: Tariff, runs: Runs) -> Ints:
    """By the rating function itself."""
    texts = pl.Series([*question.asked.texts, None], dtype=pl.String)
    usage = pl.DataFrame({column: getattr(runs, name) for name, column in NUMBERS.items()} | {
        "start_at": runs.begin, "submit_at": runs.begin, "end_at": runs.end}).with_columns(
        run_key=pl.lit("a job of the copy"), tier=pl.lit(tariff.card.name), ended=pl.lit(value=True), alloc_tres=texts.gather(runs.text))
    return rate(usage, book_of([tariff.card], by_name=True))["cost_micro"].to_numpy()


_BITS, _FLAG = 24, 2**25


def _summed(chunk: Chunk, rows: Ints | slice, price: Ints) -> Part:
    """By each kind. Sums are counted in doubles, of numbers small enough that no sum of them is rounded."""
    jobs, cost, day = chunk.jobs[rows], chunk.cost[rows], chunk.day[rows]
    after = price[rows] * jobs
    if not len(jobs):
        return {}
    largest = max(float(np.abs(values).max()) for values in (cost, after))
    if len(jobs) >= 2**23 or largest / 2**_BITS * len(jobs) >= 2**52:
        return _in_halves(chunk, np.arange(len(price))[rows], price)
    parts = _whole if largest * len(jobs) < 2**52 else _cut
    weights = [jobs * _FLAG + np.where(after != cost, jobs, 0), *parts(cost), *parts(after)]
    floats, first = [values.astype(np.float64) for values in weights], int(day.min())
    days = np.datetime_as_string(np.arange(first, int(day.max()) + 1).astype("datetime64[D]")).tolist()
    named = {kind: (chunk.keys[key][0][rows], chunk.keys[key][1]) for kind, key in zip(("tier", "account", "payer"), KEYS, strict=True)}
    payer, payers = named["payer"]
    sums = _sums(payer * len(days) + day - first, floats, len(payers) * len(days)).reshape(len(SUMS), -1, len(days))
    by_payer = sums.sum(2)
    return {"all": ([""], sums.sum((1, 2))[:, None]), "day": (days, sums.sum(1)), "payer": (payers, by_payer),
            **{kind: (named[kind][1], _of_payers(*named[kind], payer, by_payer, floats)) for kind in ("tier", "account")}}


def _of_payers(places: Ints, names: Sequence[str], payer: Ints, by_payer: Ints, floats: Sequence[NDArray[np.float64]]) -> Ints:
    """Sums by something that nearly every payer has one of: where all have, from theirs."""
    own = np.full(by_payer.shape[1], -1)
    own[payer] = places
    if not (own[payer] == places).all():
        return _sums(places, floats, len(names))
    found = np.zeros((len(names), len(SUMS)), np.int64)
    np.add.at(found, own[own >= 0], by_payer.T[own >= 0])
    return found.T


def _in_halves(chunk: Chunk, rows: Ints, price: Ints) -> Part:
    middle = len(rows) // 2
    one, two = _summed(chunk, rows[:middle], price), _summed(chunk, rows[middle:], price)
    return {kind: (one[kind][0] + two[kind][0], np.concatenate([one[kind][1], two[kind][1]], axis=1)) for kind in one}


def _whole(values: Ints) -> list[Ints]:
    return [values]


def _cut(values: Ints) -> list[Ints]:
    """Their lower bits and the rest: sums of either are small."""
    return [values & 2**_BITS - 1, values >> _BITS]


def _sums(places: Ints, floats: Sequence[NDArray[np.float64]], count: int) -> Ints:
    """SUMS, each in a row, of what stands at the same of `count` places."""
    flags, *sums = (np.bincount(places, weights, count).astype(np.int64) for weights in floats)
    jobs = (flags + _FLAG // 2) // _FLAG
    before, after = sums if len(sums) == 2 else (sums[0] + (sums[1] << _BITS), sums[2] + (sums[3] << _BITS))
    return np.stack([jobs, flags - jobs * _FLAG, before, after])


def _by_kind(parts: Sequence[Part]) -> pl.DataFrame:
    every = pl.concat([pl.DataFrame(schema=dict.fromkeys(("kind", "name"), pl.String()) | dict.fromkeys(SUMS, pl.Int64())),
                       *(_of_kind(kind, [part[kind] for part in parts if part]) for kind in ("all", "tier", "account", "day", "payer"))])
    if max(every.select(pl.col(name).cast(pl.Float64).abs().sum()).item() for name in SUMS) >= MOST * len(KEYS):
        raise MoneyError("An amount does not fit 64 bits.")
    zero = [pl.lit(0, pl.Int64).alias(name) for name in ("receipted_jobs", "receipted_difference_micro")]
    sums = every.group_by("kind", "name").agg(pl.col(SUMS).sum())
    return sums.filter(pl.col("jobs") != 0).with_columns(zero).select(*SUM_SCHEMA).sort("kind", "name")


def _of_kind(kind: str, parts: Sequence[tuple[list[str], Ints]]) -> pl.DataFrame:
    sums = np.concatenate([np.zeros((len(SUMS), 0), np.int64), *(some for _, some in parts)], axis=1)
    names = pl.Series([name for some, _ in parts for name in some], dtype=pl.String)
    return pl.DataFrame({"kind": pl.repeat(kind, len(names), dtype=pl.String, eager=True), "name": names,
                         **dict(zip(SUMS, sums, strict=True))})


def _check_currency(lake: Lake, new: Drafted, since: datetime | None, until: datetime | None) -> None:
    """Ask the daily sums, which are quick; the facts only where those know another currency at all."""
    if lake.ask("select 1 from lake.usage_daily where currency <> $currency limit 1", {"currency": new.currency}).is_empty():
        return
    others = lake.ask(
        f"select currency from lake.usage_fact where {_PERIOD} and currency <> $currency and (list_contains($tiers::varchar[], tier)"
        " or list_contains($projects::varchar[], account_name)) and tier <> $paid group by 1 having sum(jobs) <> 0",
        {"since": since, "until": until, "currency": new.currency, "tiers": new.tiers, "projects": new.projects, "paid": NODE_TIER})
    if not others.is_empty():
        raise RateError(f"These jobs are reckoned in {others.item(0, 0)}; the card is in {new.currency}.")
