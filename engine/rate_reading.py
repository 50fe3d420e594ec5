"""Read rate cards from text. Whatever is wrong is refused with its line and key; nothing is guessed, nothing is zero by default.

Numbers stand in major units and are kept as exact integers. Refuses to know which cards are published.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from itertools import groupby, pairwise
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.errors import MoneyError, RateError
from engine.meters import Meter
from engine.money import INT64_MAX, exact_text, minor_micro, parse_micro
from engine.rates import NODE_TIER, CardConflict, Modifier, Policy, Price, RateCard, Rounding, Step
from engine.yaml_lines import Place, compose, lines_of, refusal

E = TypeVar("E", bound=StrEnum)
NEEDED = ("currency", "valid_from", "policy", "rounding", "prices")
CARD_KEYS = ("tier", "project", "currency", "valid_from", "valid_to", "policy", "rounding", "time_zone", "prices", "modifiers",
             "commitment", "note")
SHOWN_KEYS = ("name", "version")            # as `rates show --json` has them; what they say is not read
LONG_PRICE = ("price", "free", "steps", "package")
MODIFIER_KEYS = ("name", "factor", "hours", "days", "dates", "spans")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_MICRO = INT64_MAX // 10**6
MOST_FACTOR_PPM = 100_000_000
QUARTER = 900


@dataclass(frozen=True, slots=True)
class Draft:
    """A card that was read, and the line of each of its keys."""

    card: RateCard
    line: int
    lines: Mapping[str, int]
    valid_to: datetime | None = None

    def line_of(self, key: str) -> int:
        """Where `key` stands; where the card begins when it does not."""
        return self.lines.get(key, self.line)


def read_drafts(text: str) -> list[Draft]:
    """Unpublished cards from YAML or JSON: one card, a list of them, or `cards:` over a list.

    Cards of one line that leave a gap or overlap are refused, as is everything that is not understood.
    """
    whole = compose(text)
    if whole is None:
        raise RateError(f"No card stands in it. A card is a mapping with the keys {', '.join(CARD_KEYS)}.")
    if whole.is_mapping and "cards" in whole.entries():
        whole = whole.mapping(("cards",))["cards"]
    drafts = [_draft(place) for place in ([whole] if whole.is_mapping else whole.items())]
    if not drafts:
        whole.refuse("no card stands in the list.")
    _check_follow(drafts)
    return drafts


@contextmanager
def naming_lines(drafts: Sequence[Draft]) -> Iterator[None]:
    """What of `drafts` is in the way of the published book is said with its line in the text."""
    try:
        yield
    except CardConflict as conflict:
        draft = next((one for one in drafts if one.card == replace(conflict.card, version=0)), None)
        if draft is None:
            raise
        raise RateError(refusal(draft.line_of(conflict.key), conflict.key, conflict.detail)) from None


def _draft(place: Place) -> Draft:
    given = place.mapping((*CARD_KEYS, *SHOWN_KEYS), NEEDED)
    if ("tier" in given) == ("project" in given):
        place.refuse("a card is either of a 'tier' or of a 'project'.")
    prices, zone = _prices(given["prices"]), _zone(given["time_zone"]) if "time_zone" in given else ZoneInfo("UTC")
    policy = _word(Policy, given["policy"])
    if policy is Policy.BILLING_TRES and not any(price.meter == Meter.BILLING for price in prices):
        given["prices"].refuse("the policy billing_tres charges the meter billing, which has no price here.")
    least, unused = _commitment(given["commitment"], "tier" in given) if "commitment" in given else (0, False)
    card = RateCard(
        tier=_tier(given["tier"]) if "tier" in given else "", project=_project(given["project"]) if "project" in given else "",
        version=0, currency=_currency(given["currency"]), valid_from=_instant(given["valid_from"], zone), policy=policy,
        rounding=_word(Rounding, given["rounding"]), prices=prices,
        modifiers=_modifiers(given["modifiers"], zone) if "modifiers" in given else (),
        commitment_micro=least, commitment_unused=unused, time_zone=zone.key,
        note=_note(given["note"]) if "note" in given else "")
    return Draft(card, place.line, lines_of(given), _valid_to(given, card, zone))


def _valid_to(given: Mapping[str, Place], card: RateCard, zone: ZoneInfo) -> datetime | None:
    if "valid_to" not in given:
        return None
    end = _instant(given["valid_to"], zone)
    if end <= card.valid_from:
        given["valid_to"].refuse("it is not after valid_from.")
    return end


def _check_follow(drafts: Sequence[Draft]) -> None:
    """Cards of one line: no two begin at once, and where one says its end, the next begins right there."""
    ordered = sorted(drafts, key=lambda draft: (draft.card.line, draft.card.valid_from, draft.line))
    for line, group in groupby(ordered, key=lambda draft: draft.card.line):
        for one, following in pairwise(group):
            _check_pair(line, one, following)


def _check_pair(line: str, one: Draft, following: Draft) -> None:
    begins, at = following.card.valid_from, following.line_of("valid_from")
    first = f"the card of {line} in line {one.line}"
    if begins == one.card.valid_from:
        raise RateError(f"In line {at}, valid_from: {first} begins at {_utc(begins)} too: they overlap.")
    if one.valid_to is not None and begins != one.valid_to:
        what = "a gap lies between them" if begins > one.valid_to else "they overlap"
        raise RateError(f"In line {at}, valid_from: {first} ends at {_utc(one.valid_to)}, this one begins at {_utc(begins)}: {what}.")


def _prices(place: Place) -> tuple[Price, ...]:
    found = place.entries()
    if not found:
        place.refuse("no meter has a price.")
    return tuple(price for name, of in found.items() for price in _meter(name, of))


def _meter(name: str, place: Place) -> list[Price]:
    if name not in {str(meter) for meter in Meter}:
        place.refuse(f"unknown meter {name!r}; there are {', '.join(Meter)}.")
    if not place.is_mapping or any(key in LONG_PRICE for key in place.entries()):
        return [_price(name, "", place)]
    models = place.entries()
    if name != Meter.GPU:
        place.refuse(f"a price of {name} is a number or has the keys {', '.join(LONG_PRICE)}; only gpu has models.")
    if "default" not in models:
        place.refuse("'default' is missing: the price of every model that is not named.")
    return [_price(name, _model(model, of), of) for model, of in models.items()]


def _model(name: str, place: Place) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.+-]{0,63}", name):
        place.refuse(f"{name!r} is no model; they are written as in gres/gpu:MODEL, in lower case, such as a100.")
    return "" if name == "default" else name


def _price(meter: str, model: str, place: Place) -> Price:
    if not place.is_mapping:
        return Price(meter, (Step(0, _amount(place)),), model)
    given = place.mapping(LONG_PRICE)
    if "steps" in given:
        for key in ("package", "free", "price"):
            if key in given:
                given[key].refuse(f"{key!r} and 'steps' do not go together.")
        return Price(meter, _steps(given["steps"], meter), model)
    if "price" not in given:
        place.refuse("'price' is missing.")
    micro = _amount(given["price"])
    if "package" in given:
        if "free" in given:
            given["free"].refuse("'free' and 'package' do not go together.")
        return Price(meter, (Step(0, micro),), model, _units(given["package"], meter, least=1))
    free = (Step(0, 0), Step(_units(given["free"], meter, least=1), micro)) if "free" in given else (Step(0, micro),)
    return Price(meter, free, model)


def _steps(place: Place, meter: str) -> tuple[Step, ...]:
    listed = place.items()
    if not listed:
        place.refuse("no step stands here.")
    steps: list[Step] = []
    for one in listed:
        given = one.mapping(("above", "price", "flat"), ("above", "price"))
        above = _units(given["above"], meter)
        if not steps and above:
            given["above"].refuse("the first step is above 0.")
        if steps and above <= steps[-1].above:
            given["above"].refuse(f"{above} is not more than the step before it, {steps[-1].above}: steps ascend.")
        steps.append(Step(above, _amount(given["price"]), _amount(given["flat"]) if "flat" in given else 0))
    return tuple(steps)


def _units(place: Place, meter: str, least: int = 0) -> int:
    text, most = place.text(), INT64_MAX // Meter(meter).unit_size
    if not re.fullmatch(r"[0-9]{1,30}", text) or not least <= int(text) <= most:
        place.refuse(f"{text!r} is not a whole number of {Meter(meter).unit}s between {least} and {most:,}.")
    return int(text)


def _amount(place: Place) -> int:
    """A price in micro-units: no sign, at most six decimals, no thousands' comma that could be a decimal one."""
    text = place.text()
    if re.fullmatch(r"[-−][0-9.]+", text):
        place.refuse(f"{text!r} is negative; a price is zero or more.")
    if re.fullmatch(r"[0-9]*\.[0-9]{7,}", text):
        place.refuse(f"{text!r} has more than six decimals: money is kept in millionths.")
    if not re.fullmatch(r"[0-9]+(\.[0-9]{1,6})?", text):
        place.refuse(f"{text!r} is not an amount such as 1234.50.")
    micro = parse_micro(text) if len(text) < 40 else MOST_MICRO + 1
    if micro > MOST_MICRO:
        place.refuse(f"{text[:40]!r} is too large; the most is {exact_text(MOST_MICRO)}.")
    return micro


def _commitment(place: Place, of_tier: bool) -> tuple[int, bool]:
    """What a month costs at least, and whether a month in which nothing was used does too."""
    if not place.is_mapping:
        return _amount(place), False
    given = place.mapping(("amount", "unused"), ("amount",))
    unused = "unused" in given and _yes(given["unused"])
    if unused and not of_tier:
        given["unused"].refuse("a project is nobody's own: only a tier's card can charge months in which nothing was used.")
    least = _amount(given["amount"])
    return least, unused and least > 0


def _yes(place: Place) -> bool:
    if place.text() not in ("true", "false"):
        place.refuse(f"{place.text()!r} is not true or false.")
    return place.text() == "true"


def _modifiers(place: Place, zone: ZoneInfo) -> tuple[Modifier, ...]:
    modifiers: list[Modifier] = []
    for one in place.items():
        modifier = _modifier(one, zone)
        if modifier.name in {other.name for other in modifiers}:
            one.refuse(f"two modifiers are named {modifier.name!r}.")
        modifiers.append(modifier)
    return tuple(modifiers)


def _modifier(place: Place, zone: ZoneInfo) -> Modifier:
    given = place.mapping(MODIFIER_KEYS, ("name", "factor"))
    name = given["name"].text()
    if not re.fullmatch(r"\w[\w .()%+-]{0,63}", name):
        given["name"].refuse(f"{name!r} is no short name of letters, digits and spaces.")
    return Modifier(
        name, _factor(given["factor"]), _hours(given["hours"]) if "hours" in given else None,
        frozenset(_distinct(given["days"], _weekday)) if "days" in given else frozenset(),
        tuple(_distinct(given["dates"], _date)) if "dates" in given else (), _spans(given["spans"], zone) if "spans" in given else ())


def _factor(place: Place) -> int:
    text = place.text()
    ppm = parse_micro(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text) else -1
    if not 0 <= ppm <= MOST_FACTOR_PPM:
        place.refuse(f"{text!r} is not a factor between 0 and {MOST_FACTOR_PPM // 10**6} with at most six decimals.")
    return ppm


def _hours(place: Place) -> tuple[int, int]:
    text = place.text()
    match = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})\s*-\s*([0-9]{1,2}):([0-9]{2})", text)
    if not match:
        place.refuse(f"{text!r} is not a part of the day such as 18:00-23:00.")
    first_hour, first_minute, last_hour, last_minute = map(int, match.groups())
    first, last = first_hour * 60 + first_minute, last_hour * 60 + last_minute
    if max(first_minute, last_minute) > 59 or first >= 1440 or last > 1440:
        place.refuse(f"{text!r} is not within 00:00-24:00.")
    if first % 15 or last % 15:
        place.refuse(f"{text!r} is not on quarter hours.")
    if first == last:
        place.refuse(f"{text!r} is empty; leave hours out for the whole day.")
    return first, last


def _weekday(place: Place) -> int:
    if place.text() not in DAYS:
        place.refuse(f"{place.text()!r} is not one of {', '.join(DAYS)}.")
    return DAYS.index(place.text())


def _date(place: Place) -> date:
    try:
        return date.fromisoformat(place.text())
    except ValueError:
        place.refuse(f"{place.text()!r} is not a date such as 2026-12-31.")


T = TypeVar("T", int, date)


def _distinct(place: Place, read: Callable[[Place], T]) -> list[T]:
    found: list[T] = []
    for one in place.items():
        value = read(one)
        if value in found:
            one.refuse(f"{one.text()!r} stands here for the second time.")
        found.append(value)
    if not found:
        place.refuse("the list is empty; leave the key out.")
    return found


def _spans(place: Place, zone: ZoneInfo) -> tuple[tuple[datetime, datetime], ...]:
    spans: list[tuple[datetime, datetime]] = []
    for one in place.items():
        span = _span(one, zone)
        if spans and span[0] < spans[-1][1]:
            one.refuse(f"{one.text()!r} begins before the span above it ends: spans ascend and do not overlap.")
        spans.append(span)
    if not spans:
        place.refuse("the list is empty; leave the key out.")
    return tuple(spans)


def _span(place: Place, zone: ZoneInfo) -> tuple[datetime, datetime]:
    first, _, last = place.text().partition("/")
    try:
        start, end = (_aware(datetime.fromisoformat(text.strip()), zone) for text in (first, last))
    except (ValueError, OverflowError):
        place.refuse(f"{place.text()!r} is not a span such as 2026-11-01T10:00:00Z/2026-11-01T12:00:00Z.")
    if any(instant.microsecond or int(instant.timestamp()) % QUARTER for instant in (start, end)):
        place.refuse(f"{place.text()!r} is not on quarter hours.")
    if end <= start:
        place.refuse(f"{place.text()!r} ends before it begins.")
    return start, end


def _tier(place: Place) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", place.text()):
        place.refuse(f"tier {place.text()!r} is not a short lower-case word.")
    if place.text() == NODE_TIER:
        place.refuse(f"tier {NODE_TIER!r} is what the usage of GPU nodes is kept under, which no card prices: choose another word.")
    return place.text()


def _project(place: Place) -> str:
    if not re.fullmatch(r"[^\s/:][^\s/:]{0,127}", place.text()) or not place.text().isprintable():
        place.refuse(f"project {place.text()!r} is not the name of a Slurm account.")
    return place.text()


def _currency(place: Place) -> str:
    try:
        minor_micro(place.text())
    except MoneyError as error:
        place.refuse(error.detail)
    return place.text()


def _instant(place: Place, zone: ZoneInfo) -> datetime:
    try:
        instant = _aware(datetime.fromisoformat(place.text()), zone)
    except (ValueError, OverflowError):
        place.refuse(f"{place.key} {place.text()!r} is not a time such as 2026-10-01T00:00:00Z.")
    if instant.microsecond:
        place.refuse(f"{place.key} {place.text()} is not a whole second: jobs end at whole seconds.")
    return instant


def _aware(instant: datetime, zone: ZoneInfo) -> datetime:
    """An instant without an offset is one of the card's own time zone."""
    return instant.replace(tzinfo=instant.tzinfo or zone).astimezone(UTC)


def _zone(place: Place) -> ZoneInfo:
    try:
        return ZoneInfo(place.text())
    except (ZoneInfoNotFoundError, ValueError, OSError):
        place.refuse(f"{place.text()!r} is no time zone; they are named as in Asia/Bangkok.")


def _note(place: Place) -> str:
    text = place.text()
    if any(unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\n\t" for letter in text):
        place.refuse("it has a control character in it.")
    return text


def _word(kind: type[E], place: Place) -> E:
    try:
        return kind(place.text())
    except ValueError:
        place.refuse(f"{place.text()!r} is not one of {', '.join(kind)}.")


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
