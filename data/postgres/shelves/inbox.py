"""The webhook inbox: events as they came, each kept once, claimed under a lease by whichever worker is free.

A claim is fenced by its own lease: a worker that slept past it finds that the row is no longer its own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf

CHANNEL = "corehours_inbox"      # notified at every commit that stored an event, or asked for one to be applied again
ATTEMPTS = 8                    # failed attempts after which an event is left for a person
LEASE_SECONDS = 60
SLOWEST_SECONDS = 60.0          # longest pause between attempts
_COLUMNS = ("id, provider, livemode, event_key, kind, body, received_at, state, attempts, due_at, leased_until,"
            " processed_at, outcome")
_CLAIM = f"""
update webhook_inbox set state = 'processing', attempts = attempts + 1,
  leased_until = clock_timestamp() + make_interval(secs => {LEASE_SECONDS})
where id = (select id from webhook_inbox where (state = 'received' and due_at <= clock_timestamp())
              or (state = 'processing' and leased_until <= clock_timestamp())
            order by due_at, id limit 1 for update skip locked)
returning {_COLUMNS}
"""  # noqa: S608  built from constants


@dataclass(frozen=True, slots=True)
class InboxRow:
    """One event; `body` is what came, byte for byte, and `outcome` what became of it in plain words."""

    id: int
    provider: str
    livemode: bool
    event_key: str
    kind: str
    body: bytes
    received_at: datetime
    state: str
    attempts: int
    due_at: datetime
    leased_until: datetime | None
    processed_at: datetime | None
    outcome: str


class InboxShelf(Shelf):
    """Rows of webhook_inbox."""

    def store(self, provider: str, livemode: bool, event_key: str, kind: str, body: bytes) -> bool:
        """Keep an event; False when it was kept before."""
        return self.execute(
            "insert into webhook_inbox (provider, livemode, event_key, kind, body)"
            " values (:provider, :livemode, :key, :kind, :body) on conflict do nothing",
            provider=provider, livemode=livemode, key=event_key, kind=kind, body=body) == 1

    def claim(self) -> InboxRow | None:
        """The oldest event that is due, ours for LEASE_SECONDS; None when there is none. Counts as an attempt."""
        return _row(self.one(_CLAIM))

    def hold(self, row: InboxRow) -> bool:
        """Lock a claimed event for the rest of the transaction; False when the claim is not ours any more."""
        return self.one("select 1 from webhook_inbox where id = :id and state = 'processing' and leased_until = :lease"
                        " for update", id=row.id, lease=row.leased_until) is not None

    def processed(self, row: InboxRow, outcome: str) -> None:
        """Mark an event that was applied."""
        self.execute("update webhook_inbox set state = 'processed', processed_at = transaction_timestamp(), leased_until = null,"
                     " outcome = :outcome where id = :id", id=row.id, outcome=outcome)

    def wait(self, row: InboxRow, outcome: str) -> None:
        """Ask again in 0.5 to 5 s; waiting is no failure and is not counted as one."""
        self.execute("update webhook_inbox set state = 'received', attempts = 0, leased_until = null, outcome = :outcome,"
                     " due_at = clock_timestamp() + make_interval(secs => :seconds) where id = :id",
                     id=row.id, outcome=outcome, seconds=random.uniform(0.5, 5))  # noqa: S311

    def failed(self, row: InboxRow, outcome: str) -> bool:
        """An attempt failed: again after a pause with full jitter, or, after ATTEMPTS of them, left alone (True)."""
        over = row.attempts >= ATTEMPTS
        pause = random.uniform(0, min(SLOWEST_SECONDS, 2.0**row.attempts))  # noqa: S311
        self.execute("update webhook_inbox set state = :state, leased_until = null, outcome = :outcome,"
                     " due_at = clock_timestamp() + make_interval(secs => :pause) where id = :id and leased_until = :lease",
                     id=row.id, lease=row.leased_until, state="failed" if over else "received", outcome=outcome, pause=pause)
        return over

    def replay(self, id: int) -> bool:
        """Apply an event again, now; False when there is none, or a worker has it in hand."""
        found = self.execute("update webhook_inbox set state = 'received', attempts = 0, due_at = clock_timestamp(),"
                             " leased_until = null where id = :id"
                             " and (state <> 'processing' or leased_until <= clock_timestamp())", id=id) == 1
        if found:
            self.one("select pg_notify(:channel, '')", channel=CHANNEL)
        return found

    def keep_orphan(self, row: InboxRow, money: str) -> None:
        """Remember that an event speaks of money that has not come."""
        self.execute("insert into inbox_orphan (inbox_id, provider, livemode, money) values (:id, :provider, :livemode, :money)"
                     " on conflict do nothing", id=row.id, provider=row.provider, livemode=row.livemode, money=money)

    def wake_orphans(self, provider: str, livemode: bool, money: str) -> int:
        """The money came: have the events that spoke of it applied again; how many."""
        return self.execute(
            "with woken as (delete from inbox_orphan where provider = :provider and livemode = :livemode and money = :money"
            " returning inbox_id) update webhook_inbox set state = 'received', attempts = 0, due_at = clock_timestamp()"
            " where id in (select inbox_id from woken) and state = 'processed'", provider=provider, livemode=livemode, money=money)

    def get(self, id: int) -> InboxRow | None:
        """The event with that number."""
        return _row(self.one(f"select {_COLUMNS} from webhook_inbox where id = :id", id=id))  # noqa: S608

    def newest(self, most: int = 100, state: str | None = None) -> list[InboxRow]:
        """The newest events, of one state when it is named."""
        rows = self.rows(f"select {_COLUMNS} from webhook_inbox where cast(:state as text) is null or state = :state"  # noqa: S608
                         " order by id desc limit :most", most=most, state=state)
        return [event for row in rows if (event := _row(row))]


def _row(row: sa.Row[Any] | None) -> InboxRow | None:
    if row is None:
        return None
    values = {name: getattr(row, name) for name in InboxRow.__slots__}
    return InboxRow(**values | {"body": bytes(row.body)})
