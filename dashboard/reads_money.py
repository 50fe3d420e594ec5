"""What the pages about money in and out show, each from one snapshot of Postgres. Draws nothing, checks no role: the page has
done so before it asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from dashboard.connection import store
from data.postgres.shelves.inbox import InboxRow
from data.postgres.shelves.money_reads import Listed
from data.postgres.shelves.reconciliation import Run
from data.postgres.shelves.refunds import RefundStep
from data.postgres.store import PostgresTransaction
from engine.disputes import Dispute
from engine.payments import Payment
from engine.refunds import Refund, Sources, left_of
from engine.services.refunds import refundable


@dataclass(frozen=True, slots=True)
class ListView:
    """One page of a list, and how long its oldest unfinished row has waited (inbox and outbox)."""

    now: datetime
    listed: Listed
    oldest_seconds: float = 0.0


def waiting_list(what: str, state: str | None, text: str, limit: int, offset: int) -> ListView:
    """A page of `inbox` or `outbox`."""
    return store().read(lambda tx: ListView(tx.now, tx.money_reads.listed(what, state, text, limit, offset),
                                            tx.money_reads.oldest_seconds(what)))


def whole_list(what: str, state: str | None, text: str, most: int = 100_000) -> pl.DataFrame:
    """Every matching row, for a download."""
    return store().read(lambda tx: tx.money_reads.listed(what, state, text, most)).rows


def event(id: int) -> InboxRow | None:
    """One event of the inbox, as it came."""
    return store().read(lambda tx: tx.inbox.get(id))


def job_payload(id: int) -> Mapping[str, object]:
    """What one job of the outbox asks for."""
    found = store().read(lambda tx: tx.outbox.get(id))
    return found.payload if found else {}


@dataclass(frozen=True, slots=True)
class MoneyBack:
    """The page of refunds and disputes: one page of one of them, and what is on its way or in dispute by currency."""

    now: datetime
    currency: str
    listed: Listed
    refunds: dict[str, int]
    disputes: dict[str, int]
    under_way: list[tuple[str, int, int]]
    disputed: list[tuple[str, int, int]]


def money_back(what: str, state: str | None, text: str, limit: int, offset: int) -> MoneyBack:
    """A page of `refunds` or `disputes`."""
    def read(tx: PostgresTransaction) -> MoneyBack:
        shelf = tx.money_reads
        both = {one: shelf.listed(one, limit=1).states for one in ("refunds", "disputes")}
        return MoneyBack(tx.now, tx.settings.default_currency, shelf.listed(what, state, text, limit, offset), both["refunds"],
                         both["disputes"], shelf.under_way(), shelf.disputed())
    return store().read(read)


def refund_steps(id: str) -> list[RefundStep]:
    """A refund's history."""
    return store().read(lambda tx: tx.refunds.steps(id))


def to_give_back(name: str) -> tuple[Payment, Sources]:
    """The payment that a reference or a receipt names, and what is left of it; refused in a sentence."""
    def read(tx: PostgresTransaction) -> tuple[Payment, Sources]:
        payment = refundable(tx, name.strip())
        return payment, left_of(payment, tx.refunds.of_payment(payment.id), [one.taken for one in tx.disputes.of_payment(payment.id)])
    return store().read(read)


def marks_of(receipt_id: str) -> tuple[list[Refund], list[Dispute]]:
    """A receipt's refunds and disputes."""
    return store().read(lambda tx: (tx.refunds.of_receipt(receipt_id), tx.disputes.of_receipt(receipt_id)))


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The newest run of each provider and day."""

    now: datetime
    today: Any
    runs: list[Run]
    providers: tuple[str, ...]


def reconciliation() -> Reconciliation:
    """The newest runs, and which providers can be asked."""
    return store().read(lambda tx: Reconciliation(tx.now, tx.now.astimezone(tx.settings.zone).date(), tx.reconciliation.latest(200),
                                                  tx.settings.payment_providers))


def runs_frame(runs: list[Run]) -> pl.DataFrame:
    """One row a run and currency, micro-units."""
    rows = [(run.day, run.provider, one.currency if one else "", one.ours_micro if one else 0, one.theirs_micro if one else 0,
             one.movements if one else 0, run.applied, len(run.lines), str(run.outcome), run.ran_at, run.ran_by, run.note)
            for run in runs for one in (run.sums or (None,))]
    return pl.DataFrame(rows, orient="row", schema={
        "day": pl.Date, "provider": pl.String, "currency": pl.String, "ours_micro": pl.Int64, "theirs_micro": pl.Int64,
        "movements": pl.Int64, "applied": pl.Int64, "differences": pl.Int64, "outcome": pl.String, "ran_at": pl.Datetime("us", "UTC"),
        "ran_by": pl.String, "note": pl.String})
