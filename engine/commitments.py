"""Minimum commitments: what a payer's month costs at least, as one line of the month, never of a job.

A card that begins or ends within the month counts for its days, half-open: a day belongs to the card that is valid at
its first instant in the site's zone. What is owed is the month's minimum less what its usage cost, less what live lines
billed of it already. Refuses to know receipts and where sums come from.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from engine.errors import MoneyError
from engine.money import nearest, round_to_minor
from engine.rates import RateCard, Rounding


@dataclass(frozen=True, slots=True)
class Share:
    """What one card adds to a month's minimum: the days it holds, and its share in micro-units."""

    rate_card: str
    days: int
    micro: int


@dataclass(frozen=True, slots=True)
class Minimum:
    """What a month on one line of the book costs at least: the shares of its cards, and the last of these."""

    card: RateCard
    days: int                               # of the month
    shares: tuple[Share, ...]

    @property
    def micro(self) -> int:
        """All of it."""
        return sum(share.micro for share in self.shares)


@dataclass(frozen=True, slots=True, order=True)
class PayersMonth:
    """A payer's month, by its first day, on one line of the book."""

    payer: str
    month: date
    line: str


@dataclass(frozen=True, slots=True)
class Billed:
    """What live lines say of a month: their sum, whether one of them is its first, and the last number given to any."""

    micro: int
    first: bool
    revision: int


NOT_BILLED = Billed(0, False, 0)


@dataclass(frozen=True, slots=True)
class MonthDue:
    """A payer's month beside its minimum, and what was billed of the shortfall already."""

    of: PayersMonth
    tier: str                               # of the payer, now
    minimum: Minimum
    used_micro: int
    billed: Billed = NOT_BILLED

    @property
    def due_micro(self) -> int:
        """What is charged for the month besides its usage."""
        return max(0, self.minimum.micro - self.used_micro)

    @property
    def owed_micro(self) -> int:
        """What the next receipt adds, or takes off."""
        return self.due_micro - self.billed.micro

    @property
    def kind(self) -> str:
        """What its next line is: the first one, or a correction of it."""
        return "adjustment" if self.billed.first else "commitment"


@dataclass(frozen=True, slots=True)
class Months:
    """Months that are over, as they are known: what their usage cost where anything was used, what was billed, who pays."""

    used: Mapping[PayersMonth, int]
    billed: Mapping[PayersMonth, Billed]
    tiers: Mapping[str, str]                                        # of every payer in question
    since: Mapping[str, date] = field(default_factory=dict)         # the month each of them was first known in


@dataclass(frozen=True, slots=True)
class MonthLine:
    """What a receipt says of a month's minimum: the first line, or a correction of it. `shares` are (card, days, micro)."""

    of: PayersMonth
    number: str                             # of the receipt
    status: str
    kind: str
    live: bool
    revision: int
    minimum_micro: int
    used_micro: int
    before_micro: int
    cost_micro: int
    currency: str
    shares: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class MonthStanding:
    """A payer's month as it is now, and the lines that receipts have of it."""

    due: MonthDue
    lines: tuple[MonthLine, ...]


def committed(book: Iterable[RateCard]) -> frozenset[str]:
    """Lines of the book on which some card has a minimum."""
    return frozenset(card.line for card in book if card.commitment_micro)


def months_due(book: Sequence[RateCard], known: Months, until: date, zone: ZoneInfo) -> list[MonthDue]:
    """Every payer's month before `until` (a first day) that has a minimum or was billed one; by payer, month and line.

    A tier's minimum is owed by whoever is of that tier now, as what is unbilled is priced; once billed it is kept right
    whatever becomes of the tier. A month in which nothing was used owes nothing, unless the card says so.
    """
    lines = {line: [card for card in book if card.line == line] for line in committed(book) | {of.line for of in known.billed}}
    asked = {*known.used, *known.billed, *_unused(lines, known, until)}
    found = (_due(of, lines[of.line], known, zone) for of in sorted(asked) if of.line in lines and of.month < until)
    return [due for due in found if due.minimum.shares or due.billed.micro]


def _due(of: PayersMonth, versions: Sequence[RateCard], known: Months, zone: ZoneInfo) -> MonthDue:
    billed, tier = known.billed.get(of, NOT_BILLED), known.tiers[of.payer]
    owes = billed.first or bool(versions[0].project) or of.line == tier
    least = minimum(versions, of.month, zone, unused=of not in known.used)
    return MonthDue(of, tier, least if owes else Minimum(least.card, least.days, ()), known.used.get(of, 0), billed)


def _unused(lines: Mapping[str, Sequence[RateCard]], known: Months, until: date) -> Iterable[PayersMonth]:
    """Months since a payer of the tier is known, where some card of it has a minimum for months without usage too."""
    for payer, since in known.since.items():
        begins = [card.valid_from.date() for card in lines.get(known.tiers[payer], ()) if card.commitment_unused]
        if begins:
            first = max(since, (min(begins) - timedelta(days=1)).replace(day=1))
            yield from (PayersMonth(payer, month, known.tiers[payer]) for month in months_between(first, until))


def months_between(first: date, until: date) -> list[date]:
    """The first days of the months from that of `first` up to, not including, that of `until`."""
    numbers = range(first.year * 12 + first.month - 1, until.year * 12 + until.month - 1)
    return [date(number // 12, number % 12 + 1, 1) for number in numbers]


def month_end(month: date, zone: ZoneInfo) -> datetime:
    """The first instant after a month of `zone`."""
    return datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=zone)


def minimum(versions: Sequence[RateCard], month: date, zone: ZoneInfo, unused: bool = False) -> Minimum:
    """The minimum of a month on one line, by the versions that hold in it; without shares where it is nothing.

    Each version adds its commitment × its days / the days of the month; of a month that is `unused` only those that say so
    do. The sum is rounded once, to the minor unit where the last version rounds jobs to it, else to the micro-unit, and
    split so that the shares add up to it.
    """
    days = monthrange(month.year, month.month)[1]
    held = [_valid(versions, month + timedelta(day), zone) for day in range(days)]
    counted = [(card, held.count(card)) for card in dict.fromkeys(held)
               if card and card.commitment_micro and (card.commitment_unused or not unused)]
    return Minimum(counted[-1][0], days, _shares(counted, days)) if counted else Minimum(versions[-1], days, ())


def _shares(counted: Sequence[tuple[RateCard, int]], days: int) -> tuple[Share, ...]:
    """Each card's share of a month of so many days, by the days it held."""
    parts, last = [card.commitment_micro * held for card, held in counted], counted[-1][0]
    due = nearest(sum(parts), days)
    due = round_to_minor(due, last.currency) if last.rounding is Rounding.PER_JOB_MINOR else due
    return tuple(Share(card.name, held, micro) for (card, held), micro in zip(counted, split(due, parts), strict=True))


def misstated(line: MonthLine, book: Mapping[str, RateCard]) -> str:
    """Where a line's shares are not what its cards and their days make; empty when they are."""
    days = monthrange(line.of.month.year, line.of.month.month)[1]
    cards = [(book[name], held) for name, held, _ in line.shares]
    if sum(held for _, held in cards) > days or any(card.line != line.of.line for card, _ in cards):
        return f"its cards hold for more than {days} days, or are not of {line.of.line}"
    made = [share.micro for share in _shares(cards, days)] if cards else []
    if made != [micro for _, _, micro in line.shares] or sum(made) != line.minimum_micro:
        return f"its minimum is stated as {line.minimum_micro}, its cards make {sum(made)}"
    return ""


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


def _valid(versions: Sequence[RateCard], day: date, zone: ZoneInfo) -> RateCard | None:
    begun = [card for card in versions if card.valid_from <= datetime(day.year, day.month, day.day, tzinfo=zone)]
    return max(begun, key=lambda card: (card.valid_from, card.version), default=None)
