"""The rate book: dated cards, one line of versions per tier. Knows how a card is written, read and refused.

A card is text that people can compare (YAML in, YAML out). Prices stand in major units per unit of the meter
(core-hour, GPU-hour, GiB-hour; Slurm's G is 1024 M) and are kept as integer micro-units.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

import polars as pl
import yaml

from engine.errors import MoneyError, RateError
from engine.money import INT64_MAX, exact_text, minor_micro, parse_micro

METERS = ("cpu", "gpu", "mem")
METER_UNITS = {"cpu": "core-hour", "gpu": "GPU-hour", "mem": "GiB-hour"}
E = TypeVar("E", bound=StrEnum)
CARD_KEYS = ("tier", "currency", "valid_from", "policy", "rounding", "prices", "note")


class Policy(StrEnum):
    """Which quantity is billed."""

    USED = "used"
    """CPU from the steps' TotalCPU (else the job's), GPUs allocated × elapsed, memory from the steps' AveRSS × elapsed."""
    ALLOCATED = "allocated"
    """What AllocTRES set aside × elapsed, whether it was used or not."""


class Rounding(StrEnum):
    """Where an amount becomes a payable one; done once, half away from zero, the difference posted."""

    PER_JOB_MINOR = "per_job_minor"
    PER_RECEIPT_MINOR = "per_receipt_minor"


@dataclass(frozen=True, slots=True)
class RateCard:
    """One dated price list of a tier; `version` is 0 until it is published."""

    tier: str
    version: int
    currency: str
    valid_from: datetime
    policy: Policy
    rounding: Rounding
    cpu_micro_per_core_hour: int
    gpu_micro_per_gpu_hour: int
    mem_micro_per_gib_hour: int
    note: str = ""

    @property
    def name(self) -> str:
        """`TIER-vN`, as it stands on every charge."""
        return f"{self.tier}-v{self.version}"

    def price_micro(self, meter: str) -> int:
        """Micro-units per unit of `meter` (cpu, gpu, mem)."""
        return {"cpu": self.cpu_micro_per_core_hour, "gpu": self.gpu_micro_per_gpu_hour,
                "mem": self.mem_micro_per_gib_hour}[meter]

    def as_text(self) -> dict[str, object]:
        """The card as plain words and numbers, for YAML and JSON."""
        return {"name": self.name, "tier": self.tier, "version": self.version, "currency": self.currency,
                "valid_from": self.valid_from.astimezone(UTC).isoformat().replace("+00:00", "Z"),
                "policy": str(self.policy), "rounding": str(self.rounding),
                "prices": {meter: exact_text(self.price_micro(meter)).replace(",", "") for meter in METERS}, "note": self.note}


_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
DEFAULT_CARDS = tuple(
    RateCard(tier, 1, "THB", _BEGINNING, Policy.USED, Rounding.PER_JOB_MINOR, cpu, gpu, mem, "Default card")
    for tier, cpu, gpu, mem in (
        ("mu", 1_000_000, 5_000_000, 500_000),
        ("gov", 3_000_000, 10_000_000, 1_000_000),
        ("private", 5_000_000, 100_000_000, 2_000_000),
    )
)


def cards_from_text(text: str) -> list[RateCard]:
    """Read unpublished cards from YAML or JSON: one card, a list of them, or `cards:` over a list.

    Every refusal is a RateError that names the card and the key that is wrong.
    """
    try:
        given = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  BaseLoader makes nothing but text
    except yaml.YAMLError as error:
        raise RateError(f"It is neither YAML nor JSON: {' '.join(str(error).split())}.") from None
    cards = given.get("cards", given) if isinstance(given, dict) else given
    listed = cards if isinstance(cards, list) else [cards]
    if not listed or not all(isinstance(card, dict) for card in listed):
        raise RateError(f"A card is a mapping with the keys {', '.join(CARD_KEYS)}.")
    return [_card(card, f"card {number}") for number, card in enumerate(listed, 1)]


def _card(given: Mapping[str, object], where: str) -> RateCard:
    unknown = sorted(set(given) - set(CARD_KEYS) - {"name", "version"})
    missing = [key for key in CARD_KEYS[:-1] if key not in given]
    if unknown or missing:
        raise RateError(f"In {where}: " + "; ".join(
            [f"unknown key {key!r}" for key in unknown] + [f"{key!r} is missing" for key in missing]) + ".")
    prices = given["prices"]
    if not isinstance(prices, dict) or set(prices) != set(METERS):
        raise RateError(f"In {where}: 'prices' needs exactly the meters {', '.join(METERS)}.")
    amounts = {meter: _price(prices[meter], f"{where}, prices.{meter}") for meter in METERS}
    return RateCard(
        tier=_tier(given["tier"], where), version=0, currency=_currency(given["currency"], where),
        valid_from=_instant(given["valid_from"], where), policy=_word(Policy, given["policy"], f"{where}, policy"),
        rounding=_word(Rounding, given["rounding"], f"{where}, rounding"), note=str(given.get("note", "")),
        cpu_micro_per_core_hour=amounts["cpu"], gpu_micro_per_gpu_hour=amounts["gpu"],
        mem_micro_per_gib_hour=amounts["mem"])


def _price(value: object, where: str) -> int:
    try:
        micro = parse_micro(str(value))
    except MoneyError as error:
        raise RateError(f"In {where}: {error.detail}") from None
    if not 0 <= micro <= INT64_MAX // 10**6:
        raise RateError(f"In {where}: {value!r} is not between 0 and {INT64_MAX // 10**12:,} per hour.")
    return micro


def _tier(value: object, where: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", str(value)):
        raise RateError(f"In {where}: tier {value!r} is not a short lower-case word.")
    return str(value)


def _currency(value: object, where: str) -> str:
    try:
        minor_micro(str(value))
    except MoneyError as error:
        raise RateError(f"In {where}: {error.detail}") from None
    return str(value)


def _instant(value: object, where: str) -> datetime:
    try:
        instant = datetime.fromisoformat(str(value))
    except ValueError:
        raise RateError(f"In {where}: valid_from {value!r} is not a time such as 2026-10-01T00:00:00Z.") from None
    return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)


def _word(kind: type[E], value: object, where: str) -> E:
    try:
        return kind(str(value))
    except ValueError:
        raise RateError(f"In {where}: {value!r} is not one of {', '.join(kind)}.") from None


def next_version(card: RateCard, book: Iterable[RateCard], reaching_back: bool = False) -> RateCard:
    """`card` as the next version of its tier; refused where it would rewrite what a published card says.

    A new card must begin at a whole second after the tier's newest one and keep its currency. One that is `reaching_back`
    may begin before it: it holds until the next card begins.
    """
    if card.valid_from.microsecond:
        raise RateError(f"valid_from {card.valid_from.isoformat()} is not a whole second: jobs end at whole seconds.")
    published = sorted((old for old in book if old.tier == card.tier), key=lambda old: old.version)
    if not published:
        return replace(card, version=1)
    newest = published[-1]
    if card.currency != newest.currency:
        raise RateError(f"Tier {card.tier} is billed in {newest.currency}; a card in {card.currency} cannot follow {newest.name}.")
    if card.valid_from <= newest.valid_from and not reaching_back:
        raise RateError(f"valid_from {card.valid_from.isoformat()} is not after that of {newest.name} ({newest.valid_from.isoformat()}).")
    return replace(card, version=newest.version + 1)


def cards_frame(book: Sequence[RateCard]) -> pl.DataFrame:
    """The book as a frame for rating: one row a card with its half-open span [valid_from, valid_to) in Unix seconds."""
    rows = []
    for card in book:
        later = [other.valid_from for other in book if other.tier == card.tier and other.valid_from > card.valid_from]
        rows.append((card.tier, card.name, _seconds(card.valid_from), _seconds(min(later)) if later else INT64_MAX,
                     str(card.policy), str(card.rounding), card.currency, minor_micro(card.currency),
                     card.cpu_micro_per_core_hour, card.gpu_micro_per_gpu_hour, card.mem_micro_per_gib_hour))
    return pl.DataFrame(rows, schema=CARD_SCHEMA, orient="row")


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())


CARD_SCHEMA: dict[str, pl.DataType] = {
    "tier": pl.String(), "rate_card": pl.String(), "valid_from": pl.Int64(), "valid_to": pl.Int64(),
    "policy": pl.String(), "rounding": pl.String(), "currency": pl.String(), "minor_micro": pl.Int64(),
    "cpu_rate": pl.Int64(), "gpu_rate": pl.Int64(), "mem_rate": pl.Int64(),
}
