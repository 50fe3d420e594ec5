"""What people read of usage: runs by filter and page, their sums, days and months.

Read-only and never wider than its scope: every query carries whose usage may be seen. Days and months are those of the
site's zone; amounts micro-units of one named currency.
"""
# ruff: noqa: S608  statements are put together from constants; every value of a person's is bound

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from data.postgres.frames import frame
from data.postgres.shelves.shelf import Shelf

UTC_TIME = pl.Datetime("us", "UTC")
RUNS_SCHEMA: dict[str, pl.DataType] = {
    "run_key": pl.String(), "job_id": pl.String(), "job_name": pl.String(), "account_name": pl.String(), "user_name": pl.String(),
    "payer": pl.String(), "partition_name": pl.String(), "state": pl.String(), "submit_at": UTC_TIME, "start_at": UTC_TIME,
    "end_at": UTC_TIME, "elapsed_seconds": pl.Int64(), "alloc_cpus": pl.Int64(), "alloc_gpus": pl.Int64(),
    "alloc_mem_mib": pl.Int64(), "alloc_tres": pl.String(), "cpu_used_core_seconds": pl.Int64(), "billing": pl.String(),
    "tier": pl.String(), "rate_card": pl.String(), "policy": pl.String(), "currency": pl.String(),
    "cpu_core_seconds": pl.Int64(), "gpu_seconds": pl.Int64(), "mem_mib_seconds": pl.Int64(), "extra_seconds": pl.Int64(),
    "cpu_micro": pl.Int64(), "gpu_micro": pl.Int64(), "mem_micro": pl.Int64(), "extra_micro": pl.Int64(),
    "rounding_micro": pl.Int64(), "cost_micro": pl.Int64(),
}
SPAN_SCHEMA: dict[str, pl.DataType] = {
    "start": pl.Date(), "jobs": pl.Int64(), "cpu_micro": pl.Int64(), "gpu_micro": pl.Int64(), "mem_micro": pl.Int64(),
    "extra_micro": pl.Int64(), "rounding_micro": pl.Int64(), "cost_micro": pl.Int64(),
}
RECEIPT_METERS_SCHEMA: dict[str, pl.DataType] = {
    "kind": pl.String(), "rate_card": pl.String(), "jobs": pl.Int64(), "cpu_core_seconds": pl.Int64(), "gpu_seconds": pl.Int64(),
    "mem_mib_seconds": pl.Int64(), "extra_seconds": pl.Int64(), "cpu_micro": pl.Int64(), "gpu_micro": pl.Int64(), "mem_micro": pl.Int64(),
    "extra_micro": pl.Int64(), "rounding_micro": pl.Int64(), "cost_micro": pl.Int64(),
}
RECEIPT_JOBS_SCHEMA: dict[str, pl.DataType] = {
    "kind": pl.String(), "run_key": pl.String(), "job_id": pl.String(), "job_name": pl.String(), "account_name": pl.String(),
    "user_name": pl.String(), "partition_name": pl.String(), "end_at": UTC_TIME, "month": pl.Date(), "card_line": pl.String(),
    "rate_card": pl.String(), "cpu_core_seconds": pl.Int64(), "gpu_seconds": pl.Int64(), "mem_mib_seconds": pl.Int64(),
    "extra_seconds": pl.Int64(), "cpu_micro": pl.Int64(), "gpu_micro": pl.Int64(), "mem_micro": pl.Int64(), "extra_micro": pl.Int64(),
    "rounding_micro": pl.Int64(), "commitment_micro": pl.Int64(), "cost_micro": pl.Int64(),
}

_BILLING = """case when not ended then case when start_at is null then 'pending' else 'running' end
  when billed_micro is null then 'unbilled' when billed_micro = cost_micro then 'billed' else 'corrected' end"""
_OWED = "cost_micro - coalesce(billed_micro, 0)"
_UNBILLED_RUN = "ended and (billed_micro is null or billed_micro <> cost_micro)"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose usage: what `payer` pays for, or what the Slurm `accounts` used; both None means everybody's."""

    payer: str | None = None
    accounts: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Filters:
    """Which runs: ended in [start, end) (with `unended` also those that have not ended), narrowed as given.

    Empty tuples and text narrow nothing; `text` is a job id's beginning or a part of its name."""

    start: datetime
    end: datetime
    unended: bool = False
    accounts: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over runs: how many, how many of them ended, quantities, and money in micro-units of `currencies`."""

    jobs: int
    ended: int
    cpu_core_seconds: int
    gpu_seconds: int
    mem_mib_seconds: int
    cost_micro: int
    unbilled_micro: int
    currencies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NowRunning:
    """What has not ended: how many run and wait, and the cores and GPUs in use."""

    running: int
    waiting: int
    cores: int
    gpus: int


class UsageReadsShelf(Shelf):
    """Reads for pages and downloads."""

    def runs(self, scope: Scope, filters: Filters, limit: int | None = None, offset: int = 0) -> pl.DataFrame:
        """Runs, the latest end first, those that have not ended on top (RUNS_SCHEMA)."""
        where, values = _where(scope, filters)
        columns = ", ".join(f"{_BILLING} as billing" if name == "billing" else name for name in RUNS_SCHEMA)
        paging = "" if limit is None else " limit :limit offset :offset"
        return frame(self.connection, f"select {columns} from usage_record where {where}"
                     f" order by end_at desc nulls first, run_key desc{paging}", RUNS_SCHEMA,
                     **values, **({} if limit is None else {"limit": limit, "offset": offset}))

    def totals(self, scope: Scope, filters: Filters) -> Totals:
        """Their sums."""
        where, values = _where(scope, filters)
        sums = ", ".join(f"cast(coalesce(sum({name}), 0) as bigint) as {name}" for name in (
            "cpu_core_seconds", "gpu_seconds", "mem_mib_seconds", "cost_micro"))
        row = self.one(
            f"select count(*) as jobs, count(*) filter (where ended) as ended, {sums},"
            f" cast(coalesce(sum({_OWED}) filter (where {_UNBILLED_RUN}), 0) as bigint) as unbilled_micro,"
            f" coalesce(array_agg(distinct trim(currency)), array[]::text[]) as currencies from usage_record where {where}",
            **values)
        assert row is not None
        return Totals(row.jobs, row.ended, row.cpu_core_seconds, row.gpu_seconds, row.mem_mib_seconds, row.cost_micro,
                      row.unbilled_micro, tuple(row.currencies))

    def spans(self, scope: Scope, filters: Filters, zone: str, unit: str = "day") -> pl.DataFrame:
        """Cost of ended runs by the day or month they ended in, oldest first (SPAN_SCHEMA); empty ones are left out."""
        where, values = _where(scope, filters)
        sums = ", ".join(f"cast(sum({name}) as bigint)" for name in list(SPAN_SCHEMA)[2:])
        return frame(self.connection, f"select cast(date_trunc(:unit, end_at at time zone :zone) as date), count(*), {sums}"
                     f" from usage_record where ended and {where} group by 1 order by 1", SPAN_SCHEMA,
                     unit=unit, zone=zone, **values)

    def unbilled_micro(self, scope: Scope) -> tuple[int, int]:
        """(jobs, micro-units) that are on no receipt yet, or not at their present price."""
        where, values = _whose(scope)
        row = self.one(f"select count(*) as jobs, cast(coalesce(sum({_OWED}), 0) as bigint) as micro"
                       f" from usage_record where {_UNBILLED_RUN} and {where}", **values)
        assert row is not None
        return row.jobs, row.micro

    def unended(self, scope: Scope) -> NowRunning:
        """What runs and waits."""
        where, values = _whose(scope)
        row = self.one(
            "select count(*) filter (where start_at is not null) as running, count(*) filter (where start_at is null) as waiting,"
            " cast(coalesce(sum(alloc_cpus), 0) as bigint) as cores, cast(coalesce(sum(alloc_gpus), 0) as bigint) as gpus"
            f" from usage_record where not ended and {where}", **values)
        assert row is not None
        return NowRunning(row.running, row.waiting, row.cores, row.gpus)

    def choices(self, scope: Scope) -> tuple[list[str], list[str], list[str]]:
        """The accounts, partitions and states there are to filter by."""
        where, values = _whose(scope)
        row = self.one(
            "select coalesce(array_agg(distinct account_name), array[]::text[]) as accounts,"
            " coalesce(array_agg(distinct partition_name), array[]::text[]) as partitions,"
            f" coalesce(array_agg(distinct state), array[]::text[]) as states from usage_record where {where}", **values)
        assert row is not None
        return sorted(row.accounts), sorted(row.partitions), sorted(row.states)

    def tier_of(self, payer: str) -> str | None:
        """The payer's tier; None for somebody who was never met."""
        row = self.one("select tier from payer where name = :name", name=payer)
        return row.tier if row else None

    def complete_to(self) -> datetime | None:
        """Up to when usage is complete: the least of the clusters that are being read; old files count only when alone."""
        row = self.one("select coalesce(min(complete_to) filter (where source <> 'file'), min(complete_to)) as at"
                       " from ingest_watermark")
        at: datetime | None = row.at if row else None
        return at

    def failing_source(self) -> str:
        """The source whose last run was refused; empty when the last one was taken."""
        row = self.one("select source, state from ingest_run where state in ('taken', 'refused') and source <> 'file'"
                       " order by id desc limit 1")
        return str(row.source) if row and row.state == "refused" else ""

    def receipt_span(self, receipt_id: str) -> tuple[datetime | None, datetime | None]:
        """The first and the last end of the jobs a receipt bills; corrections of older jobs do not count."""
        row = self.one("select min(u.end_at) as first, max(u.end_at) as last from receipt_line l"
                       " join usage_record u on u.id = l.usage_id where l.receipt_id = :id and l.kind = 'usage'", id=receipt_id)
        assert row is not None
        return row.first, row.last

    def receipt_by_meter(self, receipt_id: str) -> pl.DataFrame:
        """A receipt's lines summed by kind and card (RECEIPT_METERS_SCHEMA)."""
        sums = ", ".join(f"cast(sum({name}) as bigint)" for name in list(RECEIPT_METERS_SCHEMA)[3:])
        return frame(self.connection, f"select kind, rate_card, count(*), {sums} from receipt_line where receipt_id = :id"
                     " group by 1, 2 order by kind desc, rate_card", RECEIPT_METERS_SCHEMA, id=receipt_id)

    def receipt_jobs(self, receipt_id: str) -> pl.DataFrame:
        """A receipt's lines with the job or the month each is for, adjustments first, then minimums of months, then the latest
        end (RECEIPT_JOBS_SCHEMA)."""
        of_job = ("job_id", "job_name", "account_name", "user_name", "partition_name", "end_at")
        columns = ", ".join(("u." if name in of_job else "l.") + name for name in RECEIPT_JOBS_SCHEMA)
        return frame(self.connection, f"select {columns} from receipt_line l left join usage_record u on u.id = l.usage_id"
                     " where l.receipt_id = :id order by l.kind, l.month, u.end_at desc, l.run_key", RECEIPT_JOBS_SCHEMA, id=receipt_id)


def _whose(scope: Scope) -> tuple[str, dict[str, Any]]:
    if scope.payer is not None:
        return "payer = :payer", {"payer": scope.payer}
    if scope.accounts is not None:
        return "account_name = any(:projects)", {"projects": list(scope.accounts)}
    return "true", {}


def _where(scope: Scope, filters: Filters) -> tuple[str, dict[str, Any]]:
    """The condition and its values; every word of a person's is a value, never SQL."""
    whose, values = _whose(scope)
    when = "(ended and end_at >= :start and end_at < :end" + (" or not ended)" if filters.unended else ")")
    parts = [whose, when]
    values |= {"start": filters.start, "end": filters.end}
    for column, chosen in (("account_name", filters.accounts), ("partition_name", filters.partitions), ("state", filters.states)):
        if chosen:
            parts.append(f"{column} = any(:{column})")
            values[column] = list(chosen)
    if filters.text.strip():
        parts.append(r"(job_id like :begins escape '\' or job_name ilike :holds escape '\')")
        pattern = "".join(f"\\{letter}" if letter in r"\%_" else letter for letter in filters.text.strip())
        values |= {"begins": f"{pattern}%", "holds": f"%{pattern}%"}
    return " and ".join(parts), values
