"""A storm of webhooks made from a seed, and what must stand in the books when it is over, reckoned in plain Python.

A story is what happened to one payment at its provider: it sends words (events, each once) and books their effect in a model
that knows nothing of the product. Words may be told in any order and any number of times: the model is the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from engine.payments import EventKind

MINOR = 10_000                      # micro-units in a satang or a cent
LONGEST = 8                         # words of the longest story


@dataclass(frozen=True, slots=True)
class Asked:
    """A payment that waits for its money: of a receipt, or for a wallet."""

    reference: str
    payer: str
    minor: int
    receipt: bool


@dataclass(frozen=True, slots=True)
class Word:
    """One event of the dummy provider."""

    id: str
    kind: EventKind
    reference: str
    money: str
    minor: int
    currency: str = "THB"
    object: str = ""

    def body(self, **other: object) -> bytes:
        """As it is signed and sent; `other` changes what it says."""
        data = {"reference": self.reference, "money": self.money, "amount_minor": self.minor, "currency": self.currency,
                **({"object": self.object} if self.object else {})}
        told = {"id": self.id, "type": str(self.kind), "livemode": False, "created": 1_795_000_000, "data": data}
        return json.dumps({**told, **other}).encode()


@dataclass
class Model:
    """What must be in the end: balances in minor units by (kind, owner, currency), and where everything stands, by its name."""

    ledger: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    money: dict[str, int] = field(default_factory=dict)             # every money object that came
    receipts: dict[str, str] = field(default_factory=dict)          # by the reference of the payment that was asked for
    refunds: dict[str, str] = field(default_factory=dict)
    disputes: dict[str, str] = field(default_factory=dict)

    def move(self, minor: int, *accounts: str, owner: str = "dummy", currency: str = "THB") -> None:
        """Add to the balances of `accounts` (`kind` of `owner`, or `kind:owner`), each seen from its side."""
        for account in accounts:
            kind, _, whose = account.partition(":")
            self.ledger[kind, whose or owner, currency] += minor


@dataclass
class Storm:
    """The words that were sent, and the model."""

    random: Random
    words: list[Word] = field(default_factory=list)
    model: Model = field(default_factory=Model)

    def tell(self, asked: Asked, kind: EventKind, minor: int = 0, money: str = "", object: str = "", currency: str = "THB") -> None:
        """The provider sends one word."""
        self.words.append(Word(f"evt_{len(self.words):06}", kind, asked.reference, money or f"ch_{asked.reference}",
                               minor or asked.minor, currency, object))

    def came(self, asked: Asked, *minors: int) -> None:
        """So much money came, in so many pieces: one of them pays the receipt when it is enough, the rest is in the wallet."""
        for number, minor in enumerate(minors):
            money = f"ch_{asked.reference}" + (f"_{number}" if number else "")
            self.tell(asked, EventKind.SUCCEEDED, minor, money)
            self.model.money[money] = minor
        used = asked.minor if asked.receipt and max(minors) >= asked.minor else 0
        self.model.move(sum(minors), "clearing")
        self.model.move(sum(minors) - used, "wallet", owner=asked.payer)
        self.model.move(-used, "receivable", owner=asked.payer)
        if used:
            self.model.receipts[asked.reference] = "paid"

    def given_back(self, asked: Asked, minor: int, *kinds: EventKind) -> None:
        """A refund made in the provider's own dashboard, of which these words are told; the last one counts."""
        name = f"re_{len(self.model.refunds):06}"
        for kind in kinds:
            self.tell(asked, kind, minor, object=name)
        self.model.refunds[name] = kinds[-1].removeprefix("refund.")
        if kinds[-1] is not EventKind.REFUND_FAILED:
            self.model.move(-minor, "income:cpu" if asked.receipt else f"wallet:{asked.payer}")
            self.model.move(*(-minor, "clearing") if kinds[-1] is EventKind.REFUND_SUCCEEDED else (minor, "refund_pending"))

    def disputed(self, asked: Asked, *kinds: EventKind) -> None:
        """A dispute over all of it, of which these words are told."""
        name = f"dp_{len(self.model.disputes):06}"
        for kind in kinds:
            self.tell(asked, kind, object=name)
        self.model.disputes[name] = {EventKind.DISPUTE_WON: "won", EventKind.DISPUTE_LOST: "lost"}.get(kinds[-1], "open")
        if EventKind.DISPUTE_REINSTATED not in kinds:
            self.model.move(-asked.minor, "clearing")
        if kinds[-1] is EventKind.DISPUTE_WITHDRAWN:
            self.model.move(asked.minor, "dispute")
        elif kinds[-1] is EventKind.DISPUTE_LOST:
            self.model.move(*(asked.minor, "write_off:disputes") if asked.receipt else (-asked.minor, f"wallet:{asked.payer}"))


def as_asked(storm: Storm, asked: Asked) -> None:
    """Nine in ten payers do what they are asked."""
    storm.came(asked, asked.minor)


def told_twice(storm: Storm, asked: Asked) -> None:
    """The same money under two events."""
    storm.came(asked, asked.minor)
    storm.tell(asked, EventKind.SUCCEEDED)


def after_trouble(storm: Storm, asked: Asked) -> None:
    """Declined, then on its way, then there."""
    storm.tell(asked, EventKind.FAILED)
    storm.tell(asked, EventKind.PROCESSING)
    storm.came(asked, asked.minor)


def declined(storm: Storm, asked: Asked) -> None:
    """No money at all."""
    storm.tell(asked, EventKind.FAILED)


def another_amount(storm: Storm, asked: Asked) -> None:
    """Too little, or too much."""
    storm.came(asked, storm.random.choice((asked.minor // 2, asked.minor - 1, asked.minor + 1, asked.minor * 2)))


def in_pieces(storm: Storm, asked: Asked) -> None:
    """Two or three charges under one reference; perhaps one is enough."""
    storm.came(asked, *(storm.random.choice((asked.minor // 3, asked.minor)) for _ in range(storm.random.randint(2, 3))))


def other_currency(storm: Storm, asked: Asked) -> None:
    """Baht were asked for, dollars came: they are nobody's yet."""
    storm.tell(asked, EventKind.SUCCEEDED, asked.minor, currency="USD")
    storm.model.money[f"ch_{asked.reference}"] = asked.minor
    storm.model.move(asked.minor, "clearing", "unapplied", currency="USD")


def refunded(storm: Storm, asked: Asked) -> None:
    """All of it is given back."""
    storm.came(asked, asked.minor)
    storm.given_back(asked, asked.minor, EventKind.REFUND_SUBMITTED, EventKind.REFUND_SUCCEEDED)
    if asked.receipt:
        storm.model.receipts[asked.reference] = "refunded"


def refunded_in_part(storm: Storm, asked: Asked) -> None:
    """Two parts: one is back, the other under way; a third failed after it had arrived."""
    storm.came(asked, asked.minor)
    storm.given_back(asked, asked.minor // 4, EventKind.REFUND_SUBMITTED, EventKind.REFUND_SUCCEEDED)
    storm.given_back(asked, asked.minor // 5, EventKind.REFUND_SUBMITTED)
    storm.given_back(asked, asked.minor // 6, EventKind.REFUND_SUBMITTED, EventKind.REFUND_SUCCEEDED, EventKind.REFUND_FAILED)


def dispute_open(storm: Storm, asked: Asked) -> None:
    """The payer's bank has the money for now."""
    storm.came(asked, asked.minor)
    storm.disputed(asked, EventKind.DISPUTE_OPENED, EventKind.DISPUTE_WITHDRAWN)


def dispute_won(storm: Storm, asked: Asked) -> None:
    """It came back."""
    storm.came(asked, asked.minor)
    storm.disputed(asked, EventKind.DISPUTE_OPENED, EventKind.DISPUTE_WITHDRAWN, EventKind.DISPUTE_REINSTATED, EventKind.DISPUTE_WON)


def dispute_lost(storm: Storm, asked: Asked) -> None:
    """It did not."""
    storm.came(asked, asked.minor)
    storm.disputed(asked, EventKind.DISPUTE_OPENED, EventKind.DISPUTE_WITHDRAWN, EventKind.DISPUTE_LOST)


STORIES: dict[Callable[[Storm, Asked], None], int] = {      # how often, in proportion
    as_asked: 30, told_twice: 6, after_trouble: 10, declined: 4, another_amount: 10, in_pieces: 8, other_currency: 4,
    refunded: 12, refunded_in_part: 8, dispute_open: 4, dispute_won: 6, dispute_lost: 6,
}


def brew(seed: int, events: int, start: Callable[[str, int, bool], Asked]) -> Storm:
    """Stories until `events` words are told. `start` starts a payment: who pays, how many minor units, whether of a receipt."""
    storm = Storm(Random(seed))
    while (left := events - len(storm.words)) > 0:
        story = storm.random.choices(list(STORIES), list(STORIES.values()))[0] if left >= LONGEST else as_asked
        asked = start(f"payer{storm.random.randrange(12):02}", storm.random.randint(2_000, 500_000), storm.random.random() < 0.5)
        if asked.receipt:
            storm.model.receipts[asked.reference] = "pending"
            storm.model.move(asked.minor, f"receivable:{asked.payer}", "income:cpu")
        story(storm, asked)
    return storm


def how_often(random: Random, events: int, deliveries: int) -> list[int]:
    """How often each event is delivered, `deliveries` in all: most of them once or twice, some fifty times."""
    times = [1] * events
    while (left := deliveries - sum(times)) > 0:
        place = random.randrange(events)
        times[place] += min(50 - times[place], int(random.paretovariate(0.9)), left)
    return times
