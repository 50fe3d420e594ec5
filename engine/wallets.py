"""Wallets: money of a payer that is kept for them, or of a project for its members. What may go in, what may be spent, what
a change by hand needs.

A wallet is the ledger account (kind wallet, owner, currency); its owner is a payer's name, or `project:NAME`. Pure: knows no
table, no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from engine.errors import DomainError, IllegalMove
from engine.ledger import Kind, LedgerName, Posting, balanced
from engine.money import Money, minor_micro

PROJECT = "project:"
SPLITTING = timedelta(days=1)               # small adjustments of one person in this time count together
REASON_LETTERS = 10


class InsufficientBalance(DomainError):
    """The wallet does not hold enough."""

    code, status = "insufficient_balance", 409


class BadAmount(DomainError):
    """This amount cannot be used."""

    code = "bad_amount"


class BadReason(DomainError):
    """Say why: the reason stays on the statement."""

    code = "bad_reason"


@dataclass(frozen=True, slots=True)
class Wallet:
    """What a wallet holds in one currency, in micro-units; `frozen_micro` of it cannot be spent while a dispute is open."""

    owner: str
    currency: str
    balance_micro: int
    frozen_micro: int = 0

    @property
    def name(self) -> LedgerName:
        """Its account in the ledger."""
        return wallet_name(self.owner, self.currency)

    @property
    def available_micro(self) -> int:
        """What can be spent."""
        return max(0, self.balance_micro - self.frozen_micro)


@dataclass(frozen=True, slots=True)
class Cover:
    """What a price would leave of a wallet of the same currency, or what is missing for it; in micro-units.

    `owed_micro` is what its owner owes in that currency already. Nothing is held: it is how the wallet stands now.
    """

    wallet: Wallet
    price_micro: int
    owed_micro: int = 0

    @property
    def covers(self) -> bool:
        """Whether it pays all of the price."""
        return self.missing_micro == 0

    @property
    def left_micro(self) -> int:
        """What could be spent after it; nothing where it does not cover it."""
        return max(0, self.wallet.available_micro - self.price_micro)

    @property
    def missing_micro(self) -> int:
        """How much more it would have to hold."""
        return max(0, self.price_micro - self.wallet.available_micro)

    @property
    def missing_with_owed_micro(self) -> int:
        """The same where it has to pay for what is owed already, too."""
        return max(0, self.price_micro + self.owed_micro - self.wallet.available_micro)


@dataclass(frozen=True, slots=True)
class ProjectWallet:
    """The wallet that a project's members share; `owner` and `members` are names of people, the owner first among them."""

    project: str
    owner: str
    members: tuple[str, ...]


class AdjustmentStatus(StrEnum):
    """Where a change by hand stands."""

    REQUESTED = "requested"
    """Above the limit: it waits for a second person."""
    CONFIRMED = "confirmed"
    """The money moved."""
    REJECTED = "rejected"
    """A second person said no."""
    WITHDRAWN = "withdrawn"
    """Whoever asked took it back."""


ADJUSTMENT_MOVES: dict[AdjustmentStatus, frozenset[AdjustmentStatus]] = {
    AdjustmentStatus.REQUESTED: frozenset({AdjustmentStatus.CONFIRMED, AdjustmentStatus.REJECTED, AdjustmentStatus.WITHDRAWN}),
    AdjustmentStatus.CONFIRMED: frozenset(),
    AdjustmentStatus.REJECTED: frozenset(),
    AdjustmentStatus.WITHDRAWN: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A change by hand of `wallet` by `amount_micro` (positive: into it), with its reason and who decided what."""

    id: str
    wallet: str
    currency: str
    amount_micro: int
    reason: str
    needs_second: bool
    status: AdjustmentStatus
    requested_by: str
    requested_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    decision: str

    @property
    def money(self) -> Money:
        """By how much."""
        return Money(self.amount_micro, self.currency)


def project_owner(project: str) -> str:
    """The owner that a project's wallet has in the ledger."""
    return PROJECT + project


def project_of(owner: str) -> str | None:
    """The project whose wallet `owner` names; None for a payer's own."""
    return owner.removeprefix(PROJECT) if owner.startswith(PROJECT) else None


def wallet_name(owner: str, currency: str) -> LedgerName:
    """The wallet's account in the ledger."""
    return LedgerName(Kind.WALLET, owner, currency)


def check_topup(money: Money, least_micro: int, most_micro: int, currencies: Sequence[str]) -> None:
    """Refuse what nobody may put into a wallet: another currency, fractions of the smallest coin, too little, too much."""
    if money.currency not in currencies:
        raise BadAmount(f"This wallet holds {' and '.join(currencies)}, not {money.currency}.")
    if money.micro <= 0:
        raise BadAmount(f"It must be more than {Money(0, money.currency)}.")
    if money.micro % minor_micro(money.currency):
        raise BadAmount(f"The smallest coin is {Money(minor_micro(money.currency), money.currency)}.")
    if not least_micro <= money.micro <= most_micro:
        raise BadAmount(f"A top-up is {Money(least_micro, money.currency)} at least and {Money(most_micro, money.currency)} at most.")


def check_can_pay(wallet: Wallet, price: Money) -> None:
    """Refuse when the wallet cannot pay all of it."""
    if wallet.available_micro >= price.micro:
        return
    frozen = Money(wallet.frozen_micro, wallet.currency)
    held = f"; {frozen} is frozen" if wallet.frozen_micro else ""
    raise InsufficientBalance(f"{price} is needed, {Money(wallet.available_micro, wallet.currency)} is available{held}.")


def check_reason(reason: str) -> str:
    """The reason without blanks around it; refused when it is too short to say anything."""
    if len(reason.strip()) < REASON_LETTERS:
        raise BadReason(f"At least {REASON_LETTERS} characters.")
    return reason.strip()


def check_adjustment(money: Money, currencies: Sequence[str]) -> None:
    """Refuse a change by nothing, by fractions of the smallest coin, or in a currency the wallet does not have."""
    if money.currency not in currencies:
        raise BadAmount(f"This wallet holds {' and '.join(currencies)}, not {money.currency}.")
    if money.micro == 0:
        raise BadAmount("It must not be zero.")
    if money.micro % minor_micro(money.currency):
        raise BadAmount(f"The smallest coin is {Money(minor_micro(money.currency), money.currency)}.")


def needs_second(money: Money, lately_micro: int, limit_micro: int) -> bool:
    """True when a second person has to confirm it: alone, or with what the same person changed here `lately` (both taken
    without their signs), it is above the limit. So a large sum cannot go in slices."""
    return abs(money.micro) + lately_micro > limit_micro


def check_repeated(made: Adjustment, wallet: str, money: Money) -> None:
    """Refuse the same pressing of a button when it now stands for another change."""
    if (made.wallet, made.money) != (wallet, money):
        raise IllegalMove(f"This form changed the wallet of {made.wallet} by {made.money} before ({made.id}): open it anew.")


def check_decision(adjustment: Adjustment, to: AdjustmentStatus, by: str) -> None:
    """Refuse a move that the table does not know, and deciding what one asked for oneself."""
    if to not in ADJUSTMENT_MOVES[adjustment.status]:
        raise IllegalMove(f"Adjustment {adjustment.id} is {adjustment.status} and cannot become {to}.")
    if to is AdjustmentStatus.WITHDRAWN and by != adjustment.requested_by:
        raise IllegalMove(f"{adjustment.requested_by} asked for it: only they can take it back; you can reject it.")
    if to is not AdjustmentStatus.WITHDRAWN and by == adjustment.requested_by:
        raise IllegalMove("You asked for it: somebody else has to decide.")


def adjustment_postings(wallet: LedgerName, amount_micro: int) -> list[Posting]:
    """A change by hand: into the wallet what is positive, out of it what is negative."""
    return balanced([Posting(LedgerName(Kind.ADJUSTMENT, "", wallet.currency), amount_micro), Posting(wallet, -amount_micro)])


def payment_from_wallet(wallet: LedgerName, payer: str, amount_micro: int) -> list[Posting]:
    """A receipt is paid from a wallet: we owe the wallet's owner less, and the payer owes us less."""
    return balanced([Posting(wallet, amount_micro), Posting(LedgerName(Kind.RECEIVABLE, payer, wallet.currency), -amount_micro)])


def charged_allocation(key: str) -> str:
    """The allocation that a movement of a wallet was charged for; empty for any other."""
    first, _, rest = key.partition(":")
    return rest.partition(":")[0] if first == "charge" else ""


def statement_word(key: str) -> str:
    """What a movement of a wallet was, from the key it was posted under."""
    first, _, rest = key.partition(":")
    if first == "pay":
        return "receipt paid" if rest.startswith("wallet:") else "money in"
    return {"assign": "money in", "adjust": "adjustment", "charge": "GPU node"}.get(first.split("-")[0], first.split("-")[0])
