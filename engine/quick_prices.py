"""What runs cost on one card and nothing else of it: the rating function's total, for millions of runs at once.

Rating (engine/rating.py) takes products in 128 bits and explains every meter. Where only totals are asked for, the same cost is
(n × weight + half × over) // (divisor × over) × step, n a sum of quantity × factor: common divisors are taken out of the factors
beforehand, so that 64 bits hold it for nearly any run that there is. Runs for which they might not are a `Wide`: whoever asks
prices those by the rating function itself. Refuses to know where runs come from, and in what order a month is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import gcd
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.calendars import ROOM
from engine.ladders import is_ladder
from engine.meters import Meter
from engine.money import minor_micro
from engine.quick_hours import Hours, Ints, hours_of
from engine.rate_frames import SLURM, Book, tres_table
from engine.rate_limits import SHARE, WHOLE
from engine.rates import Policy, Price, RateCard, Rounding

Counters: TypeAlias = Mapping[str, Ints]            # by the counter's name: cpu, gpu, gpu:a100 …
MOST = 2.0**62                                      # what 64 bits hold for certain


class Wide(ArithmeticError):
    """64 bits may not hold what these runs cost on the way."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Columns of ended runs, whole numbers, none negative but instants (Unix seconds). A run begins where its elapsed time is
    counted from (0 where no card asks). `text` is the place of its AllocTRES among the texts a tariff was made with;
    len(texts) where it has none."""

    begin: Ints
    end: Ints
    elapsed: Ints
    cpus: Ints
    gpus: Ints
    mem_mib: Ints
    cpu_used: Ints
    mem_used: Ints
    text: Ints

    def at(self, rows: Ints) -> Runs:
        """Those at some places. A column that is one number throughout stays so."""
        def some(column: Ints) -> Ints:
            return column[:len(rows)] if column.strides == (0,) else column.take(rows)
        return Runs(*(some(getattr(self, name)) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Counter:
    """The price of one meter, or of one GPU model, by what was used: steps from `starts` on with a factor a base quantity and a
    fee where one is entered; or packages of `size`. One step from 0 is a plain factor."""

    name: str
    starts: tuple[int, ...]
    factors: tuple[int, ...]
    fees: tuple[int, ...]
    size: int = 0

    @property
    def meter(self) -> str:
        """Of all models of it."""
        return self.name.partition(":")[0]

    @property
    def plain(self) -> bool:
        """Whether a unit costs the same however many were used."""
        return not self.size and self.starts == (0,) and not self.fees[0]

    def at_most(self, adds: Any) -> Any:
        """No less than what `adds` more cost, and than `adds` themselves."""
        return (adds + 1) * (max(self.factors) + 1.0) + float(sum(self.fees))

    def cost(self, before: Ints, adds: Ints) -> Ints:
        """F(before + adds) − F(before). Either may wrap; their difference, which fits, is right even then."""
        return self._up_to(before + adds) - self._up_to(before)

    def bends(self, before: Ints, after: Ints) -> NDArray[np.bool_]:
        """Whether it matters in what order `after` - `before` is used: else each unit costs `slope`, whoever uses it."""
        if self.size:
            return np.asarray(-(-before // self.size) != -(-after // self.size))
        bent = np.zeros(before.shape, bool)
        for start, fee in zip(self.starts, self.fees, strict=True):
            if start or fee:
                bent |= ((before <= start) if fee else (before < start)) & (after > start)
        return bent

    def slope(self, before: Ints) -> Ints:
        """What a unit right above `before` costs; of packages nothing: one of those that are begun."""
        found = np.zeros(before.shape, np.int64)
        for start, factor, lower in () if self.size else zip(self.starts, self.factors, (0, *self.factors), strict=False):
            found += np.where(before >= start, factor - lower, 0)
        return found

    def _up_to(self, quantity: Ints) -> Ints:
        if self.size:
            return -(-quantity // self.size) * self.factors[0]
        total = np.zeros_like(quantity)
        for start, factor, fee, before in zip(self.starts, self.factors, self.fees, (0, *self.factors), strict=False):
            total += np.maximum(quantity - start, 0) * (factor - before) + np.where(quantity > start, fee, 0)
        return total


@dataclass(frozen=True, slots=True)
class Texts:
    """What every text of AllocTRES says on a card, and in a last row what none says."""

    typed: Ints                             # GPUs whose model has a price of its own
    lump: Ints                              # what those cost a second, where no price is by the month
    counts: Mapping[str, Ints]              # else how many there are of each model, by its counter's name
    units: Ints                             # nodes or billing units; -1 where it does not say


@dataclass(frozen=True, slots=True)
class Tariff:
    """One card, ready: its span in Unix seconds [since, until), and what it makes of runs that ended in it."""

    card: RateCard
    since: int
    until: int
    counters: tuple[Counter, ...]           # what costs
    counted: tuple[str, ...]                # counters of its line for which the month counts, whether they cost here or not
    texts: Texts
    half: int
    divisor: int
    step: int
    hours: Hours | None                     # None: neither factors nor months
    modified: bool

    def quantities(self, runs: Runs) -> dict[str, Ints]:
        """The base quantity that every run adds to each counter. Wide where 64 bits may not do."""
        self._check(runs)
        used, typed = self.card.policy is Policy.USED, self._typed(runs)
        found: dict[str, Ints] = {}
        for name in dict.fromkeys([*(one.name for one in self.counters), *self.counted]):
            if name in self.texts.counts:
                found[name] = np.where(typed > 0, self.texts.counts[name].take(runs.text), 0) * runs.elapsed
            elif name == Meter.GPU:
                found[name] = (runs.gpus - typed) * runs.elapsed
            elif name == Meter.CPU:
                found[name] = runs.cpu_used if used else runs.cpus * runs.elapsed
            elif name == Meter.MEM:
                found[name] = runs.mem_used if used else runs.mem_mib * runs.elapsed
            elif name == self._extra:
                found[name] = np.maximum(self.texts.units.take(runs.text), 0) * runs.elapsed
        return found

    @property
    def on_ladders(self) -> tuple[Counter, ...]:
        """Counters by which a unit costs otherwise when more was used before."""
        return tuple(one for one in self.counters if not one.plain)

    def plain(self, runs: Runs, quantities: Counters) -> Counters:
        """What each run costs by the other counters, of which `costs` needs no more than this: by meter where a ladder adds to it,
        else all together."""
        parts: dict[str, Ints] = {}
        for counter in self.counters:
            if counter.plain:
                _add(parts, counter.meter, quantities[counter.name] * counter.factors[0])
        if self.texts.lump.any():
            _add(parts, "gpu", np.where(self._typed(runs) > 0, self.texts.lump.take(runs.text), 0) * runs.elapsed)
        apart = {counter.meter for counter in self.on_ladders}
        alone = [cost for meter, cost in parts.items() if meter not in apart]
        rest = reduce(self._together, alone) if alone else np.zeros(len(runs.end), np.int64)
        return {"": rest} | {meter: parts[meter] for meter in apart if meter in parts}

    def held(self, runs: Runs) -> Runs:
        """What `costs` and `unknown` read of runs and their end, the rest zero: for who waits for what the ladders cost."""
        read = {"end", *(("begin",) if self.modified else ()), *(("elapsed", "text") if self._extra else ())}
        zero = np.broadcast_to(np.int64(0), runs.end.shape)
        return Runs(*(getattr(runs, name) if name in read else zero for name in Runs.__slots__))

    def costs(self, runs: Runs, plain: Counters, laddered: Counters) -> Ints:
        """Micro-units of each run: `plain`, and what it costs by each of `on_ladders` (as Counter.cost says)."""
        parts = dict(plain)
        for counter in self.on_ladders:
            _add(parts, counter.meter, laddered[counter.name])
        total = reduce(self._together, parts.values())
        if self.hours is None or not self.modified:
            return (total + self.half) // self.divisor * self.step
        return self._weighed(total, *self.hours.weighed(runs.begin, runs.end)) * self.step

    def _together(self, one: Ints, other: Ints) -> Ints:
        """Of two meters."""
        return np.maximum(one, other) if self.card.policy is Policy.MAX_OF else one + other

    def _weighed(self, total: Ints, weight: Ints, over: Ints) -> Ints:
        """(total × weight + half × over) // (divisor × over). Floats say it but for one more or less, which the remainder tells: what
        wraps on the way to it cancels out. Where floats may be further off the whole part is taken out first."""
        below = over * self.divisor
        about = weight / below * total
        if float(about.max(initial=0)) >= 2**50 or float(over.max(initial=0)) * self.divisor >= MOST / 2:
            return self._by_parts(total, weight, over)
        steps = about.astype(np.int64)
        rest = total * weight + over * self.half - steps * below
        steps += rest >= below
        steps -= rest < 0
        return steps

    def _by_parts(self, total: Ints, weight: Ints, over: Ints) -> Ints:
        whole, rest = np.divmod(total, self.divisor)
        steps, left = np.divmod(whole * weight, over)
        shares: Ints = (left * self.divisor + rest * weight + over * self.half) // (over * self.divisor)
        return steps + shares

    def unknown(self, runs: Runs) -> bool:
        """Whether it prices units of which some run does not say how many there were."""
        return bool(self._extra and ((self.texts.units.take(runs.text) < 0) & (runs.elapsed > 0)).any())

    @property
    def _extra(self) -> str:
        return next((one.name for one in self.counters if one.name in (Meter.NODE, Meter.BILLING)), "")

    def _typed(self, runs: Runs) -> Ints:
        """GPUs with a price of their own; more than there are in all are of no type."""
        if not self.texts.typed.any():
            return np.zeros(1, np.int64)
        typed = self.texts.typed.take(runs.text)
        return np.where(typed <= runs.gpus, typed, 0)

    def fits(self, runs: Runs) -> NDArray[np.bool_]:
        """For which runs 64 bits hold every step of `costs`."""
        return np.asarray(self._largest({name: getattr(runs, name).astype(np.float64) for name in Runs.__slots__}) < MOST)

    def _check(self, runs: Runs) -> None:
        """Wide unless all of them fit, as the largest of every column would."""
        most = {name: np.float64(_varied(getattr(runs, name)).max(initial=0)) for name in Runs.__slots__}
        most["begin"] = most["end"] - np.float64((runs.end - runs.begin).max(initial=0))
        if self._largest(most) >= MOST and not self.fits(runs).all():
            raise Wide

    def _largest(self, of: Mapping[str, Any]) -> Any:
        """No less than the largest number on the way to the cost of runs with these columns, in floats."""
        adds = {"cpu": np.maximum(of["cpus"] * of["elapsed"], of["cpu_used"]), "gpu": of["gpus"] * of["elapsed"],
                "mem": np.maximum(of["mem_mib"] * of["elapsed"], of["mem_used"])}
        adds |= {name: float(values.max()) * of["elapsed"] for name, values in self.texts.counts.items()}
        extra = float(self.texts.units.max()) * of["elapsed"]
        total = reduce(np.add, adds.values()) + float(self.texts.lump.max()) * of["elapsed"] + self.half
        total = reduce(np.add, (one.at_most(adds.get(one.name, extra)) for one in self.counters), total)
        factor, one = (float(self.hours.factors.max()), self.hours.one) if self.hours and self.modified else (1.0, 1)
        long = of["end"] - of["begin"] + 1 if self.modified else 1.0
        return reduce(np.maximum, (total, (total / self.divisor + 3.0 * self.divisor) * max(factor, one) * long,
                                   total / self.divisor * self.step * (factor / one + 1)))


def _varied(column: Ints) -> Ints:
    """Its numbers; of one number throughout, that one."""
    return column[:1] if column.strides == (0,) else column


def _add(parts: dict[str, Ints], meter: str, cost: Ints) -> None:
    parts[meter] = parts[meter] + cost if meter in parts else cost


def tariffs(book: Book, lines: Sequence[str], texts: Sequence[str], first: int, last: int) -> list[Tariff]:
    """The cards of `lines` of `book`, for runs with these texts of AllocTRES from `first` to `last` (Unix seconds, both within)."""
    cards, hours = {card.name: card for card in book.cards}, [hours_of(calendar, first, last) for calendar in book.calendars]
    read = tres_table(book, texts) if book.texts else None
    return [_tariff(cards[row["rate_card"]], row, book, _texts(cards[row["rate_card"]], read, book, len(texts)), hours)
            for row in book.cards_table.iter_rows(named=True) if row["_line"] in lines]


def _tariff(card: RateCard, row: Mapping[str, Any], book: Book, texts: Texts, hours: Sequence[Hours]) -> Tariff:
    own = [_counter(price) for price in card.prices if price.meter in _meters(card) and (not price.model or _name(price) in texts.counts)]
    step = minor_micro(card.currency) if card.rounding is Rounding.PER_JOB_MINOR else 1
    shared = gcd(step * WHOLE, *(2 * SHARE["gpu"] * _micro(price) for price in card.prices if price.model),
                 *(number for one in own for number in (*one.factors, *one.fees)))
    if float(texts.lump.max()) * 2 * SHARE["gpu"] >= MOST:
        raise Wide
    lump = texts.lump * (2 * SHARE["gpu"]) // shared
    at = None if row["_calendar"] is None else hours[row["_calendar"] // ROOM]
    return Tariff(card, row["_valid_from"], row["_valid_to"], tuple(_less(one, shared) for one in own),
                  tuple(dict.fromkeys(map(_name, _ladders(book, card.line)))), replace(texts, lump=lump),
                  step * WHOLE // shared, 2 * step * WHOLE // shared, step, at, bool(at and at.modified))


def _texts(card: RateCard, read: pl.DataFrame | None, book: Book, count: int) -> Texts:
    """On a line that counts the month every model has a counter, else they cost a lump."""
    own = None if read is None else read.filter(_tres_card=card.name)
    nothing = np.zeros(count + 1, np.int64)
    if own is None or own.is_empty():
        return Texts(nothing, nothing, {}, nothing)

    def column(name: str, missing: int) -> Ints:
        return np.append(own[name].fill_null(missing).to_numpy(), missing)
    laddered = bool(_ladders(book, card.line))
    billed = any(price.model for price in card.prices) and Meter.GPU in _meters(card)
    counts = {slot.name: column(slot.column("count"), 0) for slot in book.slots if slot.model} if laddered else {}
    return Texts(column("_typed", 0), nothing if laddered or not billed else column("_typed_micro", 0), counts, column("_units", -1))


def _ladders(book: Book, line: str) -> list[Price]:
    """Prices of the line that depend on the month so far."""
    return [price for card in book.cards if card.line == line for price in card.prices if price.meter in SLURM and is_ladder(price)]


def _meters(card: RateCard) -> tuple[Meter, ...]:
    """What costs anything under its policy."""
    return (Meter.BILLING,) if card.policy is Policy.BILLING_TRES else (Meter.CPU, Meter.GPU, Meter.MEM, Meter.NODE)


def _counter(price: Price) -> Counter:
    unit, share = Meter(price.meter).unit_size, 2 * WHOLE // Meter(price.meter).unit_size
    if price.package:
        return Counter(_name(price), (0,), (2 * WHOLE * _micro(price),), (0,), price.package * unit)
    return Counter(_name(price), tuple(step.above * unit for step in price.steps),
                   tuple(share * step.micro_per_unit for step in price.steps), tuple(2 * WHOLE * step.flat_micro for step in price.steps))


def _less(one: Counter, shared: int) -> Counter:
    return replace(one, factors=tuple(number // shared for number in one.factors), fees=tuple(number // shared for number in one.fees))


def _name(price: Price) -> str:
    """As engine/ladders.py names the counters."""
    return f"{price.meter}:{price.model}" if price.model else price.meter


def _micro(price: Price) -> int:
    return price.steps[0].micro_per_unit
