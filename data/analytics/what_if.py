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

from data.analytics.fact_columns import ALWAYS_READ, NUMBERS, Asked, Chunk, Piece, keep_memory, period, pieces, read, span, texts_of
from data.analytics.kind_sums import Part, Totals, summed
from data.analytics.lake import Lake
from data.analytics.month_counts import Counting, Look, Month, Priced, Stood
from engine.errors import RateError
from engine.quick_hours import Ints
from engine.quick_prices import Counters, Runs, Tariff, Wide, tariffs
from engine.rate_frames import Book, book_of
from engine.rates import NODE_TIER, Policy
from engine.rating import rate
from engine.rerating import Drafted

WORKERS = min(4, os.cpu_count() or 1)
_PERIOD = ("($since::timestamptz is null or (end_at >= $since and day >= $since::date - 1))"
           " and ($until::timestamptz is null or (end_at < $until and day <= $until::date + 1))")
Progress: TypeAlias = Callable[[float], None]
T = TypeVar("T")
R = TypeVar("R")


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
        if len(end) and (end.min() < tariff.since or end.max() >= tariff.until):
            found &= (end >= tariff.since) & (end < tariff.until)
        return np.flatnonzero(found)

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
    keep_memory()
    begin = new.begin(since)
    _check_currency(lake, new, since, until)
    months = pieces(lake, begin, until)
    question = _question(lake, new, since, begin, until, [piece for some in months.values() for piece in some])
    totals, count = Totals(), sum(map(len, months.values()))
    for done, parts in enumerate(_answers(lake, question, months), 1):
        for part in parts:
            totals.add(part)
        progress(done / count)
    return totals.frame()


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


def _answers(lake: Lake, question: Question, months: Mapping[date, Sequence[Piece]]) -> Iterator[list[Part]]:
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
                    months: Sequence[tuple[date, Sequence[Piece]]]) -> Iterator[list[Part]]:
    """While a month is counted, the next one's first pieces are looked at already; the others while its last ones are summed."""
    counting = Counting(lake, question)

    def looks(month: Month, first: int, pieces_: Sequence[Piece]) -> list[Future[Look]]:
        return [workers.submit(counting.look, month, place, piece) for place, piece in enumerate(pieces_, first)]

    def priced(month: Month, looking: Sequence[Future[Look]]) -> list[Future[list[Part]]]:
        found = [look.result() for look in looking]
        stood = counting.stood(month, found)
        return [workers.submit(_counted_piece, question, look, stood, place) for place, look in enumerate(found)]
    before: tuple[Month, list[Future[Look]]] | None = None
    for first, pieces_ in months:
        month = counting.begin(first, pieces_, lambda work, items: _each(workers, work, items))
        looking = looks(month, 0, pieces_[:WORKERS])
        pricing = priced(*before) if before else []
        before = month, looking + looks(month, WORKERS, pieces_[WORKERS:])
        while pricing:
            yield pricing.pop(0).result()
    yield from (part.result() for part in (priced(*before) if before else ()))


def _each(workers: ThreadPoolExecutor, work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """The answers in order, no more underway than there are workers and one besides."""
    underway: list[Future[R]] = []
    for item in items:
        underway.append(workers.submit(work, item))
        if len(underway) > WORKERS:
            yield underway.pop(0).result()
    while underway:
        yield underway.pop(0).result()


def _piece(question: Question, chunk: Chunk) -> list[Part]:
    """Sums of those of its facts that a draft prices."""
    asked = [tariff for tariff in question.tariffs if tariff.card.name in question.new.names]
    priced = [(rows, _prices(question, tariff, chunk.runs.at(rows))) for tariff in asked if len(rows := question.rows(chunk, tariff))]
    return _of_priced(chunk, priced)


def _counted_piece(question: Question, look: Look, stood: Stood, place: int) -> list[Part]:
    """The same where a card counts the month."""
    priced = []
    for card in look.cards:
        if card.tariff.card.name in question.new.names and len(card.rows):
            price = _on_ladders(question, card, stood.laddered(place, card)) if card.cells else (
                _late(question, card.runs), _prices(question, card.tariff, card.runs.at(_late(question, card.runs))))
            priced.append((card.rows.take(price[0]).astype(np.int64), price[1]))
    return _of_priced(look.wide(), priced)


def _on_ladders(question: Question, card: Priced, laddered: Counters) -> tuple[Ints, Ints]:
    """Which of its jobs are asked for, and their prices."""
    late, runs, plain = _late(question, card.runs), card.runs, card.plain
    if len(late) < len(card.rows):
        runs = runs.at(late)
        plain, laddered = ({name: values[late] for name, values in one.items()} for one in (plain, laddered))
    _check_units(card.tariff, runs)
    return late, card.tariff.costs(runs, plain, laddered)


def _late(question: Question, runs: Runs) -> Ints:
    """Those that are not only counted."""
    return np.flatnonzero(runs.end >= question.counts_from) if question.counts_from is not None else np.arange(len(runs.end))


def _of_priced(chunk: Chunk, priced: Sequence[tuple[Ints, Ints]]) -> list[Part]:
    price = np.zeros(len(chunk.cost), np.int64)
    for rows, prices in priced:
        price[rows] = prices
    if sum(len(rows) for rows, _ in priced) == len(price):
        return summed(chunk, slice(None), price)
    return summed(chunk, np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in priced)]), price)


def _check_units(tariff: Tariff, runs: Runs) -> None:
    if tariff.unknown(runs):
        raise RateError("The card prices nodes or billing units, but AllocTRES of some jobs does not say how many.")


def _prices(question: Question, tariff: Tariff, runs: Runs) -> Ints:
    _check_units(tariff, runs)
    try:
        return _plainly(tariff, runs)
    except Wide:
        return _either_way(question, tariff, runs)


def _plainly(tariff: Tariff, runs: Runs) -> Ints:
    return tariff.costs(runs, tariff.plain(runs, tariff.quantities(runs)), {})


def _either_way(question: Question, tariff: Tariff, runs: Runs) -> Ints:
    """Runs that 64 bits may not hold by the rating function itself."""
    fits, price = tariff.fits(runs), np.zeros(len(runs.end), np.int64)
    price[fits] = _plainly(tariff, runs.at(np.flatnonzero(fits)))
    price[~fits] = _rated(question, tariff, runs.at(np.flatnonzero(~fits)))
    return price


def _rated(question: Question, tariff: Tariff, runs: Runs) -> Ints:
    """By the rating function itself."""
    texts = pl.Series([*question.asked.texts, None], dtype=pl.String)
    usage = pl.DataFrame({column: getattr(runs, name) for name, column in NUMBERS.items()} | {
        "start_at": runs.begin, "submit_at": runs.begin, "end_at": runs.end}).with_columns(
        run_key=pl.lit("a job of the copy"), tier=pl.lit(tariff.card.name), ended=pl.lit(value=True), alloc_tres=texts.gather(runs.text))
    return rate(usage, book_of([tariff.card], by_name=True))["cost_micro"].to_numpy()


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
