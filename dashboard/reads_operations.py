"""What the operations pages show, each page's figures from one snapshot of Postgres. Draws nothing, checks no role:
the page has done so before it asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from dashboard.connection import store
from data.postgres.shelves.operations_reads import AuditFilter, AuditLine, Published, RunLine, Someone, Watermark
from data.postgres.store import PostgresTransaction
from engine.audit import AuditEntry, Verification, verify
from engine.rate_reading import read_drafts
from engine.rates import Policy, RateCard
from engine.rating import rate
from engine.services.rates import check_cards

WEEK = timedelta(days=7)
CHARGED = ("cpu_micro", "gpu_micro", "mem_micro", "extra_micro", "rounding_micro", "cost_micro")
VERIFIED = "audit.verified"


@dataclass(frozen=True, slots=True)
class Ingestion:
    """The ingestion page: freshness, counts, one page of runs."""

    now: datetime
    promise: timedelta
    watermarks: list[Watermark]
    states: Mapping[str, int]
    runs: list[RunLine]
    new_in_week: int
    changed_in_week: int
    unresolved: int

    @property
    def complete_to(self) -> datetime | None:
        """What is complete for every cluster."""
        return min((mark.complete_to for mark in self.watermarks), default=None)

    @property
    def late(self) -> list[Watermark]:
        """Clusters older than the promise."""
        return [mark for mark in self.watermarks if self.now - mark.complete_to > self.promise]


def ingestion(states: list[str] | None, limit: int, offset: int) -> Ingestion:
    """Freshness and one page of runs."""
    def read(tx: PostgresTransaction) -> Ingestion:
        shelf = tx.operations_reads
        new, changed = shelf.brought(tx.now - WEEK)
        return Ingestion(tx.now, timedelta(minutes=tx.settings.usage_promise_minutes), shelf.watermarks(), shelf.run_states(),
                         shelf.runs(states, limit, offset), new, changed, shelf.unresolved())
    return store().read(read)


def run_detail(run_id: int) -> tuple[RunLine, pl.DataFrame] | None:
    """One run and the lines it could not read."""
    def read(tx: PostgresTransaction) -> tuple[RunLine, pl.DataFrame] | None:
        run = tx.operations_reads.run(run_id)
        return (run, tx.operations_reads.rejections(run_id)) if run else None
    return store().read(read)


@dataclass(frozen=True, slots=True)
class RateBook:
    """The rate book with who published what, and how many payers each tier has."""

    now: datetime
    cards: list[RateCard]
    published: Mapping[str, Published]
    payers: Mapping[str, int]

    @property
    def lines(self) -> list[str]:
        """Tiers that have a card, in the order they were first priced, then projects (`project:ACCOUNT`)."""
        return list(dict.fromkeys(card.line for card in self.cards))

    def of(self, line: str) -> list[RateCard]:
        """A line's cards, the one that begins last first; of those that begin at once, the one published last."""
        return sorted((card for card in self.cards if card.line == line), key=lambda card: (card.valid_from, card.version), reverse=True)

    def valid(self, line: str) -> RateCard | None:
        """The card that prices what ends now: the one that began last, whenever it was published."""
        begun = [card for card in self.of(line) if card.valid_from <= self.now]
        return max(begun, key=lambda card: (card.valid_from, card.version), default=None)

    def coming(self, line: str) -> RateCard | None:
        """The next card to take over."""
        return min((card for card in self.of(line) if card.valid_from > self.now), key=lambda card: card.valid_from, default=None)

    def valid_to(self, card: RateCard) -> datetime | None:
        """When the next card takes over from it."""
        return min((other.valid_from for other in self.of(card.line) if other.valid_from > card.valid_from), default=None)

    def state(self, card: RateCard) -> str:
        """`active`, `scheduled` or `expired`."""
        if card.valid_from > self.now:
            return "scheduled"
        return "active" if card == self.valid(card.line) else "expired"


def rate_book() -> RateBook:
    """Every published card."""
    return store().read(lambda tx: RateBook(tx.now, tx.rates.book(), tx.operations_reads.published(),
                                            tx.finance_reads.tier_sizes()))


def checked_cards(text: str) -> list[RateCard]:
    """The cards of a text with the versions publishing would give them, or its refusal; nothing is written."""
    drafts = read_drafts(text)
    return store().read(lambda tx: check_cards(tx, drafts))


@dataclass(frozen=True, slots=True)
class TierChange:
    """What moving a payer to another tier would do: unbilled ended jobs, their cost now and then."""

    jobs: int
    before_micro: int
    after_micro: int
    currency: str


def tier_change(payer: str, tier: str) -> TierChange:
    """Price what `payer` was not billed for by the cards of `tier`; nothing is written."""
    def read(tx: PostgresTransaction) -> TierChange:
        book = tx.rates.book()
        usage = tx.finance_reads.rated_usage(None, payer=payer, unbilled=True)
        priced = rate(usage.drop(CHARGED).with_columns(tier=pl.lit(tier), account_name="account"), book)
        return TierChange(len(usage), int(usage["cost_micro"].sum()), int(priced["cost_micro"].sum()),
                          next((card.currency for card in book if card.tier == tier), ""))
    return store().read(read)


def people() -> tuple[datetime, list[Someone]]:
    """(now, everybody who can sign in)."""
    return store().read(lambda tx: (tx.now, tx.operations_reads.people()))


@dataclass(frozen=True, slots=True)
class AuditView:
    """One page of the audit chain, what there is to filter by, and the last verification."""

    now: datetime
    entries: int
    lines: list[AuditLine]
    actors: list[str]
    actions: list[str]
    verified: AuditLine | None


def audit_view(only: AuditFilter, limit: int, offset: int) -> AuditView:
    """Matching entries, newest first."""
    def read(tx: PostgresTransaction) -> AuditView:
        shelf = tx.operations_reads
        actors, actions = shelf.audit_words()
        return AuditView(tx.now, shelf.audit_count(only), shelf.audit_lines(only, limit, offset), actors, actions,
                         last_verification(tx))
    return store().read(read)


def last_verification(tx: PostgresTransaction) -> AuditLine | None:
    """The newest entry that says the chain was walked."""
    found = tx.operations_reads.audit_lines(AuditFilter(action=VERIFIED), 1)
    return found[0] if found else None


def audit_frame(only: AuditFilter, limit: int = 100_000) -> list[AuditLine]:
    """Matching entries for a download."""
    return store().read(lambda tx: tx.operations_reads.audit_lines(only, limit))


def verify_chain(told: Any, every: int = 500) -> Verification:
    """Walk the whole chain; `told(checked, of)` hears how far it is."""
    anchors = list(store().anchors.read())          # before the chain: those noted meanwhile speak of entries it does not see

    def read(tx: PostgresTransaction) -> Verification:
        head = tx.audit.head()

        def counted(entries: Iterator[AuditEntry]) -> Iterator[AuditEntry]:
            for number, entry in enumerate(entries, 1):
                if number % every == 0:
                    told(number, head.id)
                yield entry
        return verify(counted(tx.audit.chain()), head, anchors, store().audit_keys())
    return store().read(read)


def note_verification(tx: PostgresTransaction, found: Verification) -> None:
    """Write into the chain that it was walked, and what was found."""
    tx.audit.record(VERIFIED, "audit:chain", ok=found.ok, checked=found.checked, first_bad=found.first_bad, reason=found.reason)


def policy_words(policy: str) -> str:
    """What a quantity policy bills."""
    return {"used": "bills what was used", "allocated": "bills what was set aside"}[Policy(policy)]
