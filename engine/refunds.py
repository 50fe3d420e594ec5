"""Refunds: money on its way back to where it came from, and what a provider answers when asked for one.

`requested` when somebody decided it, `submitted` once the provider knows it, then `succeeded` or `failed`; a succeeded one
may still fail later (a closed card). Pure: knows no table, no clock, no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engine.errors import IllegalMove


class RefundStatus(StrEnum):
    """Where a refund stands."""

    REQUESTED = "requested"
    """Decided here; the provider has not answered yet."""
    SUBMITTED = "submitted"
    """The provider knows it and works on it."""
    SUCCEEDED = "succeeded"
    """The money is back."""
    FAILED = "failed"
    """The money did not get back and is ours to give back another way."""


MOVES: dict[RefundStatus, frozenset[RefundStatus]] = {
    RefundStatus.REQUESTED: frozenset({RefundStatus.SUBMITTED, RefundStatus.SUCCEEDED, RefundStatus.FAILED}),
    RefundStatus.SUBMITTED: frozenset({RefundStatus.SUCCEEDED, RefundStatus.FAILED}),
    RefundStatus.SUCCEEDED: frozenset({RefundStatus.FAILED}),
    RefundStatus.FAILED: frozenset(),
}


def check_move(refund: str, was: RefundStatus, to: RefundStatus) -> None:
    """Refuse a move that the table does not know."""
    if to not in MOVES[was]:
        raise IllegalMove(f"Refund {refund} is {was} and cannot become {to}.")


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """What a provider is asked to give back: `amount_minor` of `currency` from the money object `money` (its own name for what
    it collected under our `reference`). `key` is the idempotency key, the same however often it is asked."""

    id: str
    reference: str
    money: str
    amount_minor: int
    currency: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class RefundAnswer:
    """What the provider says of a refund: its own name for it, where it stands, and why in its words."""

    provider_ref: str
    status: RefundStatus
    why: str = ""
