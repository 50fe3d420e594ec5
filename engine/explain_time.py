"""The time factor of a run taken apart: which of its card's modifiers held for how long, and when.

The same quarter hours that rating weighs a run with (engine/calendars.py), read modifier by modifier. Refuses to know
prices; instants are Unix seconds in and aware UTC out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from engine.calendars import ONE, ROOM, SLOT, Calendar, calendar_table
from engine.rates import RateCard

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TimePart:
    """For `seconds` of a run these modifiers held, in the card's order (none: the plain price); together × `factor_ppm`."""

    modifiers: tuple[str, ...]
    factor_ppm: int
    seconds: int
    spans: tuple[tuple[datetime, datetime], ...]


def time_parts(card: RateCard, begin: int, end: int) -> tuple[TimePart, ...]:
    """What of [begin, end) was under which modifiers, the longest first; a run without length has its instant's."""
    if not card.modifiers:
        return ()
    found: dict[tuple[tuple[str, ...], int], list[Span]] = {}
    for held, span in _stretches(card, begin, end):
        found.setdefault(held, []).append(span)
    made = [TimePart(names, ppm, sum(until - since for since, until in spans), tuple(map(_instants, spans)))
            for (names, ppm), spans in found.items()]
    return tuple(sorted(made, key=lambda part: (-part.seconds, part.modifiers)))


def _stretches(card: RateCard, begin: int, end: int) -> Iterator[tuple[tuple[tuple[str, ...], int], Span]]:
    """Stretches of neighbouring quarter hours under the same modifiers, cut to the run."""
    factors = _by_slot(card, begin, end)
    single = [(number, one) for number, one in enumerate(card.modifiers, 1)]

    def held(slot: int) -> tuple[tuple[str, ...], int]:
        names = tuple(one.name for number, one in single if factors[number][slot] != ONE)
        return names, factors[0][slot]

    last = max(begin, end - 1) // SLOT
    for same, slots in groupby(range(begin // SLOT, last + 1), held):
        listed = list(slots)
        yield same, (max(begin, listed[0] * SLOT), min(end, (listed[-1] + 1) * SLOT))


def _by_slot(card: RateCard, begin: int, end: int) -> list[Mapping[int, int]]:
    """By quarter hour what all modifiers make together, then what each makes alone."""
    calendars = [Calendar(card.time_zone, card.modifiers), *(Calendar(card.time_zone, (one,)) for one in card.modifiers)]
    factors: list[dict[int, int]] = [{} for _ in calendars]
    for key, ppm in calendar_table(calendars, begin, end).select("slot_key", "ppm").iter_rows():
        factors[key // ROOM][key % ROOM] = ppm
    return list(factors)


def _instants(span: Span) -> tuple[datetime, datetime]:
    return datetime.fromtimestamp(span[0], UTC), datetime.fromtimestamp(span[1], UTC)
