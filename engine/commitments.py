"""Minimum commitments: what a payer's month costs at least, as one line of the month, never of a job.

A card that begins or ends within the month counts for its days, half-open: a day belongs to the card that is valid at
its first instant in the card's zone. Refuses to know receipts and where sums come from.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from engine.errors import MoneyError
from engine.money import round_to_minor
from engine.rates import RateCard, Rounding


@dataclass(frozen=True, slots=True)
class Part:
    """What one card adds to a month's minimum: the days it holds, and its share in micro-units."""

    rate_card: str
    days: int
    micro: int


@dataclass(frozen=True, slots=True)
class MonthLine:
    """What a payer still owes for a month on one line of the book: the minimum less what its usage cost."""

    payer: str
    line: str
    month: date                             # its first day
    currency: str
    parts: tuple[Part, ...]
    used_micro: int

    @property
    def commitment_micro(self) -> int:
        """The month's minimum."""
        return sum(part.micro for part in self.parts)

    @property
    def amount_micro(self) -> int:
        """What is charged besides the usage."""
        return max(0, self.commitment_micro - self.used_micro)


def month_lines(cards: Sequence[RateCard], year: int, month: int, used: Mapping[tuple[str, str], int]) -> list[MonthLine]:
    """The minimum of every (payer, line) in `used`, which says what its usage cost that month in micro-units.

    Name in it whoever used anything, and with 0 whoever holds a commitment. Lines without a commitment in that month give
    nothing; one that is met gives a line of 0. In the order of `used`.
    """
    parts = {line: month_parts([card for card in cards if card.line == line], year, month) for line in {line for _, line in used}}
    currency = {card.line: card.currency for card in cards}
    return [MonthLine(payer, line, date(year, month, 1), currency[line], parts[line], micro)
            for (payer, line), micro in used.items() if parts[line]]


def month_parts(versions: Sequence[RateCard], year: int, month: int) -> tuple[Part, ...]:
    """The minimum of a month on one line, by the versions that hold in it; empty where it is nothing.

    Each version adds its commitment × its days / the days of the month. The sum is rounded once, to the minor unit where
    the last version rounds jobs to it, else to the micro-unit, and split so that the parts add up to it.
    """
    days = monthrange(year, month)[1]
    held = [_valid(versions, date(year, month, 1) + timedelta(day)) for day in range(days)]
    counted = {card: held.count(card) for card in dict.fromkeys(held) if card}
    shares = [card.commitment_micro * count for card, count in counted.items()]
    if not sum(shares):
        return ()
    last = list(counted)[-1]
    due = (2 * sum(shares) + days) // (2 * days)
    due = round_to_minor(due, last.currency) if last.rounding is Rounding.PER_JOB_MINOR else due
    return tuple(Part(card.name, count, micro) for (card, count), micro in zip(counted.items(), split(due, shares), strict=True))


def split(total: int, shares: Sequence[int]) -> list[int]:
    """`total` in whole parts as `shares` are to each other; odd units go to the largest remainders, then to the first named."""
    whole = sum(shares)
    if total < 0 or whole <= 0 or min(shares) < 0:
        raise MoneyError(f"{total} cannot be split as {', '.join(map(str, shares))}.")
    parts = [total * share // whole for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda place: -(total * shares[place] % whole))
    for place in by_remainder[:total - sum(parts)]:
        parts[place] += 1
    return parts


def _valid(versions: Sequence[RateCard], day: date) -> RateCard | None:
    begun = [card for card in versions if card.valid_from <= datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(card.time_zone))]
    return max(begun, key=lambda card: (card.valid_from, card.version), default=None)
