"""The rate book as rating needs it: the cards' frames, made once, and the small tables that the runs at hand are joined to.

A table holds what must be worked out once, not once a run: what a text of AllocTRES costs on a card, the factor of every
quarter hour, the steps of a ladder. Refuses to know runs: it is told which texts occur and which time they span.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import gcd

import polars as pl

from engine.calendars import ROOM, Calendar, calendar_table
from engine.errors import RateError
from engine.ladders import Slot, is_ladder, ladder_table, slots_of
from engine.meters import RUN_METERS, Meter
from engine.money import INT64_MAX, minor_micro
from engine.rates import Policy, RateCard, Rounding
from engine.slurm_values import whole

ALWAYS = datetime.min.replace(tzinfo=UTC)
SLURM = frozenset(str(meter) for meter in RUN_METERS)
METERED = frozenset(str(meter) for meter in Meter) - SLURM

# What earlier parts of a month used: of a payer, on a line of the book, in a month (year × 100 + month in the card's zone),
# of a meter (`gpu:a100` for a model with a price of its own), in base quantities.
CARRIED_SCHEMA: dict[str, pl.DataType] = {
    "payer": pl.String(), "line": pl.String(), "month": pl.Int64(), "meter": pl.String(), "quantity": pl.Int64()}


@dataclass(frozen=True, slots=True)
class Book:
    """Cards ready for rating. `cards_table` has a row a card under the `_key` that a run finds it by."""

    cards: tuple[RateCard, ...]
    cards_table: pl.DataFrame
    projects_table: pl.DataFrame | None     # None: no project has a card of its own
    calendars: tuple[Calendar, ...]         # none: no factors and no months
    slots: tuple[Slot, ...]                 # none: no month ladders
    policies: frozenset[Policy]
    models: bool                            # some card prices a GPU model
    extras: bool                            # some card prices nodes, or bills by Slurm's billing units
    roundings: tuple[int, ...]              # the distinct steps of rounding, in micro-units
    shared: int                             # divides the denominator of all meters and every price: both stand without it
    by_name: bool

    @property
    def texts(self) -> bool:
        """Whether AllocTRES must be read."""
        return self.models or self.extras

    def under(self, policy: Policy) -> Book:
        """The same cards as if they named `policy`."""
        return book_of([replace(card, policy=policy) for card in self.cards], by_name=self.by_name)


def metered_book(cards: Sequence[RateCard]) -> Book:
    """A book of `cards` for what is metered apart from runs (METERED): every meter has a counter on every line."""
    return _book(cards, frozenset(card.line for card in cards), METERED, by_name=False)


def book_of(cards: Sequence[RateCard], by_name: bool = False) -> Book:
    """A book of `cards`: each valid from its start to the next one's of its line, the newer version where two start together.

    `by_name` is for runs whose card is fixed: their `tier` is then the card's name, at any time.
    """
    return _book(cards, _laddered(cards), SLURM, by_name)


def _book(cards: Sequence[RateCard], laddered: frozenset[str], meters: frozenset[str], by_name: bool) -> Book:
    names, shared = [card.name for card in cards], _shared(cards, laddered)
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RateError(f"Two cards are called {twice}: they cover the same time.")
    return Book(
        cards=tuple(cards), cards_table=_cards_table(cards, laddered, by_name, shared),
        projects_table=None if by_name or not any(card.project for card in cards) else _projects_table(cards),
        calendars=_calendars(cards, laddered), policies=frozenset(card.policy for card in cards), by_name=by_name, shared=shared,
        slots=slots_of(cards, sorted(meters)) if laddered else (),
        models=any(price.model for card in cards for price in card.prices), extras=any(map(_extra_meter, cards)),
        roundings=tuple(sorted({_rounding_step(card) for card in cards})))


def always(card: RateCard) -> RateCard:
    """`card` as if it had been valid from the beginning of time, under a version that can stand on a charge."""
    return replace(card, version=max(1, card.version), valid_from=ALWAYS)


def side_tables(book: Book, texts: Iterable[str], first: int, last: int, carried: pl.DataFrame | None = None) -> dict[str, pl.DataFrame]:
    """The tables that runs with these texts of AllocTRES, from `first` to `last` (Unix seconds), are joined to, by name.

    Only those that the book needs: cards, projects, tres, calendar, ladders, carried. Hand them to `charges` as frames
    of the runs' engine.
    """
    tables = {"cards": book.cards_table}
    if book.projects_table is not None:
        tables["projects"] = book.projects_table
    if book.texts:
        tables["tres"] = tres_table(book, texts)
    if book.calendars:
        tables["calendar"] = calendar_table(book.calendars, first, last)
    if book.slots:
        tables["ladders"] = ladder_table(book.cards, book.slots)
        tables["carried"] = _carried_table(book, carried)
    return tables


def _laddered(cards: Sequence[RateCard]) -> frozenset[str]:
    """The lines on which some card has a month ladder for what a Slurm run uses."""
    return frozenset(card.line for card in cards if any(is_ladder(price) for price in card.prices if price.meter in SLURM))


def _calendar(card: RateCard, laddered: frozenset[str]) -> Calendar | None:
    return Calendar(card.time_zone, card.modifiers) if card.modifiers or card.line in laddered else None


def _calendars(cards: Sequence[RateCard], laddered: frozenset[str]) -> tuple[Calendar, ...]:
    return tuple(dict.fromkeys(found for card in cards if (found := _calendar(card, laddered))))


def _shared(cards: Sequence[RateCard], laddered: frozenset[str]) -> int:
    """What every price of a second, and the number of base quantities in the largest unit, can be divided by: so that 64 bits hold
    what a run costs on the way. 1 where more than prices decides."""
    prices = [price for card in cards for price in card.prices if price.meter in SLURM]
    if laddered or _calendars(cards, laddered) or any(price.model for price in prices):
        return 1
    return gcd(Meter.MEM.unit_size, *(step.micro_per_unit for price in prices for step in price.steps))


def _rounding_step(card: RateCard) -> int:
    return minor_micro(card.currency) if card.rounding is Rounding.PER_JOB_MINOR else 1


def _extra_meter(card: RateCard) -> Meter | None:
    """Which quantity stands in the columns `extra`: billing units, nodes, or none."""
    meter = Meter.BILLING if card.policy is Policy.BILLING_TRES else Meter.NODE
    return meter if card.price(meter) else None


def _flat(card: RateCard, meter: str, model: str = "") -> int:
    """The price of every unit; on a ladder of its first one, which decides nothing there."""
    price = card.price(meter, model)
    return price.steps[0].micro_per_unit if price else 0


def _seconds(instant: datetime) -> int:
    return int((instant - datetime.fromtimestamp(0, UTC)).total_seconds())


def _spans(cards: Sequence[RateCard]) -> list[tuple[RateCard, int, int]]:
    """Every card that is ever valid, with its half-open span in Unix seconds."""
    spans = []
    for line in dict.fromkeys(card.line for card in cards):
        ordered = sorted((card for card in cards if card.line == line), key=lambda card: (card.valid_from, card.version))
        ends = [_seconds(card.valid_from) for card in ordered[1:]] + [INT64_MAX]
        spans += [(card, _seconds(card.valid_from), end) for card, end in zip(ordered, ends, strict=True)]
    return [span for span in spans if span[1] < span[2]]


def _cards_table(cards: Sequence[RateCard], laddered: frozenset[str], by_name: bool, shared: int) -> pl.DataFrame:
    """Prices stand there without what is `shared`."""
    numbers = {calendar: number for number, calendar in enumerate(_calendars(cards, laddered))}
    spans = [(card, -INT64_MAX, INT64_MAX) for card in cards] if by_name else _spans(cards)
    rows = []
    for card, start, end in spans:
        calendar, extra = _calendar(card, laddered), _extra_meter(card)
        rows.append((card.name if by_name else card.line, card.name, card.line, start, end, str(card.policy), card.currency,
                     _rounding_step(card), numbers[calendar] * ROOM if calendar else None,
                     *(_flat(card, meter) // shared for meter in (Meter.CPU, Meter.GPU, Meter.MEM)),
                     _flat(card, extra) // shared if extra else None))
    return pl.DataFrame(rows, schema=CARDS_TABLE_SCHEMA, orient="row")


def _projects_table(cards: Sequence[RateCard]) -> pl.DataFrame:
    """All of time for every account with cards of its own: `_project` is null before the first of them."""
    rows: list[tuple[str, int, int, str | None]] = []
    spans = [span for span in _spans(cards) if span[0].project]
    for account in dict.fromkeys(card.project for card, _, _ in spans):
        own = [(start, end) for card, start, end in spans if card.project == account]
        rows += [(account, -INT64_MAX, own[0][0], None), (account, own[0][0], own[-1][1], f"project:{account}")]
    return pl.DataFrame(rows, schema=PROJECTS_TABLE_SCHEMA, orient="row")


def tres_table(book: Book, texts: Iterable[str]) -> pl.DataFrame:
    """What every distinct text of AllocTRES is on every card: TRES_TABLE_SCHEMA, and the GPUs of every laddered model.

    `_typed` GPUs have a price of their own on the card and cost `_typed_micro` together; `_units` are nodes or billing
    units, null where the text does not say how many.
    """
    cards = [card for card in book.cards if _extra_meter(card) or any(price.model for price in card.prices)]
    parsed = [(text, *_read(text)) for text in dict.fromkeys(texts)]
    counted = [slot for slot in book.slots if slot.model]
    rows = [_tres_row(text, gpus, units, card, counted) for text, gpus, units in parsed for card in cards]
    return pl.DataFrame(rows, orient="row", schema=TRES_TABLE_SCHEMA | {slot.column("count"): pl.Int64() for slot in counted})


def _tres_row(text: str, gpus: dict[str, int], units: dict[str, int], card: RateCard, counted: list[Slot]) -> tuple[object, ...]:
    named = {price.model for price in card.prices if price.meter == Meter.GPU and price.model}
    typed = {model: count for model, count in gpus.items() if model in named}
    extra = _extra_meter(card)
    return (text, card.name, sum(typed.values()), sum(count * _flat(card, Meter.GPU, model) for model, count in typed.items()),
            units.get(str(extra)) if extra else 0, *(typed.get(slot.model, 0) for slot in counted))


def _read(text: str) -> tuple[dict[str, int], dict[str, int]]:
    """`billing=38,gres/gpu:a100=2,gres/gpu=2,node=1` as GPUs by model and as nodes and billing units."""
    gpus: dict[str, int] = {}
    units: dict[str, int] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name.startswith("gres/gpu:"):
            model = name.removeprefix("gres/gpu:").lower()
            gpus[model] = gpus.get(model, 0) + _whole(text, part, value)
        elif name in (Meter.NODE, Meter.BILLING):
            units[name] = _whole(text, part, value)
    return gpus, units


def _whole(text: str, part: str, value: str) -> int:
    try:
        return whole(value)
    except ValueError:
        raise RateError(f"{part!r} in AllocTRES {text!r} is no whole number.") from None


def _carried_table(book: Book, carried: pl.DataFrame | None) -> pl.DataFrame:
    """CARRIED_SCHEMA with a column a slot."""
    given = pl.DataFrame(schema=CARRIED_SCHEMA) if carried is None else carried
    sums = [pl.col("quantity").filter(pl.col("meter") == slot.name).sum().alias(slot.column("carried")) for slot in book.slots]
    grouped = given.group_by(_payer="payer", _of_line="line", _of_month="month").agg(sums)
    return grouped.cast({slot.column("carried"): pl.Int64 for slot in book.slots})


CARDS_TABLE_SCHEMA: dict[str, pl.DataType] = {
    "_key": pl.String(), "rate_card": pl.String(), "_line": pl.String(), "_valid_from": pl.Int64(), "_valid_to": pl.Int64(),
    "policy": pl.String(), "currency": pl.String(), "_round": pl.Int64(), "_calendar": pl.Int64(),
    "_cpu_rate": pl.Int64(), "_gpu_rate": pl.Int64(), "_mem_rate": pl.Int64(), "_extra_rate": pl.Int64(),
}
PROJECTS_TABLE_SCHEMA: dict[str, pl.DataType] = {
    "_account": pl.String(), "_project_from": pl.Int64(), "_project_to": pl.Int64(), "_project": pl.String()}
TRES_TABLE_SCHEMA: dict[str, pl.DataType] = {
    "_text": pl.String(), "_tres_card": pl.String(), "_typed": pl.Int64(), "_typed_micro": pl.Int64(), "_units": pl.Int64()}
