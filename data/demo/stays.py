"""How the demo centre writes what happened on its nodes at times that are past: rows with the instants they would have got.

Decides nothing; what is charged goes through the shelves and not through here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from data.postgres.store import PostgresTransaction
from engine.allocations import Allocation, AllocationState
from engine.nodes import Node, NodeState
from engine.notices import News, NoticeKind, about_allocation
from engine.provisioning import PROVISION, RELEASE, Step

WORKER = "worker"
RECENT = timedelta(days=1)
SETUP_SECONDS, CLEANUP_SECONDS = 41, 12


def add_node(tx: PostgresTransaction, node: Node, since: datetime, state: NodeState) -> Node:
    """A node that was added and opened at `since`; where it stands elsewhere now, it came there a day ago."""
    address = node.address
    _run(tx, "insert into node (id, site, name, host, port, host_key, gpu_model, gpu_count, memory_mib, rate_model, state, reason,"
         " clock_offset_ms, tested_at, created_by, created_at) values (:id, :site, :name, :host, :port, :key, :model, :count, :mib, :rate,"
         " :state, :reason, :offset, :tested, 'admin', :since)", id=node.id, site=node.site, name=address.name, host=address.host,
         port=address.port, key=address.host_key.line, model=node.gpu_model, count=node.gpu_count, mib=node.memory_mib,
         rate=node.rate_model, state=str(state), reason=node.reason, offset=node.clock_offset_ms, tested=node.tested_at, since=since)
    steps = [(None, NodeState.MAINTENANCE, "just added", since), (NodeState.MAINTENANCE, NodeState.AVAILABLE, "it was tested",
                                                                since + timedelta(hours=1))]
    if state is not NodeState.AVAILABLE and node.tested_at:
        steps.append((NodeState.AVAILABLE, state, node.reason, node.tested_at - timedelta(hours=2)))
    for was, to, why, at in steps:
        _run(tx, "insert into node_event (node_id, from_state, to_state, actor, reason, at) values (:id, :was, :to, 'admin', :why, :at)",
             id=node.id, was=was and str(was), to=str(to), why=why, at=at)
    return node


def begin(tx: PostgresTransaction, one: Allocation) -> None:
    """It was asked for, set up, and begins now."""
    assert one.active_at is not None
    names = [name for name in Allocation.__slots__ if name != "holder"]
    _run(tx, f"insert into allocation (request_key, {', '.join(names)}) values (:request_key, {', '.join(':' + name for name in names)})",  # noqa: S608
         request_key=f"demo:{one.id}", **{name: getattr(one, name) for name in names} | {"state": str(one.state)})
    _log(tx, one, [(None, AllocationState.REQUESTED, one.holder, "", one.requested_at),
                   (AllocationState.REQUESTED, AllocationState.PROVISIONING, WORKER, "", one.requested_at + timedelta(seconds=1)),
                   (AllocationState.PROVISIONING, AllocationState.ACTIVE, WORKER, "", one.active_at)])
    _steps(tx, one, PROVISION, one.requested_at + timedelta(seconds=2), SETUP_SECONDS - 3)


def end(tx: PostgresTransaction, one: Allocation, why: str) -> Allocation:
    """It is over where it was charged to, and its node was cleaned."""
    stopped = one.charged_to
    assert stopped is not None
    closed = stopped + timedelta(seconds=CLEANUP_SECONDS)
    by = one.holder if why.startswith("released by") else WORKER
    _run(tx, "update allocation set state = 'stopping', reason = :why, stopped_at = :at where id = :id", id=one.id, why=why, at=stopped)
    _run(tx, "update allocation set state = 'released', closed_at = :at where id = :id", id=one.id, at=closed)
    _log(tx, one, [(AllocationState.ACTIVE, AllocationState.STOPPING, by, why, stopped),
                   (AllocationState.STOPPING, AllocationState.RELEASED, WORKER, why, closed)])
    _steps(tx, one, RELEASE, stopped + timedelta(seconds=1), CLEANUP_SECONDS - 2)
    return replace(one, state=AllocationState.RELEASED, reason=why, stopped_at=stopped, closed_at=closed)


def _log(tx: PostgresTransaction, one: Allocation,
         moves: Sequence[tuple[AllocationState | None, AllocationState, str, str, datetime]]) -> None:
    tx.connection.execute(sa.text("insert into allocation_event (allocation_id, from_state, to_state, actor, reason, at)"
                                  " values (:id, :was, :to, :actor, :why, :at)"),
                          [{"id": one.id, "was": was and str(was), "to": str(to), "actor": actor, "why": why, "at": at}
                           for was, to, actor, why, at in moves])


def _steps(tx: PostgresTransaction, one: Allocation, steps: Sequence[Step], since: datetime, seconds: int) -> None:
    each = timedelta(seconds=seconds) / len(steps)
    tx.connection.execute(sa.text("insert into allocation_step (allocation_id, step, begun_at, done_at)"
                                  " values (:id, :step, :begun, :done)"),
                          [{"id": one.id, "step": str(step), "begun": since + number * each, "done": since + (number + 1) * each}
                           for number, step in enumerate(steps)])


def add_samples(tx: PostgresTransaction, held: Sequence[tuple[Allocation, int, int, int]], today: datetime) -> None:
    """What the GPUs did: (allocation, load in percent, GPUs, MiB of each); every five minutes lately, every half hour before that."""
    _run(tx, """
        insert into node_sample (node_id, at, gpu, utilisation_percent, memory_used_mib, allocation_id)
        select node, at, gpu, load, cast(mib as bigint) * (15 + load * 7 / 10) / 100, id from (
          select h.node, s.at, g.gpu, h.mib, h.id,
                 least(100, greatest(0, h.load + hashtext(h.id || g.gpu || s.at) % 9
                   + case when extract(epoch from s.at)::bigint / 1800 % 7 = 0 then -h.load / 2 else 0 end)) as load
          from unnest(cast(:nodes as text[]), cast(:ids as text[]), cast(:loads as int[]), cast(:gpus as int[]), cast(:mibs as int[]),
                      cast(:since as timestamptz[]), cast(:until as timestamptz[])) h(node, id, load, gpus, mib, since, until)
          cross join lateral generate_series(date_trunc('hour', h.since) + interval '1 hour', h.until,
            case when h.until > :recent then interval '5 minutes' else interval '30 minutes' end) s(at)
          cross join lateral generate_series(0, h.gpus - 1) g(gpu)) drawn on conflict do nothing""",
         recent=today - RECENT, nodes=[one.node_id for one, _, _, _ in held], ids=[one.id for one, _, _, _ in held],
         loads=[load for _, load, _, _ in held], gpus=[gpus for _, _, gpus, _ in held], mibs=[mib for _, _, _, mib in held],
         since=[one.active_at for one, _, _, _ in held], until=[one.stopped_at or today for one, _, _, _ in held])


def add_notices(tx: PostgresTransaction, held: Sequence[tuple[Allocation, str, str]]) -> None:
    """What its holders were told of each: (allocation, name and host of its node). Of what is over they have seen it."""
    told = [row for one, name, host in held for row in _told(one, name, host)]
    tx.connection.execute(sa.text(
        "insert into notice (user_id, kind, subject, facts, created_at, seen_at) values"
        " (:user, :kind, :subject, cast(:facts as jsonb), :at, :seen)"), sorted(told, key=lambda row: str(row["at"])))


def _told(one: Allocation, name: str, host: str) -> list[dict[str, object]]:
    about = about_allocation(one.id)
    found = [(one.active_at, News(one.user_id, NoticeKind.READY, about, {"node": name, "host": host, "port": 22, "tenant": one.tenant})),
             (one.closed_at, News(one.user_id, NoticeKind.RELEASED, about, {"node": name, "charged": str(one.charged)}))]
    return [{"user": news.user_id, "kind": str(news.kind), "subject": news.subject, "facts": json.dumps(dict(news.facts)), "at": at,
             "seen": at + timedelta(minutes=20) if one.closed_at else None} for at, news in found if at is not None]


def _run(tx: PostgresTransaction, sql: str, **values: object) -> None:
    tx.connection.execute(sa.text(sql.replace("::", "\\:\\:")), values)
