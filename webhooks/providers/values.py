"""Reading what a provider wrote: every value by its name and of its type, or a BadEvent that says which and why.

Whatever stands in a webhook ends in Postgres, in a log line and on a page: words are plain ASCII, free text is cut and
freed of what no database keeps. Knows no provider.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import cast

from engine.money import MINOR_DIGITS
from engine.payments import BadEvent, strict_json

Values = Mapping[str, object]
MOST_MINOR = 10**12                             # far above any receipt, far below 64 bits in micro-units
MOST_TEXT = 200
_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)
_LETTERS = re.compile(r"[A-Za-z]{3}", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,15}", re.ASCII)
_LINK = re.compile(r"https?://[!-~]{1,2000}", re.ASCII)


def read(body: bytes) -> dict[str, object]:
    """A JSON object; fractions, which providers write beside the money, stay text."""
    return strict_json(body, fractions=True)


def group(values: Values, name: str) -> Values:
    """The object under `name`; nothing in it where it is missing or null."""
    value = values.get(name)
    if value is None or value in ("", 0, []):       # how some write "no metadata"
        return {}
    if not isinstance(value, dict):
        raise BadEvent(f"{name} must be an object.")
    return cast(Values, value)


def needed(values: Values, name: str) -> Values:
    """The object under `name`, which must be there."""
    value = values.get(name)
    if not isinstance(value, dict):
        raise BadEvent(f"{name} must be an object.")
    return cast(Values, value)


def items(values: Values, name: str) -> list[Values]:
    """The objects in the list under `name`."""
    value = values.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadEvent(f"{name} must be a list of objects.")
    return cast(list[Values], value)


def each_once(found: Iterable[Values]) -> Iterator[Values]:
    """The objects without those that came before: a list that grows while it is read page by page tells some twice."""
    seen: set[str] = set()
    for one in found:
        if (name := number_word(one, "id")) not in seen:
            seen.add(name)
            yield one


def word(values: Values, name: str) -> str:
    """A name without blanks, such as an id."""
    value = values.get(name)
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise BadEvent(f"{name} must be a word of at most 128 letters, digits and _ . : -")
    return value


def word_if_any(values: Values, name: str) -> str:
    """The same, empty where there is none."""
    return "" if values.get(name) in (None, "") else word(values, name)


def mark(values: Values, name: str) -> str:
    """What we wrote there ourselves, such as our reference; what somebody else wrote in its place in words of their own is no
    mark of ours and counts as none."""
    value = values.get(name)
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def number_word(values: Values, name: str) -> str:
    """An id that is a whole number, or a word, as a word."""
    value = values.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64:
        return str(value)
    return word(values, name)


def id_of(values: Values, name: str) -> str:
    """The id of what is under `name`, whether it was expanded or not; empty where there is none."""
    return word(group(values, name), "id") if isinstance(values.get(name), dict) else word_if_any(values, name)


def flag(values: Values, name: str) -> bool:
    """True or false."""
    value = values.get(name)
    if not isinstance(value, bool):
        raise BadEvent(f"{name} must be true or false.")
    return value


def whole(values: Values, name: str, least: int, most: int) -> int:
    """A whole number in [least, most]."""
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadEvent(f"{name} must be a whole number from {least} to {most}.")
    return value


def minor(values: Values, name: str = "amount") -> int:
    """An amount in minor units, at least 1; its digits as text count too."""
    value = values.get(name)
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return whole({name: int(value)}, name, 1, MOST_MINOR)
    return whole(values, name, 1, MOST_MINOR)


def currency(values: Values, name: str = "currency") -> str:
    """An ISO 4217 code these books know, whichever case it came in."""
    value = values.get(name)
    if not isinstance(value, str) or value.upper() not in MINOR_DIGITS:
        raise BadEvent(f"{name} must be one of {', '.join(sorted(MINOR_DIGITS))}.")
    return value.upper()


def any_currency(values: Values, name: str = "currency") -> str:
    """The three letters of any currency: what somebody else sells for through the same account may be none of ours."""
    value = values.get(name)
    if not isinstance(value, str) or not _LETTERS.fullmatch(value):
        raise BadEvent(f"{name} must be three letters.")
    return value.upper()


def text(values: Values, name: str) -> str:
    """Free text on one line, cut at MOST_TEXT; empty where there is none."""
    value = values.get(name)
    return "".join(c for c in value if c.isprintable())[:MOST_TEXT] if isinstance(value, str) else ""


def link(values: Values, name: str) -> str:
    """An address a browser is sent to."""
    value = values.get(name)
    if not isinstance(value, str) or not _LINK.fullmatch(value):
        raise BadEvent(f"{name} must be an address.")
    return value


def instant(values: Values, *names: str) -> datetime:
    """The first of these ISO 8601 times that is there, in UTC."""
    found = next((value for name in names if (value := values.get(name))), None)
    try:
        at = datetime.fromisoformat(found) if isinstance(found, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise BadEvent(f"{names[0]} must be a time such as 2026-11-28T12:00:00Z.")
    return at.astimezone(UTC)
