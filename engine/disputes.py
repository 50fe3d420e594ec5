"""Disputes: the payer's bank asks for money back, the provider decides. What is frozen, what is lost, what comes back.

A dispute is open until it is won or lost; apart from that the provider takes the money (withdrawn) and may give it back
(reinstated). Its words come in any order, and each has its own ledger transaction, so the order does not matter. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from engine.errors import IllegalMove
from engine.ledger import Kind, LedgerName, Posting, balanced
from engine.money import Money
from engine.payments import Decision, EventKind, Payment, ProviderEvent, Step
from engine.refunds import Sources


class DisputeStatus(StrEnum):
    """Where a dispute stands."""

    OPEN = "open"
    """The provider has not decided: the money is frozen where it can be."""
    WON = "won"
    """Decided for us, or taken back: nothing is frozen any more."""
    LOST = "lost"
    """Decided against us: the wallet pays as far as it goes, the rest is written off."""


MOVES: dict[DisputeStatus, frozenset[DisputeStatus]] = {
    DisputeStatus.OPEN: frozenset({DisputeStatus.WON, DisputeStatus.LOST}),
    DisputeStatus.WON: frozenset(),
    DisputeStatus.LOST: frozenset({DisputeStatus.WON}),     # overturned
}
CLOSES = {EventKind.DISPUTE_WON: DisputeStatus.WON, EventKind.DISPUTE_LOST: DisputeStatus.LOST}


@dataclass(frozen=True, slots=True)
class Dispute:
    """One dispute over `amount_micro` of a payment; `provider_ref` is the provider's name for it, `reason` in its words.
    `withdrawn_at` and `reinstated_at` say when the provider moved the money, `from_*` what it was taken from when it was lost."""

    id: str
    payment_id: str
    provider: str
    livemode: bool
    provider_ref: str
    amount_micro: int
    currency: str
    status: DisputeStatus
    reason: str
    opened_at: datetime
    withdrawn_at: datetime | None
    reinstated_at: datetime | None
    closed_at: datetime | None
    from_receipt_micro: int = 0
    from_wallet_micro: int = 0
    from_unapplied_micro: int = 0
    from_write_off_micro: int = 0

    @property
    def money(self) -> Money:
        """What is disputed."""
        return Money(self.amount_micro, self.currency)

    @property
    def taken(self) -> Sources:
        """What a lost one was taken from; nothing of one that is open or won."""
        if self.status is not DisputeStatus.LOST:
            return Sources()
        return Sources(self.from_receipt_micro, self.from_wallet_micro, self.from_unapplied_micro, self.from_write_off_micro)


def check_move(dispute: str, was: DisputeStatus, to: DisputeStatus) -> None:
    """Refuse a move that the table does not know."""
    if to not in MOVES[was]:
        raise IllegalMove(f"Dispute {dispute} is {was} and cannot become {to}.")


def decide_dispute(event: ProviderEvent, payment: Payment | None, disputes: Iterable[Dispute], live: bool) -> Decision:
    """What a provider's word about a dispute does; BOOK also where it is the first that is heard of it. `disputes` are all over
    that payment: together they are never over more than it brought."""
    if event.livemode != live:
        return Decision(Step.IGNORE, "the event is of the other mode, live or test, than these books")
    if payment is None:
        return Decision(Step.ORPHAN, f"a dispute over {event.amount} speaks of the money {event.money}, which has not come here")
    if event.currency != payment.currency or event.amount.micro > payment.received_micro:
        return Decision(Step.CONTRADICT, f"{event.amount} are disputed of {payment.reference}, which brought {payment.received}")
    known = {dispute.provider_ref: dispute for dispute in disputes}
    return _of_known(event, known[event.object]) if event.object in known else _first_word(event, payment, known.values())


def _first_word(event: ProviderEvent, payment: Payment, others: Iterable[Dispute]) -> Decision:
    already = sum(other.amount_micro for other in others if other.status is not DisputeStatus.WON)
    if already + event.amount.micro > payment.received_micro:
        return Decision(Step.CONTRADICT, f"{event.amount} are disputed of {payment.reference}, which brought {payment.received} and of "
                        f"which {Money(already, payment.currency)} are disputed or lost already")
    return Decision(Step.BOOK, f"{event.amount} of {payment.reference} are disputed ({event.why or 'no reason given'})")


def _of_known(event: ProviderEvent, dispute: Dispute) -> Decision:
    if event.amount != dispute.money:
        return Decision(Step.CONTRADICT, f"{event.amount} is said of dispute {dispute.id}, which is over {dispute.money}")
    if known_already(event.kind, dispute):
        return Decision(Step.NOTHING, f"dispute {dispute.id}: {event.kind} is known already")
    return Decision(Step.BOOK, f"dispute {dispute.id} over {dispute.money}: {event.kind.removeprefix('dispute.')}")


def known_already(kind: EventKind, dispute: Dispute) -> bool:
    """True when the event says nothing new."""
    if kind in CLOSES:
        return CLOSES[kind] not in MOVES[dispute.status]
    times = {EventKind.DISPUTE_WITHDRAWN: dispute.withdrawn_at, EventKind.DISPUTE_REINSTATED: dispute.reinstated_at}
    return kind is EventKind.DISPUTE_OPENED or times[kind] is not None


def _account(dispute: Dispute, kind: Kind, owner: str) -> LedgerName:
    return LedgerName(kind, owner, dispute.currency)


def touched(payment: Payment) -> list[LedgerName]:
    """Every account that a dispute over this payment may post to, its payer's wallet where some of the money is there."""
    owners = {Kind.DISPUTE: payment.provider, Kind.CLEARING: payment.provider, Kind.UNAPPLIED: payment.provider, Kind.WRITE_OFF: "disputes"}
    if payment.credited_micro:
        owners[Kind.WALLET] = payment.wallet
    return [LedgerName(kind, owner, payment.currency) for kind, owner in owners.items()]


def withdrawn_postings(dispute: Dispute) -> list[Posting]:
    """The provider took the money from us; backwards when it gives it back."""
    return balanced([Posting(_account(dispute, Kind.DISPUTE, dispute.provider), dispute.amount_micro),
                     Posting(_account(dispute, Kind.CLEARING, dispute.provider), -dispute.amount_micro)])


def lost_postings(dispute: Dispute, wallet: str, sources: Sources) -> list[Posting]:
    """It is lost: the wallet and unapplied money pay what `sources` says, the rest is written off."""
    return balanced([Posting(_account(dispute, Kind.WALLET, wallet), sources.wallet_micro),
                     Posting(_account(dispute, Kind.UNAPPLIED, dispute.provider), sources.unapplied_micro),
                     Posting(_account(dispute, Kind.WRITE_OFF, "disputes"), sources.receipt_micro + sources.write_off_micro),
                     Posting(_account(dispute, Kind.DISPUTE, dispute.provider), -dispute.amount_micro)])
