"""The outbox's table: jobs queued with the decision they belong to, claimed under a lease by whichever worker is free.

A claim is fenced by its own lease: a worker that slept past it finds that the job is no longer its own.
"""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf
from engine.outbox import Job, JobState, judge

CHANNEL = "corehours_outbox"    # notified at every commit that queued a job
LEASE_SECONDS = 120             # longer than any handler may take over one job
_COLUMNS = ", ".join(Job.__slots__)
_CLAIM = f"""
update outbox set state = 'working', attempts = attempts + 1,
  leased_until = clock_timestamp() + make_interval(secs => {LEASE_SECONDS})
where id = (select id from outbox where ((state = 'queued' and due_at <= clock_timestamp())
              or (state = 'working' and leased_until <= clock_timestamp())) and kind = any(:kinds)
            order by due_at, id limit 1 for update skip locked)
returning {_COLUMNS}
"""  # noqa: S608  built from constants


class OutboxShelf(Shelf):
    """Rows of outbox."""

    def __init__(self, connection: sa.Connection, actor: str) -> None:
        super().__init__(connection)
        self.actor = actor

    def add(self, kind: str, key: str, payload: Mapping[str, object]) -> bool:
        """Queue a job, to be done once this transaction is committed; False when it was queued before."""
        return self.execute("insert into outbox (kind, key, payload, created_by) values (:kind, :key, cast(:payload as jsonb), :actor)"
                            " on conflict do nothing", kind=kind, key=key, payload=json.dumps(dict(payload)), actor=self.actor) == 1

    def add_many(self, jobs: Sequence[tuple[str, str, Mapping[str, object]]]) -> None:
        """The same for many: kind, key and payload of each."""
        if not jobs:
            return
        self.execute("insert into outbox (kind, key, payload, created_by) select kind, key, cast(payload as jsonb), :actor"
                     " from unnest(cast(:kinds as text[]), cast(:keys as text[]), cast(:payloads as text[])) j(kind, key, payload)"
                     " on conflict do nothing", actor=self.actor, kinds=[kind for kind, _, _ in jobs], keys=[key for _, key, _ in jobs],
                     payloads=[json.dumps(dict(payload)) for _, _, payload in jobs])

    def claim(self, kinds: Collection[str]) -> Job | None:
        """The job of `kinds` that is due longest, ours for LEASE_SECONDS; None when there is none. Counts as an attempt."""
        return _job(self.one(_CLAIM, kinds=list(kinds)))

    def hold(self, job: Job) -> bool:
        """Lock a claimed job for the rest of the transaction; False when the claim is not ours any more."""
        return self.one("select 1 from outbox where id = :id and state = 'working' and leased_until = :lease for update",
                        id=job.id, lease=job.leased_until) is not None

    def done(self, job: Job, outcome: str) -> bool:
        """Mark a job that was done; False when the claim is not ours any more."""
        return self.execute("update outbox set state = 'done', done_at = clock_timestamp(), leased_until = null, outcome = :outcome"
                            " where id = :id and state = 'working' and leased_until = :lease",
                            id=job.id, lease=job.leased_until, outcome=outcome) == 1

    def failed(self, job: Job, error: Exception, outcome: str) -> bool:
        """An attempt failed with `error`: again after a pause, or left for a person (True)."""
        verdict = judge(error, job.attempts, random.random())  # noqa: S311
        self.execute("update outbox set state = :state, leased_until = null, outcome = :outcome,"
                     " due_at = clock_timestamp() + make_interval(secs => :pause)"
                     " where id = :id and state = 'working' and leased_until = :lease",
                     id=job.id, lease=job.leased_until, outcome=outcome, pause=verdict.pause_seconds,
                     state=str(JobState.DEAD if verdict.dead else JobState.QUEUED))
        return verdict.dead

    def replay(self, id: int) -> bool:
        """Have a dead or waiting job tried now, its attempts forgotten; False when there is none, or it is done or in hand."""
        found = self.execute("update outbox set state = 'queued', attempts = 0, due_at = clock_timestamp()"
                             " where id = :id and state in ('dead', 'queued')", id=id) == 1
        if found:
            self.one("select pg_notify(:channel, '')", channel=CHANNEL)
        return found

    def replay_of(self, kind: str, key: str) -> bool:
        """The same for the job of that kind and key."""
        row = self.one("select id from outbox where kind = :kind and key = :key", kind=kind, key=key)
        return row is not None and self.replay(row.id)

    def revive(self, kind: str, key: str, payload: Mapping[str, object]) -> None:
        """Have the work of a job that is dead, done or gone done again: a dead one is tried anew, else one more is queued."""
        rows = self.rows("select id, state from outbox where kind = :kind and key ^@ :key order by id desc",
                         kind=kind, key=key)
        dead = next((row.id for row in rows if row.state == "dead"), None)
        if dead is None:
            self.add(kind, f"{key}:{len(rows)}" if rows else key, payload)
        else:
            self.replay(dead)

    def get(self, id: int) -> Job | None:
        """The job with that number."""
        return _job(self.one(f"select {_COLUMNS} from outbox where id = :id", id=id))  # noqa: S608

    def newest(self, most: int = 100, state: str | None = None) -> list[Job]:
        """The newest jobs, of one state when it is named."""
        rows = self.rows(f"select {_COLUMNS} from outbox where cast(:state as text) is null or state = :state"  # noqa: S608
                         " order by id desc limit :most", most=most, state=state)
        return [job for row in rows if (job := _job(row))]


def _job(row: sa.Row[Any] | None) -> Job | None:
    if row is None:
        return None
    values = {name: getattr(row, name) for name in Job.__slots__}
    return Job(**values | {"state": JobState(row.state)})
