"""The ledger's nouns: accounts by kind, postings, and the transactions that business moves become.

Debits are positive, credits negative; a transaction sums to zero. Pure: what is posted is decided here, the shelf
writes it, and the database refuses what does not add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine.errors import MoneyError


class Kind(StrEnum):
    """What a ledger account stands for."""

    WALLET = "wallet"
    """Money of a payer that we keep for them."""
    HELD = "held"
    """Part of a wallet set aside."""
    RECEIVABLE = "receivable"
    """What a payer owes us."""
    INCOME = "income"
    """What we earned, per meter, and by months' minimums (`commitment`)."""
    CLEARING = "clearing"
    """Money at a provider, on its way to our bank."""
    REFUND_PENDING = "refund_pending"
    """Money on its way back to a payer."""
    TAX = "tax"
    """Tax we collected for the state."""
    ROUNDING = "rounding"
    """The differences of rounding, named and kept."""
    UNAPPLIED = "unapplied"
    """Money that matches nothing yet."""
    WRITE_OFF = "write_off"
    """What will not be paid."""
    DISPUTE = "dispute"
    """Money frozen by a dispute."""
    ADJUSTMENT = "adjustment"
    """What was given to wallets by hand, or taken from them, each with its reason."""


# +1 grows by debit (what we have or are owed), -1 by credit (what we owe or earned).
SIDES = {Kind.RECEIVABLE: 1, Kind.CLEARING: 1, Kind.WRITE_OFF: 1, Kind.DISPUTE: 1, Kind.ADJUSTMENT: 1}
# Lowest balance, seen from its side; kinds not named here have none.
FLOORS = {Kind.WALLET: 0, Kind.HELD: 0, Kind.RECEIVABLE: 0, Kind.UNAPPLIED: 0, Kind.REFUND_PENDING: 0}


@dataclass(frozen=True, slots=True, order=True)
class LedgerName:
    """An account by name: `receivable` of payer alice in THB. The owner is a payer, a meter or a provider."""

    kind: Kind
    owner: str
    currency: str

    @property
    def side(self) -> int:
        """+1 when a debit makes it grow, -1 when a credit does."""
        return SIDES.get(self.kind, -1)

    @property
    def floor_micro(self) -> int | None:
        """The balance it never falls below, seen from its side."""
        return FLOORS.get(self.kind)


@dataclass(frozen=True, slots=True)
class Posting:
    """One entry to be: `amount_micro` debits (positive) or credits (negative) the account."""

    account: LedgerName
    amount_micro: int


def balanced(postings: Iterable[Posting]) -> list[Posting]:
    """Postings without the zero ones, one an account; refused when they do not sum to zero in each currency."""
    sums: dict[LedgerName, int] = {}
    for posting in postings:
        sums[posting.account] = sums.get(posting.account, 0) + posting.amount_micro
    rest: dict[str, int] = {}
    for account, amount in sums.items():
        rest[account.currency] = rest.get(account.currency, 0) + amount
    if any(rest.values()):
        raise MoneyError(f"A ledger transaction does not sum to zero: {rest}.")
    return [Posting(account, amount) for account, amount in sorted(sums.items()) if amount]


def reversed_postings(postings: Sequence[Posting]) -> list[Posting]:
    """The same transaction backwards: how corrections are made."""
    return [Posting(posting.account, -posting.amount_micro) for posting in postings]


def receipt_postings(payer: str, currency: str, income_micro: Mapping[str, int], tax_micro: int, rounding_micro: int) -> list[Posting]:
    """A receipt is issued: the payer owes it; meters earn their part, tax and rounding have their own accounts."""
    total = sum(income_micro.values()) + tax_micro + rounding_micro
    credits = [Posting(LedgerName(Kind.INCOME, meter, currency), -amount) for meter, amount in income_micro.items()]
    return balanced([
        Posting(LedgerName(Kind.RECEIVABLE, payer, currency), total), *credits,
        Posting(LedgerName(Kind.TAX, "", currency), -tax_micro), Posting(LedgerName(Kind.ROUNDING, "", currency), -rounding_micro),
    ])


def payment_postings(provider: str, payer: str, currency: str, amount_micro: int) -> list[Posting]:
    """A payment came in for a receipt: the provider holds the money, the payer owes that much less."""
    return balanced([Posting(LedgerName(Kind.CLEARING, provider, currency), amount_micro),
                     Posting(LedgerName(Kind.RECEIVABLE, payer, currency), -amount_micro)])


def arrival_postings(source: LedgerName, payer: str, settled_micro: int, wallet: str, credited_micro: int) -> list[Posting]:
    """Money that came: out of `source` (a provider's clearing, or what was kept as unapplied), `settled_micro` of it for what
    `payer` owes, `credited_micro` into `wallet`."""
    return balanced([Posting(source, settled_micro + credited_micro),
                     Posting(LedgerName(Kind.RECEIVABLE, payer, source.currency), -settled_micro),
                     Posting(LedgerName(Kind.WALLET, wallet, source.currency), -credited_micro)])


def unapplied_postings(provider: str, currency: str, amount_micro: int) -> list[Posting]:
    """A payment came in that matches nothing: the money is kept in sight until somebody finds out."""
    return balanced([Posting(LedgerName(Kind.CLEARING, provider, currency), amount_micro),
                     Posting(LedgerName(Kind.UNAPPLIED, provider, currency), -amount_micro)])
