"""What the finance pages show, each page's figures from one snapshot of Postgres. Draws nothing, checks no role: the
page has done so before it asks. Sums are of one currency; months are the site's.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import polars as pl

from dashboard import reads, reads_operations
from dashboard.connection import store
from data.analytics import lake
from data.postgres.shelves.finance_reads import Receivable, Received, Span
from data.postgres.shelves.operations_reads import AuditLine, Watermark
from data.postgres.store import PostgresTransaction
from engine.commitments import MonthDue
from engine.receipts import Receipt
from engine.services.commitments import open_months

MONTHS = 12
METERS = ("cpu", "gpu", "mem", "extra")


@dataclass(frozen=True, slots=True)
class Month:
    """A month of the site that is not over: its first day, its length, and how much of it has passed."""

    first: date
    days: int
    day: int
    start: datetime
    end: datetime
    passed: float

    def course_micro(self, so_far_micro: int) -> int:
        """Where `so_far_micro` leads by the end of the month when it goes on like this."""
        return int(so_far_micro / self.passed) if self.passed else so_far_micro


@dataclass(frozen=True, slots=True)
class Overview:
    """The finance page."""

    now: datetime
    freshness: tuple[str, str, str]
    currency: str
    month: Month
    so_far: Span
    receivable: Receivable
    received: Received
    ages: pl.DataFrame
    months: list[date]
    meters: Mapping[str, Sequence[int]]
    providers: pl.DataFrame
    watermarks: list[Watermark]
    promise: timedelta
    verified: AuditLine | None
    waiting_batches: int

    @property
    def off_micro(self) -> int:
        """How far the ledger is from what providers were seen to pay."""
        held = self.providers["clearing_micro"] - self.providers["unapplied_micro"]
        return int((held - self.providers["paid_micro"]).abs().sum())

    @property
    def unapplied_micro(self) -> int:
        """Money that matches nothing yet."""
        return int(self.providers["unapplied_micro"].sum())


def month_of(now: datetime, zone: ZoneInfo) -> Month:
    """The site's month around `now`."""
    local = now.astimezone(zone)
    start = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    days = monthrange(local.year, local.month)[1]
    end = (start + timedelta(days=days)).replace(tzinfo=zone)
    return Month(start.date(), days, local.day, start, end, (now - start) / (end - start))


def months_back(first: date, count: int) -> list[date]:
    """The `count` months up to the one that begins at `first`, oldest first."""
    numbers = range(first.year * 12 + first.month - count, first.year * 12 + first.month)
    return [date(number // 12, number % 12 + 1, 1) for number in numbers]


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The instant a day of the site begins."""
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def today() -> date:
    """The site's day."""
    return datetime.now(store().settings.zone).date()


def day_before(day: date) -> date:
    """The day before `day`."""
    return day - timedelta(days=1)


def day_after(day: date) -> date:
    """The day after `day`."""
    return day + timedelta(days=1)


def currencies() -> list[str]:
    """The site's currency, then every other one that is on a card."""
    def read(tx: PostgresTransaction) -> list[str]:
        return list(dict.fromkeys([tx.settings.default_currency, *tx.finance_reads.currencies()]))
    return store().read(read)


def overview(currency: str) -> Overview:
    """Everything on the finance page but its table."""
    return store().read(lambda tx: _overview(tx, currency))


def _overview(tx: PostgresTransaction, currency: str) -> Overview:
    zone, shelf = tx.settings.zone, tx.finance_reads
    month = month_of(tx.now, zone)
    months = months_back(month.first, MONTHS)
    found = shelf.revenue_by_month(currency, tx.settings.time_zone, start_of(months[0], zone))
    minimums = shelf.minimums_by_month(currency, months[0])
    return Overview(
        now=tx.now, freshness=reads.freshness(tx), currency=currency, month=month,
        so_far=shelf.cost_between(currency, month.start, month.end), receivable=shelf.receivable(currency, tx.now),
        received=shelf.received(currency, month.start, month.end), ages=shelf.receivable_by_age(currency, tx.now),
        months=months, meters=by_meter(found, months) | {"minimum": [minimums.get(first, 0) for first in months]},
        providers=shelf.providers(currency),
        watermarks=tx.operations_reads.watermarks(), promise=timedelta(minutes=tx.settings.usage_promise_minutes),
        verified=reads_operations.last_verification(tx), waiting_batches=len(tx.lake.pending()))


def by_meter(found: pl.DataFrame, months: Sequence[date]) -> dict[str, list[int]]:
    """Micro-units by meter for every one of `months`, 0 where nothing ended. What rounding per job added or took goes
    with the largest meter of the month, so that the bars add up to the cost."""
    every = pl.DataFrame({"month": list(months)}, schema={"month": pl.Date}).join(
        found, on="month", how="left", maintain_order="left").fill_null(0)
    rows = [_with_rounding({meter: row[f"{meter}_micro"] for meter in METERS}, row["rounding_micro"])
            for row in every.iter_rows(named=True)]
    return {meter: [row[meter] for row in rows] for meter in METERS}


def _with_rounding(amounts: dict[str, int], rounding_micro: int) -> dict[str, int]:
    largest = max(amounts, key=lambda meter: amounts[meter])
    return amounts | {largest: amounts[largest] + rounding_micro}


def compare_copy() -> list[str]:
    """Where the analytics copy differs from Postgres, in sentences; it is made whole first when a batch is missing."""
    try:
        return lake.verify(store())
    except duckdb.Error as error:
        return [f"The analytics copy cannot be read: {store().lake.plain(error)}"]


def aggregates(by: str, currency: str, start: datetime, end: datetime, only: Mapping[str, str]) -> pl.DataFrame:
    """Ended jobs of [start, end) by month and `by`, narrowed to `only` (AGGREGATE_SCHEMA)."""
    return store().read(lambda tx: tx.finance_reads.aggregates(by, currency, tx.settings.time_zone, start, end, **only))


def last_months(found: pl.DataFrame, months: Sequence[date]) -> pl.DataFrame:
    """One row a name of the newest month of `months`: its jobs and sums there, and `course`, cost by month."""
    known = {(row["month"], row["name"]): row["cost_micro"] for row in found.iter_rows(named=True)}
    newest = found.filter(pl.col("month") == months[-1])
    courses = [[known.get((month, name), 0) / 1e6 for month in months] for name in newest["name"]]
    return newest.with_columns(pl.Series("course", courses, pl.List(pl.Float64)))


@dataclass(frozen=True, slots=True)
class Payers:
    """The accounts page: payers, tiers, what their month was."""

    now: datetime
    month: Month
    currency: str
    payers: pl.DataFrame
    tiers: list[str]


def payers() -> Payers:
    """Every payer with this month's usage, what is unbilled and what is owed."""
    def read(tx: PostgresTransaction) -> Payers:
        month = month_of(tx.now, tx.settings.zone)
        return Payers(tx.now, month, tx.settings.default_currency, tx.finance_reads.payers(month.start), tx.payers.tiers())
    return store().read(read)


@dataclass(frozen=True, slots=True)
class Billing:
    """The billing page: who is to be billed up to `before`, and the receipts that wait for money. The queue is QUEUE_SCHEMA with
    `months` short of a minimum (or billed too much for it) and their `minimum_micro`, which `due_micro` contains."""

    now: datetime
    freshness: tuple[str, str, str]
    month: Month
    currency: str
    queue: pl.DataFrame
    open: pl.DataFrame
    receivable: Receivable
    ages: pl.DataFrame
    settled: list[Receipt]


def with_minimums(queue: pl.DataFrame, months: Sequence[MonthDue]) -> pl.DataFrame:
    """The queue with what months' minimums add to it, the largest sum first; a payer may be in it for a minimum alone."""
    keys = ["payer", "tier", "currency"]
    owed = pl.DataFrame([(due.of.payer, due.tier, due.minimum.card.currency, due.owed_micro) for due in months], orient="row",
                        schema={**dict.fromkeys(keys, pl.String), "owed": pl.Int64})
    sums = owed.group_by(keys).agg(pl.len().cast(pl.Int64).alias("months"), pl.col("owed").sum().alias("minimum_micro"))
    both = queue.join(sums, on=keys, how="full", coalesce=True).with_columns(pl.col(pl.Int64).fill_null(0))
    return both.with_columns(pl.col("due_micro") + pl.col("minimum_micro")).sort("due_micro", "payer", descending=[True, False])


def billing(before: datetime, settled: int = 100) -> Billing:
    """The queue, open receipts by age, and the newest receipts that are not open."""
    def read(tx: PostgresTransaction) -> Billing:
        shelf, currency = tx.finance_reads, tx.settings.default_currency
        return Billing(tx.now, reads.freshness(tx), month_of(tx.now, tx.settings.zone), currency,
                       with_minimums(shelf.billing_queue(before), open_months(tx, before)),
                       shelf.open_receipts(tx.now), shelf.receivable(currency, tx.now), shelf.receivable_by_age(currency, tx.now),
                       tx.receipts.all(statuses=["paid", "void", "refunded"])[:settled])
    return store().read(read)
