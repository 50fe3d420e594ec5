"""What finance reads of money in and out: the inbox, the outbox, refunds and disputes, counted by state, searched, a page at a
time. Read-only; decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from data.postgres.frames import frame
from data.postgres.shelves.shelf import Shelf

UTC_TIME = pl.Datetime("us", "UTC")
INBOX_SCHEMA: dict[str, pl.DataType] = {
    "id": pl.Int64(), "received_at": UTC_TIME, "provider": pl.String(), "kind": pl.String(), "event_key": pl.String(),
    "state": pl.String(), "attempts": pl.Int64(), "outcome": pl.String(), "processed_at": UTC_TIME,
}
OUTBOX_SCHEMA: dict[str, pl.DataType] = {
    "id": pl.Int64(), "created_at": UTC_TIME, "kind": pl.String(), "key": pl.String(), "state": pl.String(), "attempts": pl.Int64(),
    "due_at": UTC_TIME, "created_by": pl.String(), "outcome": pl.String(), "done_at": UTC_TIME,
}
REFUND_SCHEMA: dict[str, pl.DataType] = {
    "id": pl.String(), "requested_at": UTC_TIME, "reference": pl.String(), "receipt": pl.String(), "wallet": pl.String(),
    "provider": pl.String(), "provider_ref": pl.String(), "origin": pl.String(), "reason": pl.String(), "why": pl.String(),
    "requested_by": pl.String(), "settled_at": UTC_TIME, "amount_micro": pl.Int64(), "currency": pl.String(), "state": pl.String(),
}
DISPUTE_SCHEMA: dict[str, pl.DataType] = {
    "id": pl.String(), "opened_at": UTC_TIME, "reference": pl.String(), "receipt": pl.String(), "wallet": pl.String(),
    "provider": pl.String(), "provider_ref": pl.String(), "reason": pl.String(), "withdrawn_at": UTC_TIME, "reinstated_at": UTC_TIME,
    "closed_at": UTC_TIME, "amount_micro": pl.Int64(), "currency": pl.String(), "state": pl.String(),
}
_LISTS = {
    "inbox": ("id, received_at, provider, kind, event_key, state, attempts, outcome, processed_at", "webhook_inbox", INBOX_SCHEMA,
              "provider || ' ' || kind || ' ' || event_key || ' ' || outcome", "id"),
    "outbox": ("id, created_at, kind, key, state, attempts, due_at, created_by, outcome, done_at", "outbox", OUTBOX_SCHEMA,
               "kind || ' ' || key || ' ' || outcome || ' ' || created_by", "id"),
    "refunds": ("id, requested_at, reference, receipt, wallet, provider, provider_ref, origin, reason, why, requested_by, settled_at,"
                " amount_micro, currency, state",
                "(select r.*, r.status as state, p.reference, coalesce(c.number, '') as receipt, p.wallet from refund r"
                " join payment p on p.id = r.payment_id left join receipt c on c.id = p.receipt_id) r", REFUND_SCHEMA,
                "id || ' ' || reference || ' ' || receipt || ' ' || wallet || ' ' || coalesce(provider_ref, '') || ' ' || reason",
                "requested_at"),
    "disputes": ("id, opened_at, reference, receipt, wallet, provider, provider_ref, reason, withdrawn_at, reinstated_at, closed_at,"
                 " amount_micro, currency, state",
                 "(select d.*, d.status as state, p.reference, coalesce(c.number, '') as receipt, p.wallet from dispute d"
                 " join payment p on p.id = d.payment_id left join receipt c on c.id = p.receipt_id) d", DISPUTE_SCHEMA,
                 "id || ' ' || reference || ' ' || receipt || ' ' || wallet || ' ' || provider_ref || ' ' || reason", "opened_at"),
}


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of a list: how many rows are in each state, how many match, and the rows (the list's schema), newest first."""

    states: dict[str, int]
    matching: int
    rows: pl.DataFrame


class MoneyReadsShelf(Shelf):
    """Lists for people who look after the money."""

    def listed(self, what: str, state: str | None = None, text: str = "", limit: int = 50, offset: int = 0) -> Listed:
        """A page of `inbox`, `outbox`, `refunds` or `disputes`; of one state, with `text` in it, when asked."""
        columns, source, schema, searched, order = _LISTS[what]
        where = (f"(cast(:state as text) is null or state = :state) and (:text = '' or position(lower(:text) in lower({searched})) > 0)")
        rows = frame(self.connection, f"select {columns} from {source} where {where} order by {order} desc, id desc"  # noqa: S608
                     " limit :limit offset :offset", schema, state=state, text=text, limit=limit, offset=offset)
        counted = self.one(f"select count(*) as rows from {source} where {where}", state=state, text=text)  # noqa: S608
        states = self.rows(f"select state, count(*) as rows from {source} group by 1")  # noqa: S608
        assert counted is not None
        return Listed({row.state: row.rows for row in states}, counted.rows, rows)

    def oldest_seconds(self, what: str) -> float:
        """How long the oldest row of the inbox or outbox has waited that is not done."""
        since, table, waiting = {"inbox": ("received_at", "webhook_inbox", "('received', 'processing')"),
                                 "outbox": ("created_at", "outbox", "('queued', 'working')")}[what]
        row = self.one(f"select max(extract(epoch from clock_timestamp() - {since})) as age from {table}"  # noqa: S608
                       f" where state in {waiting}")
        return float(row.age) if row and row.age is not None else 0.0

    def under_way(self) -> list[tuple[str, int, int]]:
        """(currency, refunds, micro-units) of what is on its way back."""
        return [(row.currency, row.refunds, int(row.micro)) for row in self.rows(
            "select currency, count(*) as refunds, sum(amount_micro) as micro from refund where status in ('requested', 'submitted')"
            " group by 1 order by 1")]

    def disputed(self) -> list[tuple[str, int, int]]:
        """(currency, disputes, micro-units) of what is in dispute."""
        return [(row.currency, row.disputes, int(row.micro)) for row in self.rows(
            "select currency, count(*) as disputes, sum(amount_micro) as micro from dispute where status = 'open' group by 1 order by 1")]
