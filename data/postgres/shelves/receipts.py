"""Receipts, their lines and their history. Runs are locked in ascending run key, the number series after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from data.postgres.bulk import copy_in
from data.postgres.frames import frame
from data.postgres.shelves.shelf import Shelf
from engine.receipts import AMOUNTS, LINE_SCHEMA, MONTH_SCHEMA, OPEN_SCHEMA, Receipt, ReceiptStatus

_BILLED = ", ".join(f"cast(sum({name}) as bigint) as billed_{name}" for name in AMOUNTS)
_OPEN = f"""
with runs as (
  select id, revision, run_key, currency, tier, rate_card, policy, {", ".join(AMOUNTS)} from usage_record
  where payer = :payer and end_at < :before and ended and (billed_micro is null or billed_micro <> cost_micro)
  order by run_key {{lock}}
)
select runs.*, {", ".join(f"billed_{name}" for name in AMOUNTS)}, coalesce(has_usage_line, false) from runs
left join lateral (
  select {_BILLED}, bool_or(kind = 'usage') as has_usage_line from receipt_line where usage_id = runs.id and live
) billed on true
order by run_key
"""  # noqa: S608  built from constants
_LINES = f"""
select u.job_id, l.live, {", ".join(f"r.{name}" if name in ("currency", "tier") else f"l.{name}::text" if name == "shares" else
                                    f"l.{name}" for name in LINE_SCHEMA)}
from receipt_line l join receipt r on r.id = l.receipt_id left join usage_record u on u.id = l.usage_id
where l.receipt_id = :id order by l.run_key nulls first, l.id
"""  # noqa: S608  built from constants
_LINE_SCHEMA: dict[str, pl.DataType] = {"job_id": pl.String(), "live": pl.Boolean(), **LINE_SCHEMA}
_OF_RUNS = ("usage_id", "revision", "kind", "run_key", "rate_card", "policy", *AMOUNTS)
_OF_MONTHS = (*_OF_RUNS, "commitment_micro", *MONTH_SCHEMA)
_VALUES = ", ".join("cast(:shares as jsonb)" if name == "shares" else f":{name}" for name in _OF_MONTHS)
_ADD_MONTH = f"insert into receipt_line (receipt_id, payer, {', '.join(_OF_MONTHS)}) values (:id, :payer, {_VALUES})"  # noqa: S608


@dataclass(frozen=True, slots=True)
class ReceiptEvent:
    """One step in a receipt's life."""

    at: datetime
    from_status: str | None
    to_status: str
    actor: str
    reason: str


class ReceiptShelf(Shelf):
    """Receipts by id, number or payer."""

    def open_runs(self, payer: str, before: datetime, lock: bool = False) -> pl.DataFrame:
        """Ended runs of `payer` that ended before `before` and are not, or no longer rightly, billed (OPEN_SCHEMA)."""
        return frame(self.connection, _OPEN.format(lock="for update" if lock else ""), OPEN_SCHEMA, payer=payer, before=before)

    def payers_with_open_runs(self, before: datetime) -> list[str]:
        """Who has something to bill."""
        return [row.payer for row in self.rows(
            "select distinct payer from usage_record where ended and end_at < :before"
            " and (billed_micro is null or billed_micro <> cost_micro) order by payer", before=before)]

    def next_sequence(self, series: str, year: int) -> int:
        """The next number of the series, gap-free: a rolled-back transaction gives it back."""
        row = self.one("insert into document_series (series, year, last) values (:series, :year, 1)"
                       " on conflict (series, year) do update set last = document_series.last + 1 returning last",
                       series=series, year=year)
        assert row is not None
        return int(row.last)

    def add(self, receipt: Receipt, series: str, year: int, sequence: int, lines: pl.DataFrame) -> None:
        """Write a receipt with its lines and mark its runs billed."""
        self.execute(
            "insert into receipt (id, series, year, sequence, number, payer, tier, currency, status, ended_before, lines,"
            " subtotal_micro, tax_name, tax_ppm, tax_micro, rounding_micro, total_micro, issued_at, issued_by, due_at, tax_included)"
            " values (:id, :series, :year, :sequence, :number, :payer, :tier, :currency, 'pending', :ended_before, :lines,"
            " :subtotal_micro, :tax_name, :tax_ppm, :tax_micro, :rounding_micro, :total_micro, :issued_at, :issued_by, :due_at,"
            " :tax_included)",
            series=series, year=year, sequence=sequence,
            **{name: getattr(receipt, name) for name in Receipt.__slots__ if name not in ("status", "paid_at")})
        runs, months = lines.filter(pl.col("month").is_null()), lines.filter(pl.col("month").is_not_null())
        copy_in(self.connection, "receipt_line", runs.select(pl.lit(receipt.id).alias("receipt_id"), *_OF_RUNS))
        self.execute_many(_ADD_MONTH, [row | {"id": receipt.id, "payer": receipt.payer} for row in months.select(*_OF_MONTHS).to_dicts()])
        self.execute("update usage_record u set billed_micro = coalesce(u.billed_micro, 0) + l.cost_micro"
                     " from receipt_line l where l.receipt_id = :id and u.id = l.usage_id", id=receipt.id)
        self._log(receipt.id, None, ReceiptStatus.PENDING, receipt.issued_by, "", receipt.issued_at)

    def move(self, receipt: Receipt, to: ReceiptStatus, actor: str, reason: str, at: datetime) -> None:
        """Change its status and remember who did it and why; a void frees its runs."""
        paid_at = (receipt.paid_at or at) if to in (ReceiptStatus.PAID, ReceiptStatus.REFUNDED) else None
        self.execute("update receipt set status = :to, paid_at = :paid_at where id = :id", to=str(to), paid_at=paid_at, id=receipt.id)
        if to is ReceiptStatus.VOID:
            self._free_runs(receipt.id)
        self._log(receipt.id, receipt.status, to, actor, reason, at)

    def free(self, ids: Sequence[str]) -> dict[str, Receipt]:
        """Receipts by id that nobody else has in hand, locked. Waits for nobody."""
        rows = self.rows("select * from receipt where id = any(:ids) order by id for update skip locked", ids=list(ids))
        return {row.id: _receipt(row) for row in rows}

    def pay_many(self, paid: Sequence[tuple[Receipt, str]], actor: str, at: datetime) -> None:
        """Pending receipts are paid, each for its own reason."""
        ids, reasons = [receipt.id for receipt, _ in paid], [reason for _, reason in paid]
        self.execute("update receipt set status = 'paid', paid_at = :at where id = any(:ids)", ids=ids, at=at)
        self.execute("insert into receipt_event (receipt_id, from_status, to_status, at, actor, reason)"
                     " select id, 'pending', 'paid', :at, :actor, reason"
                     " from unnest(cast(:ids as text[]), cast(:reasons as text[])) p(id, reason)",
                     ids=ids, reasons=reasons, at=at, actor=actor)

    def _free_runs(self, receipt_id: str) -> None:
        self.rows("select 1 from usage_record where id in (select usage_id from receipt_line where receipt_id = :id)"
                  " order by run_key for update", id=receipt_id)
        self.execute("update receipt_line set live = false where receipt_id = :id", id=receipt_id)
        self.execute(
            "update usage_record u set billed_micro ="
            " (select cast(sum(cost_micro) as bigint) from receipt_line where usage_id = u.id and live)"
            " where id in (select usage_id from receipt_line where receipt_id = :id)", id=receipt_id)

    def _log(self, receipt_id: str, was: ReceiptStatus | None, to: ReceiptStatus, actor: str, reason: str, at: datetime) -> None:
        self.execute("insert into receipt_event (receipt_id, from_status, to_status, at, actor, reason)"
                     " values (:id, :was, :to, :at, :actor, :reason)",
                     id=receipt_id, was=None if was is None else str(was), to=str(to), at=at, actor=actor, reason=reason)

    def get(self, name: str, lock: bool = False) -> Receipt | None:
        """A receipt by its id or its number."""
        row = self.one(f"select * from receipt where id = :name or number = :name {'for update' if lock else ''}", name=name)  # noqa: S608
        return _receipt(row) if row else None

    def all(self, payers: Sequence[str] | None = None, statuses: Sequence[str] | None = None) -> list[Receipt]:
        """Receipts, newest first; of some payers or in some states only when asked."""
        rows = self.rows(
            "select * from receipt where (cast(:payers as text[]) is null or payer = any(:payers))"
            " and (cast(:statuses as text[]) is null or status = any(:statuses)) order by issued_at desc, number desc",
            payers=None if payers is None else list(payers), statuses=None if statuses is None else list(statuses))
        return [_receipt(row) for row in rows]

    def lines(self, receipt_id: str) -> pl.DataFrame:
        """Its lines (LINE_SCHEMA): those of months, then one a run by run key with the job's id as people write it."""
        return frame(self.connection, _LINES, _LINE_SCHEMA, id=receipt_id)

    def events(self, receipt_id: str) -> list[ReceiptEvent]:
        """Its history, oldest first."""
        return [ReceiptEvent(row.at, row.from_status, row.to_status, row.actor, row.reason) for row in self.rows(
            "select at, from_status, to_status, actor, reason from receipt_event where receipt_id = :id order by id", id=receipt_id)]


def _receipt(row: sa.Row[Any]) -> Receipt:
    values = {name: getattr(row, name) for name in Receipt.__slots__}
    return Receipt(**values | {"status": ReceiptStatus(row.status)})
