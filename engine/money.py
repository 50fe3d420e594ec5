"""Money: integers of micro-units (10⁻⁶ of the major unit) with their currency. No float comes near it.

Providers speak minor units (satang, cents): they are converted by multiplication at the border, and a value
that is no whole multiple is refused. What a person reads is made here too, exactly, from the integer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from engine.errors import MoneyError

MICRO = 1_000_000
INT64_MAX = 2**63 - 1

# Digits after the decimal point that a provider's minor unit has; ISO 4217 for the currencies a site may choose.
MINOR_DIGITS = {"THB": 2, "USD": 2, "EUR": 2, "GBP": 2, "CHF": 2, "AUD": 2, "SGD": 2, "NGN": 2, "GHS": 2, "ZAR": 2,
                "KES": 2, "MYR": 2, "JPY": 0, "KRW": 0, "VND": 0}


def minor_micro(currency: str) -> int:
    """Micro-units in one minor unit: 10_000 for THB, 1_000_000 for JPY. Unknown currencies are refused."""
    if currency not in MINOR_DIGITS:
        raise MoneyError(f"Currency {currency!r} is not one of {', '.join(sorted(MINOR_DIGITS))}.")
    return int(10 ** (6 - MINOR_DIGITS[currency]))


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """`micro` micro-units of `currency`; the sign says the direction."""

    micro: int
    currency: str

    def __post_init__(self) -> None:
        if not isinstance(self.micro, int) or isinstance(self.micro, bool):
            raise MoneyError(f"An amount is a whole number of micro-units, not {self.micro!r}.")
        if abs(self.micro) > INT64_MAX:
            raise MoneyError(f"{self.micro} micro-units do not fit 64 bits.")
        minor_micro(self.currency)

    def __add__(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise MoneyError(f"{self.currency} and {other.currency} cannot be added.")
        return Money(self.micro + other.micro, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.micro, self.currency)

    def __sub__(self, other: Money) -> Money:
        return self + -other

    def __str__(self) -> str:
        return f"{amount_text(self.micro, self.currency)} {self.currency}"


def from_minor(minor: int, currency: str) -> Money:
    """A provider's minor units as money: 6060 THB satang is 60.60 THB."""
    return Money(minor * minor_micro(currency), currency)


def to_minor(money: Money) -> int:
    """Money as a provider's minor units; refused when a fraction of one would be lost."""
    whole, rest = divmod(money.micro, minor_micro(money.currency))
    if rest:
        raise MoneyError(f"{money.micro} micro-units are no whole number of {money.currency} minor units.")
    return whole


def round_to_minor(micro: int, currency: str) -> int:
    """Nearest whole minor unit in micro-units, halves away from zero."""
    step = minor_micro(currency)
    sign = -1 if micro < 0 else 1
    return sign * ((2 * abs(micro) + step) // (2 * step)) * step


def share_to_minor(micro: int, ppm: int, currency: str) -> int:
    """`ppm` millionths of `micro`, exact until it is rounded once: to the nearest minor unit, halves away from zero."""
    step = minor_micro(currency) * MICRO
    sign = -1 if micro < 0 else 1
    return sign * ((2 * abs(micro) * ppm + step) // (2 * step)) * minor_micro(currency)


def nearest(number: int, size: int) -> int:
    """`number` / `size` to the nearest whole, halves up; for what is never negative."""
    return (2 * number + size) // (2 * size)


def contained_to_minor(micro: int, ppm: int, currency: str) -> int:
    """The tax of `ppm` millionths that `micro` contains: 7 of 107. Rounded once to the minor unit, halves away from zero."""
    step, whole = minor_micro(currency), MICRO + ppm
    sign = -1 if micro < 0 else 1
    return sign * ((2 * abs(micro) * ppm + whole * step) // (2 * whole * step)) * step


def shared_out(micro: int, weights: Mapping[str, int]) -> dict[str, int]:
    """`micro` split in proportion to `weights`, exactly: odd units go to the largest remainders, then the first named."""
    whole = sum(weights.values())
    if not whole:
        raise MoneyError("Nothing can be shared out in proportion to nothing.")
    parts = {name: divmod(micro * weight, whole) for name, weight in weights.items()}
    odd = micro - sum(part for part, _ in parts.values())
    order = sorted(parts, key=lambda name: -abs(parts[name][1]))[:odd]
    return {name: part + (name in order) for name, (part, _) in parts.items()}


def parse_micro(text: str) -> int:
    """`"1,234.5"` as 1_234_500_000 micro-units; more than six decimals, or anything else, is refused."""
    match = re.fullmatch(r"\s*([+\-−]?)(\d[\d,_]*)(?:\.(\d{1,6}))?\s*", text)
    if not match:
        raise MoneyError(f"{text!r} is not an amount such as 1234.50 (at most six decimals).")
    sign, whole, fraction = match.groups()
    micro = int(re.sub("[,_]", "", whole)) * MICRO + int((fraction or "").ljust(6, "0"))
    return -micro if sign in ("-", "−") else micro


def amount_text(micro: int, currency: str = "THB", decimals: int | None = None) -> str:
    """`1,234.56` with the currency's decimals (or `decimals`), rounded halves away from zero; true minus sign."""
    digits = MINOR_DIGITS.get(currency, 2) if decimals is None else decimals
    step = int(10 ** (6 - digits))
    units = (2 * abs(micro) + step) // (2 * step)
    whole, fraction = divmod(units, int(10**digits))
    text = f"{whole:,}" + (f".{fraction:0{digits}d}" if digits else "")
    return f"−{text}" if micro < 0 and units else text


def exact_text(micro: int) -> str:
    """The amount with as many decimals as it has, at least two: `0.000555`, `60.60`."""
    whole, fraction = divmod(abs(micro), MICRO)
    decimals = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{'−' if micro < 0 else ''}{whole:,}.{decimals}"
