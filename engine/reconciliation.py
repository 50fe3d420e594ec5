"""Reconciliation: a day of a provider's own books beside ours, movement by movement. Pure: knows no table, no clock, no network.

Movements are told apart by name: the provider's name of the charge, the refund or the dispute. A name is compared as a
whole, not by the day: a webhook that came after midnight is no difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from engine.errors import DomainError
from engine.money import MINOR_DIGITS
from engine.payments import EventKind, Movement, ProviderEvent

BEFORE, AFTER = timedelta(days=4), timedelta(days=1)    # how far a webhook may be late (they try for three days), or a clock off


class DayNotOver(DomainError):
    """This day cannot be reconciled."""

    code, status = "day_not_over", 409


class Outcome(StrEnum):
    """What a run found."""

    MATCHED = "matched"
    """Both sides know the same movements."""
    DIFFERS = "differs"
    """Somebody must look at its lines."""
    FAILED = "failed"
    """The provider did not tell."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement in our books: what came is positive. `what` is payment, refund or dispute."""

    what: str
    name: str
    reference: str
    amount_micro: int
    currency: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Line:
    """A name on which the two sides differ; None where a side does not know it."""

    name: str
    reference: str
    currency: str
    ours_micro: int | None
    theirs_micro: int | None
    at: datetime
    note: str

    @property
    def difference_micro(self) -> int:
        """Theirs less ours."""
        return (self.theirs_micro or 0) - (self.ours_micro or 0)


@dataclass(frozen=True, slots=True)
class DaySum:
    """A currency's day: what the provider says moved, and what our books say of the same."""

    currency: str
    ours_micro: int
    theirs_micro: int
    movements: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A day compared."""

    sums: tuple[DaySum, ...]
    lines: tuple[Line, ...]

    @property
    def outcome(self) -> Outcome:
        """Whether somebody must look."""
        return Outcome.DIFFERS if self.lines else Outcome.MATCHED


@dataclass(frozen=True, slots=True)
class DaySpan:
    """A site's day, [start, end), and the wider span in which its movements may stand on the other side."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, day: date, zone: ZoneInfo) -> DaySpan:
        """The day `day` where the site is."""
        start = datetime(day.year, day.month, day.day, tzinfo=zone)
        after = day + timedelta(days=1)
        return cls(start, datetime(after.year, after.month, after.day, tzinfo=zone))

    @property
    def wide(self) -> tuple[datetime, datetime]:
        """What the provider is asked for."""
        return self.start - BEFORE, self.end + AFTER

    def has(self, at: datetime) -> bool:
        """True for an instant of the day."""
        return self.start <= at < self.end

    def near(self, at: datetime) -> bool:
        """True for an instant of the wider span."""
        return self.wide[0] <= at < self.wide[1]


def check_over(day: date, now: datetime, zone: ZoneInfo) -> None:
    """Refuse a day that is not over where the site is."""
    if day >= now.astimezone(zone).date():
        raise DayNotOver(f"{day} is not over: the last whole day is {now.astimezone(zone).date() - timedelta(days=1)}.")


def in_our_currencies(theirs: Sequence[Movement]) -> list[Movement]:
    """The movements that these books can hold."""
    return [movement for movement in theirs if movement.currency in MINOR_DIGITS]


def left_out(span: DaySpan, theirs: Sequence[Movement]) -> str:
    """What of the day's movements is not compared, in a sentence; empty when all are."""
    others = Counter(movement.currency for movement in theirs if span.has(movement.at) and movement.currency not in MINOR_DIGITS)
    named = ", ".join(f"{number} in {currency}" for currency, number in sorted(others.items()))
    return f"Not compared, in currencies that these books do not know: {named}." if named else ""


def compare(span: DaySpan, ours: Sequence[Entry], theirs: Sequence[tuple[str, Movement]], minor: dict[str, int]) -> Comparison:
    """The day of `span`. `ours` are our entries of every name in question, whenever they were made; `theirs` the provider's
    movements of the wider span with their names; `minor` micro-units a minor unit of each currency."""
    told = {(name, movement.currency) for name, movement in theirs if span.has(movement.at)}
    kept = {(entry.name, entry.currency) for entry in ours if span.has(entry.at)}
    lines = [line for name, currency in sorted(told | kept)
             if (line := _line(span, name, currency, _of(ours, name, currency), _their(theirs, name, currency), minor[currency]))]
    return Comparison(tuple(_sum(span, currency, theirs, lines, minor[currency])
                            for currency in sorted({currency for _, currency in told | kept})), tuple(lines))


def _of(ours: Sequence[Entry], name: str, currency: str) -> list[Entry]:
    return [entry for entry in ours if (entry.name, entry.currency) == (name, currency)]


def _their(theirs: Sequence[tuple[str, Movement]], name: str, currency: str) -> list[Movement]:
    return [movement for called, movement in theirs if (called, movement.currency) == (name, currency)]


def _line(span: DaySpan, name: str, currency: str, ours: list[Entry], theirs: list[Movement], minor: int) -> Line | None:
    """None when the two sides agree, be it on what ever happened or on what happened around the day (an older refund that
    came back); also where one says nothing of what left and came back."""
    told = sum(movement.amount_minor for movement in theirs) * minor
    ever = sum(entry.amount_micro for entry in ours)
    lately = sum(entry.amount_micro for entry in ours if span.near(entry.at))
    if told in (ever, lately):
        return None
    reference = next(filter(None, [*(entry.reference for entry in ours), *(movement.reference for movement in theirs)]), "")
    at = min([*(movement.at for movement in theirs), *(entry.at for entry in ours)])
    return Line(name, reference, currency, lately if ours else None, told if theirs else None, at, _note(bool(ours), bool(theirs), told))


def _note(ours: bool, theirs: bool, told: int) -> str:
    if ours and theirs:
        return "both sides know it, with other amounts"
    if ours:
        return "only our books know it"
    return "it came, and our books do not know it" if told > 0 else "it left, and our books do not know why: a refund or dispute made there"


def _sum(span: DaySpan, currency: str, theirs: Sequence[tuple[str, Movement]], lines: Sequence[Line], minor: int) -> DaySum:
    day = [movement.amount_minor * minor for _, movement in theirs if movement.currency == currency and span.has(movement.at)]
    off = sum(line.difference_micro for line in lines if line.currency == currency)
    return DaySum(currency, sum(day) - off, sum(day), len(day))


def event_of(provider: str, livemode: bool, movement: Movement, kind: EventKind) -> ProviderEvent:
    """What the provider should have told by a webhook, as an event."""
    return ProviderEvent(provider=provider, key=f"reconciled:{movement.object}:{kind}", kind=kind, livemode=livemode,
                         reference=movement.reference, money=movement.money, amount_minor=abs(movement.amount_minor),
                         currency=movement.currency, object="" if kind is EventKind.SUCCEEDED else movement.object)
