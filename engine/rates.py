"""The rate book: dated cards, one line of versions per tier or project. Knows what a card says and which card follows which.

A price is integer micro-units per unit of its meter (engine/meters.py). Refuses to know how a card is written down
(engine/rate_text.py) and how a run is priced by it (engine/rating.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum

from engine.errors import RateError
from engine.meters import Meter

METERS = ("cpu", "gpu", "mem")              # the meters that have columns of their own in a charge
METER_UNITS = {str(meter): meter.unit for meter in Meter}
_ORDER = {str(meter): place for place, meter in enumerate(Meter)}
NODE_TIER = "gpu_node"                      # what the usage of GPU nodes, paid as it ran, is kept under; no card prices it


class Policy(StrEnum):
    """Which quantity is billed."""

    USED = "used"
    """CPU from the steps' TotalCPU (else the job's), GPUs allocated × elapsed, memory from the steps' AveRSS × elapsed."""
    ALLOCATED = "allocated"
    """What AllocTRES set aside × elapsed, whether it was used or not."""
    MAX_OF = "max_of"
    """What AllocTRES set aside × elapsed; the job costs what its dearest meter costs, the others nothing."""
    BILLING_TRES = "billing_tres"
    """Slurm's own AllocTRES `billing` × elapsed at the price of the meter billing; the other meters cost nothing."""


class Rounding(StrEnum):
    """Where an amount becomes a payable one; done once, half away from zero, the difference posted."""

    PER_JOB_MINOR = "per_job_minor"
    PER_RECEIPT_MINOR = "per_receipt_minor"


@dataclass(frozen=True, slots=True)
class Step:
    """From `above` whole units of the meter used this month on, a unit costs `micro_per_unit`; the first step is above 0."""

    above: int
    micro_per_unit: int
    flat_micro: int = 0                     # charged once when the month's usage goes above `above`; nothing used, nothing charged


@dataclass(frozen=True, slots=True)
class Price:
    """Of one meter. A free quota of N units is Step(0, 0) followed by Step(N, price)."""

    meter: str
    steps: tuple[Step, ...]                 # ascending
    model: str = ""                         # gpu only: a100, h100 … as in gres/gpu:MODEL; "" is every model not named
    package: int = 0                        # > 0: sold in whole packages of so many units; the one step's price is a package's

    @property
    def first_micro(self) -> int:
        """Micro-units of the first unit (or package) that is not free."""
        return next((step.micro_per_unit for step in self.steps if step.micro_per_unit), 0)

    @property
    def is_plain(self) -> bool:
        """Whether every unit costs the same."""
        return len(self.steps) == 1 and not self.package and not self.steps[0].flat_micro


@dataclass(frozen=True, slots=True)
class Modifier:
    """One factor on the time of a run. Of hours, weekdays, dates and spans all that are given must hold at an instant."""

    name: str
    factor_ppm: int                                             # 1_200_000 is × 1.2; 0 … 100_000_000
    hours: tuple[int, int] | None = None                        # minutes of the local day [from, to); from > to wraps midnight
    weekdays: frozenset[int] = frozenset()                      # 0 is Monday; empty is every day
    dates: tuple[date, ...] = ()                                # holidays; empty is every day
    spans: tuple[tuple[datetime, datetime], ...] = ()           # instants [from, to), whole quarter hours; empty is always


@dataclass(frozen=True, slots=True)
class RateCard:
    """One dated price list of a tier or a project; `version` is 0 until it is published. Prices stand in meter order."""

    tier: str                               # "" where it is a project's
    version: int
    currency: str
    valid_from: datetime
    policy: Policy
    rounding: Rounding
    prices: tuple[Price, ...]
    modifiers: tuple[Modifier, ...] = ()    # multiplied in this order
    commitment_micro: int = 0               # a payer's month on this card costs at least this
    time_zone: str = "UTC"                  # of modifiers and of the months of quotas
    project: str = ""                       # prices what is run in that Slurm account, for payers of any tier
    note: str = ""
    commitment_unused: bool = False         # … also a month in which nothing was used

    def __post_init__(self) -> None:
        ordered = sorted(self.prices, key=lambda price: (_ORDER.get(price.meter, len(_ORDER)), price.model))
        object.__setattr__(self, "prices", tuple(ordered))

    @property
    def line(self) -> str:
        """What versions follow each other in: the tier, or `project:ACCOUNT`."""
        return self.tier or f"project:{self.project}"

    @property
    def name(self) -> str:
        """`TIER-vN` or `project:ACCOUNT-vN`, as it stands on every charge."""
        return f"{self.line}-v{self.version}"

    def price(self, meter: str, model: str = "") -> Price | None:
        """The price of `meter`; of a GPU model the card does not name, the price of every other model."""
        found = {price.model: price for price in self.prices if price.meter == meter}
        return found.get(model, found.get(""))

    def price_micro(self, meter: str) -> int:
        """Micro-units of the first unit (or package) of `meter` that is not free; 0 when the card does not charge it."""
        price = self.price(meter)
        return price.first_micro if price else 0

    def only_price_micro(self, meter: str) -> int | None:
        """Micro-units of every unit of `meter` on every job; None where model, step, package, factor or policy make them differ."""
        prices = [price for price in self.prices if price.meter == meter]
        if len(prices) > 1 or not all(price.is_plain for price in prices) or self.modifiers or self.policy is Policy.MAX_OF:
            return None
        return self.price_micro(meter)


def flat_prices(**micro_per_unit: int) -> tuple[Price, ...]:
    """One price a meter that is the same for every unit: `flat_prices(cpu=3_000_000, gpu=10_000_000)`."""
    return tuple(Price(meter, (Step(0, micro),)) for meter, micro in micro_per_unit.items())


def with_prices(card: RateCard, **micro_per_unit: int) -> RateCard:
    """`card` with the named meters at these flat prices and all else as it was."""
    kept = tuple(price for price in card.prices if price.meter not in micro_per_unit)
    return replace(card, prices=kept + flat_prices(**micro_per_unit))


_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
DEFAULT_CARDS = tuple(
    RateCard(tier, 1, "THB", _BEGINNING, Policy.USED, Rounding.PER_JOB_MINOR, flat_prices(cpu=cpu, gpu=gpu, mem=mem), note="Default card")
    for tier, cpu, gpu, mem in (
        ("mu", 1_000_000, 5_000_000, 500_000),
        ("gov", 3_000_000, 10_000_000, 1_000_000),
        ("private", 5_000_000, 100_000_000, 2_000_000),
    )
)


class CardConflict(RateError):
    """The rate card cannot be used."""

    def __init__(self, card: RateCard, key: str, detail: str) -> None:
        self.card, self.key = card, key     # which key of which card is in the way of the published book
        super().__init__(detail)


def next_version(card: RateCard, book: Iterable[RateCard], reaching_back: bool = False) -> RateCard:
    """`card` as the next version of its line; refused where it would rewrite what a published card says.

    A new card must begin at a whole second after the line's newest one and keep its currency. One that is `reaching_back`
    may begin before it: it holds until the next card begins.
    """
    if card.valid_from.microsecond:
        raise CardConflict(card, "valid_from",
                           f"valid_from {card.valid_from.isoformat()} is not a whole second: jobs end at whole seconds.")
    published = sorted((old for old in book if old.line == card.line), key=lambda old: old.version)
    if not published:
        return replace(card, version=1)
    newest = max(published, key=lambda old: (old.valid_from, old.version))
    if card.currency != newest.currency:
        what = f"Tier {card.tier}" if card.tier else f"Project {card.project}"
        raise CardConflict(card, "currency",
                           f"{what} is billed in {newest.currency}; a card in {card.currency} cannot follow {newest.name}.")
    if card.valid_from <= newest.valid_from and not reaching_back:
        raise CardConflict(card, "valid_from", f"valid_from {card.valid_from.isoformat()} is not after that of {newest.name} "
                           f"({newest.valid_from.isoformat()}).")
    return replace(card, version=published[-1].version + 1)


def valid_cards(book: Iterable[RateCard], moment: datetime) -> list[RateCard]:
    """The card of each line that prices what ends at `moment`, in the order of `book`."""
    valid: dict[str, RateCard] = {}
    for card in book:
        other = valid.get(card.line)
        if card.valid_from <= moment and (other is None or (card.valid_from, card.version) > (other.valid_from, other.version)):
            valid[card.line] = card
    return list(valid.values())
