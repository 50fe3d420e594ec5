"""Allocations: the right to use a node from one instant to another, charged from a wallet as it runs.

Charges follow the floor formula: after S billed seconds at P micro-units an hour, floor(S × P / 3600) was charged, whatever the
stretches it was charged in; so nothing is lost or doubled between them. Pure: knows no table, no clock and no node's ways.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum

from engine.errors import DomainError, IllegalMove
from engine.ledger import Kind, LedgerName, Posting, balanced
from engine.money import Money
from engine.nodes import Node, NodeState
from engine.rates import RateCard
from engine.wallets import InsufficientBalance, Wallet

HOUR_SECONDS = 3600
METER = "gpu_node"                          # of the income that nodes earn
LONGEST = timedelta(days=366)
NEVER = datetime.min.replace(tzinfo=UTC)


class AllocationState(StrEnum):
    """Where an allocation stands."""

    REQUESTED = "requested"
    """Somebody asked for it; nothing was done on the node yet."""
    PROVISIONING = "provisioning"
    """A sidecar sets up user and key on the node; nothing is charged yet."""
    ACTIVE = "active"
    """Its holder can work, and it is charged."""
    SUSPENDED = "suspended"
    """Its node is out of reach: it is not charged until it answers again."""
    STOPPING = "stopping"
    """It is over and charged to its end; a sidecar cleans the node."""
    CLEANUP_FAILED = "cleanup_failed"
    """The node could not be cleaned yet and nobody gets it; it is tried again."""
    RELEASED = "released"
    """Nothing of it is left on the node."""
    FAILED = "failed"
    """It never began: the node could not be set up, and nothing was charged."""


MOVES: dict[AllocationState, frozenset[AllocationState]] = {
    AllocationState.REQUESTED: frozenset({AllocationState.PROVISIONING, AllocationState.FAILED, AllocationState.STOPPING}),
    AllocationState.PROVISIONING: frozenset({AllocationState.ACTIVE, AllocationState.FAILED, AllocationState.STOPPING}),
    AllocationState.ACTIVE: frozenset({AllocationState.SUSPENDED, AllocationState.STOPPING}),
    AllocationState.SUSPENDED: frozenset({AllocationState.ACTIVE, AllocationState.STOPPING}),
    AllocationState.STOPPING: frozenset({AllocationState.RELEASED, AllocationState.CLEANUP_FAILED}),
    AllocationState.CLEANUP_FAILED: frozenset({AllocationState.RELEASED, AllocationState.STOPPING}),
    AllocationState.RELEASED: frozenset(),
    AllocationState.FAILED: frozenset(),
}
RUNNING = frozenset({AllocationState.ACTIVE, AllocationState.SUSPENDED})
OVER = frozenset({AllocationState.RELEASED, AllocationState.FAILED})


class NodeTaken(DomainError):
    """This node cannot be had now."""

    code, status = "node_taken", 409


class TooMany(DomainError):
    """You hold as many nodes as you may."""

    code, status = "too_many", 409


class BadTerm(DomainError):
    """This end cannot be agreed."""

    code = "bad_term"


@dataclass(frozen=True, slots=True)
class Allocation:
    """A node in somebody's hands. Instants are UTC; charges begin at `active_at`, are made on a grid of `interval_seconds` from
    there, and end at `stopped_at`. `tenant` is the holder's name on the node, `holder` their name here."""

    id: str
    node_id: str
    user_id: int
    holder: str
    wallet: str
    currency: str
    tenant: str
    public_key: str
    rate_card: str
    price_micro_per_hour: int
    interval_seconds: int
    state: AllocationState
    reason: str
    requested_at: datetime
    until_at: datetime | None = None
    idle_minutes: int | None = None
    active_at: datetime | None = None
    stopped_at: datetime | None = None
    closed_at: datetime | None = None
    charged_to: datetime | None = None
    billed_seconds: int = 0
    charged_micro: int = 0

    @property
    def charged(self) -> Money:
        """What it was charged so far."""
        return Money(self.charged_micro, self.currency)

    @property
    def price(self) -> Money:
        """What an hour of it costs."""
        return Money(self.price_micro_per_hour, self.currency)

    @property
    def live(self) -> bool:
        """True while it has its node."""
        return self.state not in OVER

    @property
    def income(self) -> LedgerName:
        """Where what it is charged is earned."""
        return LedgerName(Kind.INCOME, METER, self.currency)


@dataclass(frozen=True, slots=True)
class Charge:
    """A stretch of an allocation's time, [starts_at, ends_at), with the seconds of it that are billed (all or none)."""

    allocation_id: str
    starts_at: datetime
    ends_at: datetime
    billed_seconds: int
    amount_micro: int

    @property
    def key(self) -> str:
        """What it is posted under: the allocation and the Unix second the stretch begins at."""
        return f"charge:{self.allocation_id}:{int(self.starts_at.timestamp())}"


class Runway(IntEnum):
    """How soon a wallet is empty, as far as people are told."""

    LONG = 0
    DAY = 1
    """Less than 24 hours."""
    HOUR = 2
    """Less than an hour."""
    MINUTES = 3
    """Less than ten minutes."""


RUNWAY_SECONDS = {Runway.MINUTES: 600, Runway.HOUR: HOUR_SECONDS, Runway.DAY: 24 * HOUR_SECONDS}


def charged_after(billed_seconds: int, price_micro_per_hour: int) -> int:
    """The floor formula: micro-units after `billed_seconds` in all."""
    return billed_seconds * price_micro_per_hour // HOUR_SECONDS


def first_second(now: datetime) -> datetime:
    """The whole second that charges begin at: the first one after `now`."""
    return now.replace(microsecond=0) + timedelta(seconds=1 if now.microsecond else 0)


def affordable_seconds(allocation: Allocation, available_micro: int) -> int | None:
    """How many more seconds `available_micro` pays for; None where it costs nothing."""
    price = allocation.price_micro_per_hour
    if not price:
        return None
    most = ((allocation.charged_micro + max(0, available_micro) + 1) * HOUR_SECONDS - 1) // price
    return max(0, most - allocation.billed_seconds)


def whole_seconds(since: datetime, until: datetime) -> int:
    """Whole seconds from `since` to `until`, the begun one not counted; 0 when there are none."""
    return max(0, (until - since) // timedelta(seconds=1))


def charge_to(allocation: Allocation, until: datetime, available_micro: int) -> Charge | None:
    """The last stretch, to the whole second before `until`, or as far as the money goes; None when there is nothing of it.
    While it is suspended nothing is billed."""
    since = allocation.charged_to
    if since is None:
        return None
    seconds = whole_seconds(since, until)
    if allocation.state is AllocationState.SUSPENDED:
        return _stretch(allocation, since, seconds, billed=False)
    affordable = affordable_seconds(allocation, available_micro)
    return _stretch(allocation, since, seconds if affordable is None else min(seconds, affordable), billed=True)


def _stretch(allocation: Allocation, since: datetime, seconds: int, billed: bool) -> Charge | None:
    if not seconds:
        return None
    counted = seconds if billed else 0
    amount = charged_after(allocation.billed_seconds + counted, allocation.price_micro_per_hour) - allocation.charged_micro
    return Charge(allocation.id, since, since + timedelta(seconds=seconds), counted, amount)


def charge_postings(allocation: Allocation, amount_micro: int) -> list[Posting]:
    """We owe the wallet's owner less, and earned it."""
    wallet = LedgerName(Kind.WALLET, allocation.wallet, allocation.currency)
    return balanced([Posting(wallet, amount_micro), Posting(allocation.income, -amount_micro)])


def burn_micro_per_hour(allocations: Iterable[Allocation]) -> int:
    """What an hour of all that are charged now costs together."""
    return sum(one.price_micro_per_hour for one in allocations if one.state is AllocationState.ACTIVE)


def uncharged_micro(allocations: Iterable[Allocation], now: datetime) -> int:
    """What those that are charged now have cost since they were last charged."""
    return sum(charged_after(one.billed_seconds + whole_seconds(one.charged_to, now), one.price_micro_per_hour) - one.charged_micro
               for one in allocations if one.state is AllocationState.ACTIVE and one.charged_to is not None)


def runway_seconds(available_micro: int, burn_micro_per_hour: int) -> int | None:
    """How long `available_micro` lasts; None where nothing is burnt."""
    return max(0, available_micro) * HOUR_SECONDS // burn_micro_per_hour if burn_micro_per_hour > 0 else None


def runway(seconds: int | None) -> Runway:
    """What that is called."""
    if seconds is None:
        return Runway.LONG
    return next((level for level, below in RUNWAY_SECONDS.items() if seconds < below), Runway.LONG)


def check_node_free(node: Node) -> None:
    """Refuse a node that is not given to anybody in its state."""
    if node.state is not NodeState.AVAILABLE:
        raise NodeTaken(f"{node.address.name} is {'in ' if node.state is NodeState.MAINTENANCE else ''}{node.state}: choose another one.")


def check_count(held: int, most: int, what: str = "") -> None:
    """Refuse one more than `most`."""
    if held >= most:
        raise TooMany(f"{held} of at most {most}{f' with {what}' if what else ''}: release one first.")


def least_balance_micro(node: Node, price_micro_per_hour: int, site_minutes: int) -> int:
    """What a wallet must hold to begin: what the node asks for, else what `site_minutes` of it cost."""
    if node.minimum_balance_micro is not None:
        return node.minimum_balance_micro
    return -(-price_micro_per_hour * site_minutes // 60)


def check_balance(wallet: Wallet, least_micro: int) -> None:
    """Refuse to begin with less than `least_micro`."""
    if wallet.available_micro < least_micro:
        raise InsufficientBalance(f"{Money(least_micro, wallet.currency)} is needed to begin, "
                                  f"{Money(wallet.available_micro, wallet.currency)} is available: add funds first.")


def check_term(now: datetime, until: datetime | None) -> None:
    """Refuse an end that is not ahead, or too far."""
    if until is not None and not now < until <= now + LONGEST:
        raise BadTerm(f"It must lie ahead, at most {LONGEST.days} days.")


def check_move(allocation: Allocation, to: AllocationState) -> None:
    """Refuse a move that the table does not know."""
    if to not in MOVES[allocation.state]:
        raise IllegalMove(f"Allocation {allocation.id} is {allocation.state.replace('_', ' ')} and cannot become {to.replace('_', ' ')}.")


def price_micro_per_hour(card: RateCard, node: Node) -> int:
    """What an hour of the whole node costs by `card`: its GPUs at their model's price."""
    price = card.price("gpu", node.rate_model)
    if price is None or not price.is_plain:
        why = "has steps or packages, and a node has one price an hour" if price else "is missing"
        raise NodeTaken(f"The price of GPU model {node.rate_model} {why} on {card.name}.")
    return price.first_micro * node.gpu_count
