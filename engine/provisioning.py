"""Giving a node to somebody and taking it back: the steps in their order, what can go wrong, and what is found on a node.

Every step is idempotent, and each says of itself whether it began and whether it is done, so that whoever drives them can
write both down. Pure: knows no SSH, no table and no clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias

from engine.errors import DomainError
from engine.gpu_readings import ClockOffset, GpuReading
from engine.nodes import check_tenant_name
from engine.payments import Outcome
from engine.ssh_keys import BadPublicKey, PublicKey, parse_public_key

ALLOCATION = re.compile(r"alc_[0-9A-Z]{26}", re.ASCII)
COMMENT = "corehours:"                      # before the allocation's id, in the comment of a key we put on a node


class Step(StrEnum):
    """One thing done on a node. An account is open only between `open` and `close`."""

    MARK = "mark"
    """Leave a mark with the allocation's id, so that whatever follows is known to be ours."""
    ACCOUNT = "account"
    """Make the user, closed."""
    KEY = "key"
    """Write the tenant's key file."""
    OPEN = "open"
    """Open the account: from here on the key lets its owner in."""
    CLOSE = "close"
    """Close the account for good: no new login, and no step of a provision of this allocation that is late."""
    UNKEY = "unkey"
    """Remove the key file."""
    END = "end"
    """End everything that runs as the user."""
    UNMARK = "unmark"
    """Look that the account is closed, the key gone and nothing running; only then take the mark away."""


PROVISION = (Step.MARK, Step.ACCOUNT, Step.KEY, Step.OPEN)
RELEASE = (Step.CLOSE, Step.UNKEY, Step.END, Step.UNMARK)


class StepState(StrEnum):
    """How far a step is."""

    BEGUN = "begun"
    """It is asked for now."""
    DONE = "done"
    """The node says that it is done."""


Told: TypeAlias = Callable[[Step, StepState], None]


def tell_nobody(step: Step, state: StepState) -> None:
    """For whoever does not want to know."""


class BadTenancy(DomainError):
    """This allocation cannot be put on a node."""

    code = "bad_tenancy"


@dataclass(frozen=True, slots=True)
class Tenancy:
    """Who is on a node, for which allocation, with which key. Checked when it is made: what is in it may be sent."""

    allocation: str
    user: str
    key: PublicKey

    def __post_init__(self) -> None:
        if not ALLOCATION.fullmatch(self.allocation):
            raise BadTenancy(f"{self.allocation[:64]!r} is no allocation's id.")
        check_tenant_name(self.user)
        parse_public_key(self.key.line)


class Trouble(StrEnum):
    """What went wrong on the way to a node or on it."""

    DOWN = "down"
    """Nothing answers at its address."""
    SILENT = "silent"
    """It took the call and did not speak SSH in time."""
    HOST_KEY = "host_key"
    """It showed another host key than the one we know."""
    KEY_REFUSED = "key_refused"
    """It does not take our management key."""
    DROPPED = "dropped"
    """The line broke before the answer."""
    TIMED_OUT = "timed_out"
    """It did not get done in time."""
    NOT_PREPARED = "not_prepared"
    """It lacks something that we need."""
    FULL = "full"
    """Its disk is full, or cannot be written."""
    BUSY = "busy"
    """Another of our steps held it for too long."""
    OCCUPIED = "occupied"
    """It holds another allocation."""
    FOREIGN = "foreign"
    """Its user of that name is none of ours."""
    OVER = "over"
    """This allocation was released on it already."""
    UNMARKED = "unmarked"
    """It does not carry this allocation's mark."""
    LEFT_OVER = "left_over"
    """Something of the tenant is still there."""
    UNREADABLE = "unreadable"
    """Its answer makes no sense."""
    FAILED = "failed"
    """A command of the step failed."""


class NodeTrouble(DomainError):
    """The node did not do it."""

    code: ClassVar[str] = "node_trouble"
    status: ClassVar[int] = 502

    def __init__(self, detail: str, trouble: Trouble, outcome: Outcome, step: Step | None = None, done: tuple[Step, ...] = ()) -> None:
        super().__init__(detail)
        self.trouble = trouble
        self.outcome = outcome              # of `step` alone, or of the whole call where no step began
        self.step = step
        self.done = done

    @property
    def may_have_acted(self) -> bool:
        """True when the node may be another than before the call."""
        return bool(self.done) or self.outcome is Outcome.UNKNOWN

    def at(self, step: Step, done: tuple[Step, ...]) -> NodeTrouble:
        """The same trouble, met at `step` after `done`."""
        return NodeTrouble(f"{self.detail} (step {step})", self.trouble, self.outcome, step, done)


@dataclass(frozen=True, slots=True)
class Probe:
    """What a node says of itself: GPUs, clock, and which programs it lacks that the steps need."""

    gpus: tuple[GpuReading, ...]
    clock: ClockOffset
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Holding:
    """A user of ours on a node: the allocation it is marked for (empty without a mark), the lines of its key file (as the
    tenant may have left them: material, not truth), whether the account is open, and how many processes run."""

    user: str
    allocation: str
    keys: tuple[str, ...]
    open: bool
    processes: int

    @property
    def at_rest(self) -> bool:
        """True when nothing of an allocation is left: an account of earlier days, closed and empty."""
        return not (self.allocation or self.keys or self.open or self.processes)

    def fits(self, tenancy: Tenancy) -> bool:
        """True when the tenant can work: marked, open, and the key there."""
        return (self.user, self.allocation, self.open) == (tenancy.user, tenancy.allocation, True) and self.has_key(tenancy.key)

    def has_key(self, key: PublicKey) -> bool:
        """True when one of its lines is this key, without options."""
        return any(found.same(key) for line in self.keys if (found := _key_in(line)) is not None)

    @property
    def key_allocations(self) -> frozenset[str]:
        """The allocations that its keys say they are for."""
        return frozenset(found for line in self.keys for found in re.findall(rf"{COMMENT}({ALLOCATION.pattern})", line))


def _key_in(line: str) -> PublicKey | None:
    try:
        return parse_public_key(line)
    except BadPublicKey:
        return None
