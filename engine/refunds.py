"""Refunds: money on its way back to where it came from, and what a provider answers when asked for one.

`requested` when somebody decided it, `submitted` once the provider knows it, then `succeeded` or `failed`; a succeeded one
may still fail later (a closed card). Pure: knows no table, no clock, no network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from engine.errors import DomainError, IllegalMove
from engine.ledger import Kind, LedgerName, Posting, balanced
from engine.money import Money, to_minor
from engine.payments import FROM_WALLET, Decision, EventKind, Payment, PaymentStatus, ProviderEvent, Step


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
    RefundStatus.SUCCEEDED: frozenset({RefundStatus.FAILED}),       # a closed card sends it back
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


class BadRefund(DomainError):
    """This refund cannot be made."""

    code, status = "bad_refund", 409


class Origin(StrEnum):
    """Where a refund was decided."""

    HERE = "here"
    """By somebody of this site."""
    PROVIDER = "provider"
    """In the provider's own dashboard: it is done, and told to us."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Which of our books a refund is taken from, in micro-units: a receipt (a credit note), the payer's wallet, money that was
    unapplied, and what nobody has any more (only where the provider gave it back without asking us)."""

    receipt_micro: int = 0
    wallet_micro: int = 0
    unapplied_micro: int = 0
    write_off_micro: int = 0

    @property
    def total_micro(self) -> int:
        """The whole refund."""
        return self.receipt_micro + self.wallet_micro + self.unapplied_micro + self.write_off_micro

    def less(self, other: Sources) -> Sources:
        """What is left after `other`."""
        return Sources(self.receipt_micro - other.receipt_micro, self.wallet_micro - other.wallet_micro,
                       self.unapplied_micro - other.unapplied_micro, self.write_off_micro - other.write_off_micro)


@dataclass(frozen=True, slots=True)
class Refund:
    """Money of one payment on its way back: `amount_micro` of `currency`, taken from `from_*`. `reason` is ours, `why` the
    provider's; `provider_ref` is its name for it, `asked_at` when it was first asked."""

    id: str
    payment_id: str
    provider: str
    livemode: bool
    amount_micro: int
    currency: str
    status: RefundStatus
    from_receipt_micro: int
    from_wallet_micro: int
    from_unapplied_micro: int
    from_write_off_micro: int
    provider_ref: str | None
    origin: Origin
    reason: str
    why: str
    request_key: str | None
    requested_by: str
    requested_at: datetime
    asked_at: datetime | None
    settled_at: datetime | None

    @property
    def money(self) -> Money:
        """What is given back."""
        return Money(self.amount_micro, self.currency)

    @property
    def sources(self) -> Sources:
        """Where it is taken from."""
        return Sources(self.from_receipt_micro, self.from_wallet_micro, self.from_unapplied_micro, self.from_write_off_micro)

    @property
    def live(self) -> bool:
        """True unless it failed: its money is gone, or on its way."""
        return self.status is not RefundStatus.FAILED

    @property
    def in_flight(self) -> bool:
        """True while the provider may know it under a name that we have not heard."""
        return self.status is RefundStatus.REQUESTED and self.provider_ref is None and self.asked_at is not None


def order_of(refund: Refund, payment: Payment) -> RefundOrder:
    """What the provider is asked; the same however often."""
    assert payment.money_ref is not None
    return RefundOrder(id=refund.id, reference=payment.reference, money=payment.money_ref, amount_minor=to_minor(refund.money),
                       currency=refund.currency, key=f"refund:{refund.id}", reason=refund.reason)


def brought(payment: Payment) -> Sources:
    """Where a payment's money went: what a refund of all of it would be taken from."""
    if payment.status is PaymentStatus.UNAPPLIED:
        return Sources(unapplied_micro=payment.received_micro)
    return Sources(receipt_micro=payment.settled_micro, wallet_micro=payment.credited_micro)


def left_of(payment: Payment, refunds: Iterable[Refund], lost: Iterable[Sources] = ()) -> Sources:
    """What of a payment's money is not given back, not on its way back and not `lost` in disputes. What was written off is left
    nowhere: it counts as the wallet's as far as that goes, then as unapplied money, then as the receipt's."""
    left = brought(payment)
    for taken in (*(refund.sources for refund in refunds if refund.live), *lost):
        left = left.less(taken)
    off = -left.write_off_micro
    wallet = max(0, left.wallet_micro - off)
    unapplied = max(0, left.unapplied_micro - (off := max(0, off - left.wallet_micro)))
    receipt = max(0, left.receipt_micro - max(0, off - left.unapplied_micro))
    return Sources(receipt, wallet, unapplied)


def divide(amount_micro: int, left: Sources, spendable_micro: int) -> Sources:
    """Take `amount_micro` from what is left, the wallet first (`spendable_micro` is in it and not frozen), then unapplied
    money, then the receipt. What is nowhere any more comes out as `write_off_micro`: who may choose refuses it."""
    wallet = min(amount_micro, left.wallet_micro, max(0, spendable_micro))
    unapplied = min(amount_micro - wallet, left.unapplied_micro)
    receipt = min(amount_micro - wallet - unapplied, left.receipt_micro)
    return Sources(receipt, wallet, unapplied, amount_micro - wallet - unapplied - receipt)


def wanted(amount: Money | None, left: Sources, currency: str) -> Money:
    """The amount of a refund: what was asked for, or all that is left; refused when it is none or too much."""
    rest = Money(left.total_micro, currency)
    asked = amount or rest
    if not rest.micro:
        raise BadRefund("Nothing of this payment is left to give back.")
    if asked.currency != currency:
        raise BadRefund(f"The payment was made in {currency}, not in {asked.currency}.")
    if asked.micro <= 0:
        raise BadRefund("Name an amount above zero.")
    if asked.micro > rest.micro:
        raise BadRefund(f"{asked} is more than the {rest} that are left of this payment.")
    to_minor(asked)
    return asked


def repeated(known: Refund, payment: Payment, amount: Money | None) -> Refund:
    """What the same pressing of a button made before; refused when it now stands for another payment or amount."""
    if known.payment_id != payment.id or amount not in (None, known.money):
        raise BadRefund(f"This form asked for {known.money} before ({known.id}): open it anew.")
    return known


def shares(amount_micro: int, parts: Sequence[Posting]) -> list[Posting]:
    """`amount_micro` of what `parts` add up to, in their proportions: each cut down, the odd units to the largest remainders,
    then the first. All of the sum gives exactly the parts; parts of the other sign are reduced alike."""
    total = sum(part.amount_micro for part in parts)
    whole = [divmod(amount_micro * part.amount_micro, total) for part in parts]
    odd = amount_micro - sum(quotient for quotient, _ in whole)
    lucky = sorted(range(len(parts)), key=lambda place: (-abs(whole[place][1]), place))[:odd]
    return [Posting(part.account, whole[place][0] + (place in lucky)) for place, part in enumerate(parts)]


def credit_note(issued: Sequence[Posting], credited: Iterable[Posting], amount_micro: int) -> list[Posting]:
    """The debits that take `amount_micro` of a receipt back: from its meters, tax and rounding in the proportions of what is
    left of each. `issued` is the receipt's ledger transaction, `credited` what earlier refunds took (positive)."""
    rest = {part.account: -part.amount_micro for part in issued if part.account.kind is not Kind.RECEIVABLE}
    for taken in credited:
        if taken.account in rest:
            rest[taken.account] -= taken.amount_micro
    return shares(amount_micro, [Posting(account, micro) for account, micro in sorted(rest.items()) if micro]) if amount_micro else []


def touched(payment: Payment, issued: Sequence[Posting]) -> list[LedgerName]:
    """Every account that a refund of a payment with a wallet's money may post to; `issued` is its receipt's ledger transaction."""
    owners = {Kind.WALLET: payment.wallet, Kind.REFUND_PENDING: payment.provider, Kind.CLEARING: payment.provider,
              Kind.WRITE_OFF: "refunds"}
    return [*(LedgerName(kind, owner, payment.currency) for kind, owner in owners.items()),
            *(part.account for part in issued if part.account.kind is not Kind.RECEIVABLE)]


def request_postings(refund: Refund, wallet: str, receipt_debits: Sequence[Posting]) -> list[Posting]:
    """A refund is decided: taken from where it came to, owed to the payer by way of the provider."""
    def named(kind: Kind, owner: str) -> LedgerName:
        return LedgerName(kind, owner, refund.currency)
    return balanced([
        *receipt_debits, Posting(named(Kind.WALLET, wallet), refund.from_wallet_micro),
        Posting(named(Kind.UNAPPLIED, refund.provider), refund.from_unapplied_micro),
        Posting(named(Kind.WRITE_OFF, "refunds"), refund.from_write_off_micro),
        Posting(named(Kind.REFUND_PENDING, refund.provider), -refund.amount_micro)])


def done_postings(refund: Refund, wallet: str) -> list[Posting]:
    """The money is back: out of the provider's hands, or in the wallet that had paid."""
    to = LedgerName(Kind.WALLET, wallet, refund.currency) if refund.provider == FROM_WALLET else (
        LedgerName(Kind.CLEARING, refund.provider, refund.currency))
    return balanced([Posting(LedgerName(Kind.REFUND_PENDING, refund.provider, refund.currency), refund.amount_micro),
                     Posting(to, -refund.amount_micro)])


AT_ONCE = frozenset({FROM_WALLET, "manual"})        # nobody outside is asked

TOLD = {EventKind.REFUND_SUBMITTED: RefundStatus.SUBMITTED, EventKind.REFUND_SUCCEEDED: RefundStatus.SUCCEEDED,
        EventKind.REFUND_FAILED: RefundStatus.FAILED}


@dataclass(frozen=True, slots=True)
class KnownRefund:
    """What our books know of the refund an event speaks of: the payment that holds the money, the refund when it is ours
    already, all refunds of that payment, and what disputes over it were lost."""

    payment: Payment | None = None
    refund: Refund | None = None
    refunds: tuple[Refund, ...] = ()
    lost: tuple[Sources, ...] = ()

    @property
    def left(self) -> Sources:
        """What of the payment's money is left."""
        return left_of(self.payment, self.refunds, self.lost) if self.payment else Sources()


def decide_refund(event: ProviderEvent, known: KnownRefund, live: bool) -> Decision:
    """What a provider's word about a refund does. BOOK means: its status becomes what the event says, and the refund is made
    first when it is not known."""
    if event.livemode != live:
        return Decision(Step.IGNORE, f"the event is {_mode(event.livemode)}, these books are {_mode(live)}")
    if known.payment is None:
        return Decision(Step.ORPHAN, f"a refund of {event.amount} speaks of the money {event.money}, which has not come here")
    if known.refund is not None:
        return _known_refund(event, known.refund)
    if not event.object:
        return Decision(Step.CONTRADICT, f"a refund of {event.amount} without a name, and none that we asked for")
    if event.currency != known.payment.currency:
        return Decision(Step.CONTRADICT, f"{event.amount} were given back of {known.payment.reference}, which brought "
                        f"{known.payment.received}")
    if any(refund.in_flight for refund in known.refunds):
        return Decision(Step.WAIT, f"{event.object} may be the refund that was just asked for: its name is on its way")
    if TOLD[event.kind] is RefundStatus.FAILED:         # kept, so that an older word of its success changes nothing
        return Decision(Step.BOOK, f"{event.object} failed before it was known here: no money moved")
    left = known.left.total_micro
    if event.amount.micro > left and any(refund.settled_at is None for refund in known.refunds):
        return Decision(Step.WAIT, f"{event.object} is more than is left while other refunds are under way: one of them must fail")
    if event.amount.micro > left:
        return Decision(Step.CONTRADICT, f"{event.amount} were given back of {known.payment.reference}, of which "
                        f"{Money(left, known.payment.currency)} were left")
    return Decision(Step.BOOK, f"{event.amount} of {known.payment.reference} were given back at {event.provider} ({event.object})")


def _known_refund(event: ProviderEvent, refund: Refund) -> Decision:
    if event.amount != refund.money:
        return Decision(Step.CONTRADICT, f"{event.amount} is said of refund {refund.id}, which is {refund.money}")
    if event.object and refund.provider_ref not in (None, event.object):
        return Decision(Step.CONTRADICT, f"{event.object} is said to be refund {refund.id}, which is {refund.provider_ref}")
    to = TOLD[event.kind]
    if to not in MOVES[refund.status]:
        return Decision(Step.NOTHING, f"refund {refund.id} is {refund.status} already")
    return Decision(Step.BOOK, f"refund {refund.id} of {refund.money} {to}" + (f": {event.why}" if event.why else ""))


def _mode(live: bool) -> str:
    return "live" if live else "a test"
