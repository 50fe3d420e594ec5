"""What finance and operations read: sums over usage, receipts, payments and the ledger, shaped for tables.

Read-only. Amounts are micro-units of one named currency: sums over currencies are never taken. Months and days are
those of `zone`; an instant is UTC everywhere else. Decides nothing about money.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

from data.postgres.bulk import copy_out
from data.postgres.frames import frame
from data.postgres.shelves.shelf import Shelf

UTC_TIME = pl.Datetime("us", "UTC")
DIMENSIONS = {"account": "account_name", "partition": "partition_name", "tier": "tier", "payer": "payer"}
AGES = ("not due", "1–30", "31–60", "61–90", "over 90")

MONTH_SCHEMA: dict[str, pl.DataType] = {
    "month": pl.Date(), "jobs": pl.Int64(), "cpu_micro": pl.Int64(), "gpu_micro": pl.Int64(), "mem_micro": pl.Int64(),
    "extra_micro": pl.Int64(), "rounding_micro": pl.Int64(), "cost_micro": pl.Int64(),
}
AGGREGATE_SCHEMA: dict[str, pl.DataType] = {
    "month": pl.Date(), "name": pl.String(), "jobs": pl.Int64(), "cpu_core_seconds": pl.Int64(), "gpu_seconds": pl.Int64(),
    "mem_mib_seconds": pl.Int64(), "extra_seconds": pl.Int64(), "cpu_micro": pl.Int64(), "gpu_micro": pl.Int64(), "mem_micro": pl.Int64(),
    "extra_micro": pl.Int64(), "rounding_micro": pl.Int64(), "cost_micro": pl.Int64(), "billed_micro": pl.Int64(),
}
OPEN_RECEIPT_SCHEMA: dict[str, pl.DataType] = {
    "id": pl.String(), "number": pl.String(), "payer": pl.String(), "tier": pl.String(), "currency": pl.String(),
    "total_micro": pl.Int64(), "issued_at": UTC_TIME, "due_at": UTC_TIME, "age": pl.String(), "days_past_due": pl.Int64(),
    "checkout_open": pl.Boolean(),
}
AGE_SCHEMA: dict[str, pl.DataType] = {"age": pl.String(), "receipts": pl.Int64(), "total_micro": pl.Int64()}
PAYER_SCHEMA: dict[str, pl.DataType] = {
    "payer": pl.String(), "tier": pl.String(), "currency": pl.String(), "jobs": pl.Int64(), "cost_micro": pl.Int64(),
    "unbilled_jobs": pl.Int64(), "unbilled_micro": pl.Int64(), "open_receipts": pl.Int64(), "open_micro": pl.Int64(),
}
QUEUE_SCHEMA: dict[str, pl.DataType] = {
    "payer": pl.String(), "tier": pl.String(), "currency": pl.String(), "jobs": pl.Int64(), "usage_micro": pl.Int64(),
    "adjustments": pl.Int64(), "adjustment_micro": pl.Int64(), "due_micro": pl.Int64(), "oldest_end": UTC_TIME,
}
# What rating needs of a run, and what it was charged; instants as Unix seconds, like USAGE_SCHEMA.
RATED_SCHEMA: dict[str, pl.DataType] = {
    "run_key": pl.String(), "payer": pl.String(), "account": pl.String(), "partition": pl.String(), "submit_at": pl.Int64(),
    "start_at": pl.Int64(), "end_at": pl.Int64(), "elapsed_seconds": pl.Int64(), "alloc_tres": pl.String(),
    "alloc_cpus": pl.Int64(), "alloc_gpus": pl.Int64(), "alloc_mem_mib": pl.Int64(), "cpu_used_core_seconds": pl.Int64(),
    "mem_used_mib_seconds": pl.Int64(), "ended": pl.Boolean(), "cpu_micro": pl.Int64(), "gpu_micro": pl.Int64(),
    "mem_micro": pl.Int64(), "extra_micro": pl.Int64(), "rounding_micro": pl.Int64(), "cost_micro": pl.Int64(),
}
PROVIDER_SCHEMA: dict[str, pl.DataType] = {
    "provider": pl.String(), "payments": pl.Int64(), "paid_micro": pl.Int64(), "clearing_micro": pl.Int64(),
    "unapplied_micro": pl.Int64(), "last_at": UTC_TIME,
}

_AGE = """case when r.due_at >= :now then 'not due' else case
  when :now - r.due_at <= interval '30 days' then '1–30' when :now - r.due_at <= interval '60 days' then '31–60'
  when :now - r.due_at <= interval '90 days' then '61–90' else 'over 90' end end"""
_OPEN = "(billed_micro is null or billed_micro <> cost_micro)"


@dataclass(frozen=True, slots=True)
class Receivable:
    """What is owed to us: issued receipts that are not paid, and the part past its due date."""

    receipts: int
    total_micro: int
    overdue_receipts: int
    overdue_micro: int


@dataclass(frozen=True, slots=True)
class Received:
    """Payments that were settled in a span."""

    payments: int
    total_micro: int


@dataclass(frozen=True, slots=True)
class Span:
    """Usage that ended in a span."""

    jobs: int
    cost_micro: int


class FinanceReadsShelf(Shelf):
    """Sums for people who bill."""

    def currencies(self) -> list[str]:
        """Every currency money was reckoned in, by name."""
        return [row.currency for row in self.rows("select distinct currency from rate_card order by 1")]

    def cost_between(self, currency: str, start: datetime, end: datetime) -> Span:
        """What the jobs that ended in [start, end) cost."""
        row = self.one("select count(*) as jobs, cast(coalesce(sum(cost_micro), 0) as bigint) as cost from usage_record"
                       " where ended and currency = :currency and end_at >= :start and end_at < :end",
                       currency=currency, start=start, end=end)
        assert row is not None
        return Span(row.jobs, row.cost)

    def revenue_by_month(self, currency: str, zone: str, since: datetime) -> pl.DataFrame:
        """Cost of ended jobs by the month they ended in (MONTH_SCHEMA), from `since`, billed or not."""
        return frame(self.connection, f"""
            select cast(date_trunc('month', end_at at time zone :zone) as date), count(*),
              {_sums("cpu_micro", "gpu_micro", "mem_micro", "extra_micro", "rounding_micro", "cost_micro")}
            from usage_record where ended and currency = :currency and end_at >= :since group by 1 order by 1""",  # noqa: S608
            MONTH_SCHEMA, currency=currency, zone=zone, since=since)

    def minimums_by_month(self, currency: str, since: date) -> dict[date, int]:
        """What live receipts bill up to months' minimums, by the month (its first day) they are of, from `since`."""
        return {row.month: row.micro for row in self.rows("""
            select l.month, cast(sum(l.cost_micro) as bigint) as micro from receipt_line l join receipt r on r.id = l.receipt_id
            where l.live and l.month >= :since and r.currency = :currency group by 1""", since=since, currency=currency)}

    def aggregates(self, by: str, currency: str, zone: str, start: datetime, end: datetime, **only: str | None) -> pl.DataFrame:
        """Ended jobs of [start, end) by month and `by` (a key of DIMENSIONS), newest month first (AGGREGATE_SCHEMA).

        `only` narrows to one account, partition, tier or payer. `billed_micro` is what stands on live receipts.
        """
        narrowed = "".join(f" and {DIMENSIONS[key]} = :only_{key}" for key, value in only.items() if value is not None)
        values: dict[str, Any] = {f"only_{key}": value for key, value in only.items() if value is not None}
        return frame(self.connection, f"""
            select cast(date_trunc('month', end_at at time zone :zone) as date), {DIMENSIONS[by]}, count(*),
              {_sums("cpu_core_seconds", "gpu_seconds", "mem_mib_seconds", "extra_seconds", "cpu_micro", "gpu_micro",
                     "mem_micro", "extra_micro", "rounding_micro", "cost_micro", "billed_micro")}
            from usage_record where ended and currency = :currency and end_at >= :start and end_at < :end{narrowed}
            group by 1, 2 order by 1 desc, sum(cost_micro) desc, 2""",  # noqa: S608
            AGGREGATE_SCHEMA, currency=currency, zone=zone, start=start, end=end, **values)

    def names(self, dimension: str) -> list[str]:
        """Every account, partition, tier or payer that has usage."""
        column = DIMENSIONS[dimension]
        return [row.name for row in self.rows(f"select distinct {column} as name from usage_record order by 1")]  # noqa: S608

    def receivable(self, currency: str, now: datetime) -> Receivable:
        """Pending receipts and the overdue part of them."""
        row = self.one("""select count(*) as receipts, cast(coalesce(sum(total_micro), 0) as bigint) as total,
              count(*) filter (where due_at < :now) as late,
              cast(coalesce(sum(total_micro) filter (where due_at < :now), 0) as bigint) as late_total
            from receipt where status = 'pending' and currency = :currency""", currency=currency, now=now)
        assert row is not None
        return Receivable(row.receipts, row.total, row.late, row.late_total)

    def receivable_by_age(self, currency: str, now: datetime) -> pl.DataFrame:
        """Pending receipts by days past due: always the five rows of AGES in that order (AGE_SCHEMA)."""
        found = frame(self.connection, f"""select {_AGE}, count(*), {_sums("total_micro")} from receipt r
            where status = 'pending' and currency = :currency group by 1""", AGE_SCHEMA, currency=currency, now=now)  # noqa: S608
        every = pl.DataFrame({"age": AGES})
        return every.join(found, on="age", how="left", maintain_order="left").with_columns(
            pl.col("receipts", "total_micro").fill_null(0))

    def open_receipts(self, now: datetime) -> pl.DataFrame:
        """Pending receipts, the longest overdue first (OPEN_RECEIPT_SCHEMA); negative days are days still left."""
        return frame(self.connection, f"""
            select r.id, r.number, r.payer, r.tier, r.currency, r.total_micro, r.issued_at, r.due_at, {_AGE},
              cast(floor(extract(epoch from :now - r.due_at) / 86400) as bigint),
              exists (select 1 from payment p where p.receipt_id = r.id and p.status = 'pending' and p.expires_at > :now)
            from receipt r where r.status = 'pending' order by r.due_at, r.number""", OPEN_RECEIPT_SCHEMA, now=now)  # noqa: S608

    def received(self, currency: str, start: datetime, end: datetime) -> Received:
        """Money that came in [start, end), for receipts or wallets, and still stands; what wallets paid came before."""
        row = self.one("""select count(*) as payments, cast(coalesce(sum(received_micro), 0) as bigint) as total from payment
            where status in ('succeeded', 'credited') and provider <> 'wallet' and currency = :currency
              and settled_at >= :start and settled_at < :end""",
            currency=currency, start=start, end=end)
        assert row is not None
        return Received(row.payments, row.total)

    def providers(self, currency: str) -> pl.DataFrame:
        """The money that each provider's payments brought, less what was given back, disputed or is unapplied, beside what the
        ledger says it holds (PROVIDER_SCHEMA).

        They agree when clearing = paid + unapplied."""
        return frame(self.connection, """
            with came as (
              select provider, count(*) filter (where status <> 'unapplied') as payments, sum(received_micro) as micro,
                max(settled_at) as last_at
              from payment where status in ('succeeded', 'credited', 'unapplied') and provider <> 'wallet' and currency = :currency
              group by 1),
            back as (
              select provider, sum(micro) as micro from (
                select provider, amount_micro as micro from refund where status = 'succeeded' and currency = :currency
                union all select provider, amount_micro from dispute where withdrawn_at is not null and currency = :currency
                union all select provider, -amount_micro from dispute where reinstated_at is not null and currency = :currency) b
              group by 1),
            held as (
              select owner as provider, coalesce(sum(side * balance_micro) filter (where kind = 'clearing'), 0) as clearing,
                coalesce(sum(side * balance_micro) filter (where kind = 'unapplied'), 0) as unapplied
              from ledger_account where kind in ('clearing', 'unapplied') and currency = :currency group by 1)
            select coalesce(came.provider, held.provider), coalesce(payments, 0),
              cast(coalesce(came.micro, 0) - coalesce(back.micro, 0) - coalesce(unapplied, 0) as bigint),
              cast(coalesce(clearing, 0) as bigint), cast(coalesce(unapplied, 0) as bigint), last_at
            from came full join held on held.provider = came.provider
            left join back on back.provider = coalesce(came.provider, held.provider) order by 1""",
            PROVIDER_SCHEMA, currency=currency)

    def payers(self, month_start: datetime) -> pl.DataFrame:
        """Every payer with what they used since `month_start`, what is unbilled and what is owed (PAYER_SCHEMA).

        One row a payer and currency; a payer without usage has a null currency."""
        return frame(self.connection, f"""
            with used as (
              select payer, currency, count(*) filter (where end_at >= :start) as jobs,
                coalesce(sum(cost_micro) filter (where end_at >= :start), 0) as cost,
                count(*) filter (where {_OPEN}) as unbilled,
                coalesce(sum(cost_micro - coalesce(billed_micro, 0)) filter (where {_OPEN}), 0) as owed
              from usage_record where ended and (end_at >= :start or {_OPEN}) group by 1, 2),
            issued as (select payer, currency, count(*) as receipts, sum(total_micro) as total from receipt
                       where status = 'pending' group by 1, 2),
            both_ as (select payer, currency from used union select payer, currency from issued)
            select p.name, p.tier, b.currency, coalesce(jobs, 0), cast(coalesce(cost, 0) as bigint), coalesce(unbilled, 0),
              cast(coalesce(owed, 0) as bigint), coalesce(receipts, 0), cast(coalesce(total, 0) as bigint)
            from payer p left join both_ b on b.payer = p.name
            left join used u on u.payer = p.name and u.currency = b.currency
            left join issued i on i.payer = p.name and i.currency = b.currency order by p.name, b.currency""",  # noqa: S608
            PAYER_SCHEMA, start=month_start)

    def billing_queue(self, before: datetime) -> pl.DataFrame:
        """Who has unbilled jobs that ended before `before`, the largest sum first (QUEUE_SCHEMA).

        `jobs` were on no receipt yet; `adjustments` are billed jobs whose cost was corrected since."""
        return frame(self.connection, f"""
            select u.payer, p.tier, u.currency, count(*) filter (where billed_micro is null),
              {_sums("cost_micro", where="billed_micro is null")}, count(*) filter (where billed_micro is not null),
              {_sums("cost_micro - billed_micro", where="billed_micro is not null")},
              {_sums("cost_micro - coalesce(billed_micro, 0)")}, min(end_at)
            from usage_record u join payer p on p.name = u.payer where ended and end_at < :before and {_OPEN}
            group by 1, 2, 3 order by 8 desc, 1""", QUEUE_SCHEMA, before=before)  # noqa: S608

    def unbilled_of(self, payer: str) -> Span:
        """How many ended jobs of `payer` are not on a receipt at today's price, and what they add."""
        row = self.one(f"""
            select count(*) as jobs, cast(coalesce(sum(cost_micro - coalesce(billed_micro, 0)), 0) as bigint) as cost
            from usage_record where payer = :payer and ended and {_OPEN}""", payer=payer)  # noqa: S608
        assert row is not None
        return Span(row.jobs, row.cost)

    def rated_usage(self, since: datetime | None, *, tier: str | None = None, payer: str | None = None,
                    currency: str | None = None, unbilled: bool = False) -> pl.DataFrame:
        """Ended runs with what rating needs of them and what they were charged (RATED_SCHEMA).

        Those that ended since, of one charged tier, payer or currency when named; `unbilled`: on no live receipt."""
        return copy_out(self.connection, """
            select run_key, payer, account_name, partition_name, extract(epoch from submit_at)::bigint,
              extract(epoch from start_at)::bigint, extract(epoch from end_at)::bigint, elapsed_seconds, alloc_tres, alloc_cpus,
              alloc_gpus, alloc_mem_mib, cpu_used_core_seconds, mem_used_mib_seconds, ended, cpu_micro, gpu_micro, mem_micro,
              extra_micro, rounding_micro, cost_micro from usage_record
            where ended and not settled
              and (%(since)s::timestamptz is null or end_at >= %(since)s) and (%(tier)s::text is null or tier = %(tier)s)
              and (%(payer)s::text is null or payer = %(payer)s) and (%(currency)s::text is null or currency = %(currency)s)
              and (not %(unbilled)s or billed_micro is null) order by run_key""",
            RATED_SCHEMA, since=since, tier=tier, payer=payer, currency=currency, unbilled=unbilled)

    def tier_sizes(self) -> dict[str, int]:
        """How many payers each tier has."""
        return {row.name: row.payers for row in self.rows(
            "select t.name, count(p.name) as payers from tier t left join payer p on p.tier = t.name group by 1 order by 1")}


def _sums(*columns: str, where: str = "") -> str:
    only = f" filter (where {where})" if where else ""
    return ", ".join(f"cast(coalesce(sum({column}){only}, 0) as bigint)" for column in columns)
