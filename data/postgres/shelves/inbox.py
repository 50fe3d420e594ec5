"""The webhook inbox: events as they came, each kept once, claimed under a lease by whichever worker is free.

A claim is fenced by its own lease: a worker that slept past it finds that the row is no longer its own.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf
from engine.payments import MoneyName

CHANNEL = "corehours_inbox"      # notified at every commit that stored an event, or asked for one to be applied again
ATTEMPTS = 8                    # failed attempts after which an event is left for a person
TOGETHER = 3                    # attempts beside others, where nothing is known but that a worker died; then it is tried alone
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
_CLAIM_NEW = f"""
update webhook_inbox set state = 'processing', attempts = attempts + 1,
  leased_until = statement_timestamp() + make_interval(secs => {LEASE_SECONDS})
where id in (select id from webhook_inbox where provider = any(:providers) and (
               (state = 'received' and due_at <= clock_timestamp() and attempts = 0) or
               (state = 'processing' and leased_until <= clock_timestamp() and attempts < {TOGETHER} and outcome = ''))
             order by due_at, id limit :most for update skip locked)
returning {_COLUMNS}
"""  # noqa: S608  built from constants
STORE = """
insert into webhook_inbox (provider, livemode, event_key, kind, body)
select * from unnest(cast(:providers as text[]), cast(:livemodes as boolean[]), cast(:keys as text[]), cast(:kinds as text[]),
                     cast(:bodies as bytea[]))
on conflict do nothing returning provider, livemode, event_key
"""


@dataclass(frozen=True, slots=True, order=True)
class NewEvent:
    """One event to be kept, as it came."""

    provider: str
    livemode: bool
    event_key: str
    kind: str
    body: bytes

    @property
    def name(self) -> tuple[str, bool, str]:
        """What it is known by."""
        return self.provider, self.livemode, self.event_key


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

    @property
    def suits_others(self) -> bool:
        """True while nothing speaks against applying it beside others."""
        return self.attempts == 1 or (self.attempts <= TOGETHER and not self.outcome)


def stored_values(events: Sequence[NewEvent]) -> dict[str, list[Any]]:
    """What STORE is given."""
    rows = sorted(events)
    return {"providers": [row.provider for row in rows], "livemodes": [row.livemode for row in rows],
            "keys": [row.event_key for row in rows], "kinds": [row.kind for row in rows], "bodies": [row.body for row in rows]}


def which_are_new(events: Sequence[NewEvent], answered: Iterable[Sequence[Any]]) -> list[bool]:
    """For each event whether STORE answered it, and it is the first of its name."""
    made = {tuple(row) for row in answered}
    first = {event.name: place for place, event in reversed(list(enumerate(events)))}
    return [event.name in made and first[event.name] == place for place, event in enumerate(events)]


class InboxShelf(Shelf):
    """Rows of webhook_inbox."""

    def store(self, *events: NewEvent) -> list[bool]:
        """Keep events; for each whether it is new, False when it was kept before. Written in the order of their names, so that
        two who store the same ones at once wait for each other and do not lock each other out."""
        return which_are_new(events, self.rows(STORE, **stored_values(events)))

    def claim(self) -> InboxRow | None:
        """The oldest event that is due, ours for LEASE_SECONDS; None when there is none. Counts as an attempt."""
        return _row(self.one(_CLAIM))

    def claim_new(self, providers: Collection[str], most: int) -> list[InboxRow]:
        """Events of `providers` that nobody has touched, or whose worker died, the oldest `most` of those that are due, ours for
        LEASE_SECONDS. Counts as an attempt."""
        rows = self.rows(_CLAIM_NEW, providers=list(providers), most=most)
        return [event for row in sorted(rows, key=lambda row: row.id) if (event := _row(row))]

    def hold_many(self, rows: Sequence[InboxRow]) -> set[int]:
        """Lock claimed events for the rest of the transaction; the ids of those that are still ours."""
        found = self.rows(
            "select i.id from webhook_inbox i join unnest(cast(:ids as bigint[]), cast(:leases as timestamptz[])) c(id, lease)"
            " on i.id = c.id and i.leased_until = c.lease where i.state = 'processing' order by i.id for update of i",
            ids=[row.id for row in rows], leases=[row.leased_until for row in rows])
        return {row.id for row in found}

    def processed_many(self, outcomes: Sequence[tuple[InboxRow, str]]) -> None:
        """Mark events that were applied, each with its outcome."""
        self.execute("update webhook_inbox i set state = 'processed', processed_at = transaction_timestamp(), leased_until = null,"
                     " outcome = o.outcome from unnest(cast(:ids as bigint[]), cast(:outcomes as text[])) o(id, outcome)"
                     " where i.id = o.id", ids=[row.id for row, _ in outcomes], outcomes=[outcome for _, outcome in outcomes])

    def hold(self, row: InboxRow) -> bool:
        """Lock a claimed event for the rest of the transaction; False when the claim is not ours any more."""
        return self.one("select 1 from webhook_inbox where id = :id and state = 'processing' and leased_until = :lease"
                        " for update", id=row.id, lease=row.leased_until) is not None

    def processed(self, row: InboxRow, outcome: str) -> None:
        """Mark an event that was applied."""
        self.execute("update webhook_inbox set state = 'processed', processed_at = transaction_timestamp(), leased_until = null,"
                     " outcome = :outcome where id = :id", id=row.id, outcome=outcome)

    def wait(self, row: InboxRow, outcome: str) -> None:
        """Ask again within 5 s, more rarely what has waited long (a provider that is away is not asked a thousand times a
        minute); waiting is no failure and is not counted as one."""
        self.execute("update webhook_inbox set state = 'received', attempts = 0, leased_until = null, outcome = :outcome,"
                     " due_at = clock_timestamp() + make_interval(secs => :draw"
                     " * greatest(5, least(:slowest, extract(epoch from clock_timestamp() - received_at) / 10))) where id = :id",
                     id=row.id, outcome=outcome, draw=random.uniform(0.1, 1), slowest=SLOWEST_SECONDS)  # noqa: S311

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

    def wake_orphans(self, *moneys: MoneyName) -> int:
        """The money came: have the events that spoke of it applied again; how many."""
        return self.execute(
            "with woken as (delete from inbox_orphan o using"
            " unnest(cast(:providers as text[]), cast(:livemodes as boolean[]), cast(:moneys as text[])) m(provider, livemode, money)"
            " where (o.provider, o.livemode, o.money) = (m.provider, m.livemode, m.money) returning o.inbox_id)"
            " update webhook_inbox set state = 'received', attempts = 0, due_at = clock_timestamp()"
            " where id in (select inbox_id from woken) and state = 'processed'",
            providers=[name.provider for name in moneys], livemodes=[name.livemode for name in moneys],
            moneys=[name.money for name in moneys])

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
