"""Allocations with their history, the steps on their nodes, and their charges. Lock order: the node, its allocation, then the
ledger's accounts, the audit head last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from data.postgres.shelves.nodes import Step as Event
from data.postgres.shelves.shelf import Shelf
from engine.allocations import Allocation, AllocationState, Charge
from engine.provisioning import Step, StepState

_SELECT = ("select a.id, node_id, user_id, u.name as holder, wallet, currency, tenant, public_key, rate_card, price_micro_per_hour,"
           " interval_seconds, state, reason, requested_at, until_at, idle_minutes, active_at, stopped_at, closed_at, charged_to,"
           " billed_seconds, charged_micro from allocation a join app_user u on u.id = a.user_id")
_LIVE = "state not in ('released', 'failed')"
_RUNNING = "state in ('active', 'suspended')"


@dataclass(frozen=True, slots=True)
class NodeStep:
    """How far a step on the node is."""

    step: Step
    begun_at: datetime
    done_at: datetime | None
    attempts: int


class AllocationShelf(Shelf):
    """Rows of allocation, allocation_event, allocation_step and allocation_charge."""

    def __init__(self, connection: sa.Connection, actor: str) -> None:
        super().__init__(connection)
        self.actor = actor

    def add(self, allocation: Allocation, request_key: str) -> bool:
        """Write a new one; False when that request was made before. The database refuses a second one on a node."""
        names = [name for name in Allocation.__slots__ if name != "holder"]
        added = self.execute(
            f"insert into allocation (request_key, {', '.join(names)}) values (:request_key, {', '.join(':' + name for name in names)})"  # noqa: S608
            " on conflict (request_key) do nothing", request_key=request_key,
            **{name: _plain(getattr(allocation, name)) for name in names})
        if added:
            self._log(allocation, None, allocation.state, allocation.reason)
        return added == 1

    def move(self, allocation: Allocation, to: AllocationState, reason: str, *, active_at: datetime | None = None,
             stopped_at: datetime | None = None, closed_at: datetime | None = None) -> Allocation:
        """Change its state, with the instants that belong to it. Whether the move is legal the service has checked."""
        moved = replace(allocation, state=to, reason=reason, active_at=active_at or allocation.active_at,
                        charged_to=allocation.charged_to or active_at, stopped_at=stopped_at or allocation.stopped_at,
                        closed_at=closed_at or allocation.closed_at)
        self.execute("update allocation set state = :to, reason = :reason, active_at = :active_at, charged_to = :charged_to,"
                     " stopped_at = :stopped_at, closed_at = :closed_at where id = :id", id=moved.id, to=str(to), reason=reason,
                     active_at=moved.active_at, charged_to=moved.charged_to, stopped_at=moved.stopped_at, closed_at=moved.closed_at)
        self._log(allocation, allocation.state, to, reason)
        return moved

    def keep_terms(self, allocation: Allocation) -> None:
        """Write its end and what happens when it is idle."""
        self.execute("update allocation set until_at = :until, idle_minutes = :idle where id = :id", id=allocation.id,
                     until=allocation.until_at, idle=allocation.idle_minutes)

    def keep_reason(self, allocation: Allocation, reason: str) -> None:
        """Write why it stands there."""
        self.execute("update allocation set reason = :reason where id = :id", id=allocation.id, reason=reason)

    def charge(self, charges: Sequence[Charge], run_id: int | None = None) -> None:
        """Write charges, one an allocation; each moves its allocation, and the database refuses one that does not follow the last."""
        self.execute(
            "insert into allocation_charge (allocation_id, starts_at, ends_at, billed_seconds, amount_micro, run_id)"
            " select c.*, :run from unnest(cast(:ids as text[]), cast(:starts as timestamptz[]), cast(:ends as timestamptz[]),"
            " cast(:seconds as bigint[]), cast(:amounts as bigint[])) c", run=run_id, ids=[one.allocation_id for one in charges],
            starts=[one.starts_at for one in charges], ends=[one.ends_at for one in charges],
            seconds=[one.billed_seconds for one in charges], amounts=[one.amount_micro for one in charges])

    def get(self, id: str, lock: bool = False) -> Allocation | None:
        """One by its id, locked until the end of the transaction if asked."""
        return _allocation(self.one(f"{_SELECT} where a.id = :id {'for update of a' if lock else ''}", id=id))

    def of_request(self, request_key: str) -> Allocation | None:
        """The one that a form asked for."""
        return _allocation(self.one(f"{_SELECT} where request_key = :key", key=request_key))

    def on_node(self, node_id: str, lock: bool = False) -> Allocation | None:
        """The live one on a node."""
        return _allocation(self.one(f"{_SELECT} where node_id = :node and {_LIVE} {'for update of a' if lock else ''}", node=node_id))

    def live(self) -> list[Allocation]:
        """All that have their node, by id."""
        return _allocations(self.rows(f"{_SELECT} where {_LIVE} order by a.id"))

    def of_user(self, user_id: int, most: int = 200) -> list[Allocation]:
        """Somebody's, the newest first."""
        return _allocations(self.rows(f"{_SELECT} where user_id = :user order by requested_at desc, a.id desc limit :most",
                                      user=user_id, most=most))

    def newest(self, most: int = 200) -> list[Allocation]:
        """Everybody's, the newest first."""
        return _allocations(self.rows(f"{_SELECT} order by requested_at desc, a.id desc limit :most", most=most))

    def of_node(self, node_id: str, most: int = 20) -> list[Allocation]:
        """Those of a node, the newest first."""
        return _allocations(self.rows(f"{_SELECT} where node_id = :node order by requested_at desc, a.id desc limit :most",
                                      node=node_id, most=most))

    def held(self, user_id: int, rate_model: str | None = None) -> int:
        """How many nodes somebody has, of one model or of all."""
        row = self.one(f"select count(*) as held from allocation a join node n on n.id = a.node_id where user_id = :user"  # noqa: S608
                       f" and a.{_LIVE} and (cast(:model as text) is null or rate_model = :model)", user=user_id, model=rate_model)
        return int(row.held) if row else 0

    def running_on(self, wallet: str, currency: str) -> list[Allocation]:
        """Those that a wallet pays for now."""
        return _allocations(self.rows(f"{_SELECT} where wallet = :wallet and currency = :currency and {_RUNNING} order by a.id",
                                      wallet=wallet, currency=currency))

    def note_step(self, id: str, step: Step, state: StepState, at: datetime) -> None:
        """A step on the node begins (again), or is done."""
        if state is StepState.BEGUN:
            self.execute("insert into allocation_step (allocation_id, step, begun_at) values (:id, :step, :at) on conflict"
                         " (allocation_id, step) do update set begun_at = excluded.begun_at, done_at = null,"
                         " attempts = allocation_step.attempts + 1", id=id, step=str(step), at=at)
        else:
            self.execute("update allocation_step set done_at = :at where allocation_id = :id and step = :step",
                         id=id, step=str(step), at=at)

    def was_touched(self, id: str) -> bool:
        """Whether any step was ever asked of the node for it."""
        return self.one("select 1 from allocation_step where allocation_id = :id limit 1", id=id) is not None

    def steps(self, id: str) -> list[NodeStep]:
        """Its steps in the order they were begun."""
        return [NodeStep(Step(row.step), row.begun_at, row.done_at, row.attempts) for row in self.rows(
            "select step, begun_at, done_at, attempts from allocation_step where allocation_id = :id order by begun_at", id=id)]

    def events(self, id: str) -> list[Event]:
        """Its history, the oldest first."""
        return [Event(**row._mapping) for row in self.rows(
            "select at, from_state, to_state, actor, reason from allocation_event where allocation_id = :id order by id", id=id)]

    def charges(self, id: str, most: int = 1000) -> list[Charge]:
        """Its charges, the newest first."""
        return [Charge(**row._mapping) for row in self.rows(
            "select allocation_id, starts_at, ends_at, billed_seconds, amount_micro from allocation_charge where allocation_id = :id"
            " order by starts_at desc limit :most", id=id, most=most)]

    def changed_since(self, id: str, at: datetime) -> bool:
        """Whether its state changed after that instant."""
        return self.one("select 1 from allocation_event where allocation_id = :id and at > :at limit 1", id=id, at=at) is not None

    def last_on(self, node_id: str, tenant: str) -> Allocation | None:
        """The last one that is over and had the node under that name."""
        return _allocation(self.one(f"{_SELECT} where node_id = :node and tenant = :tenant and not ({_LIVE})"
                                    " order by requested_at desc, a.id desc limit 1", node=node_id, tenant=tenant))

    def without_job(self) -> list[Allocation]:
        """Those that are to be set up or cleaned, and for which nothing is queued; locked."""
        return _allocations(self.rows(f"{_SELECT} where state in ('requested', 'provisioning', 'stopping', 'cleanup_failed')"  # noqa: S608
                                      " and not exists (select 1 from outbox o where o.state in ('queued', 'working')"
                                      " and o.kind = case when a.state in ('requested', 'provisioning') then 'node.provision'"
                                      " else 'node.release' end and o.key ^@ a.id)"
                                      " order by a.id for update of a skip locked"))

    def ending(self) -> list[str]:
        """Those whose agreed end came, or comes within the hour."""
        return [row.id for row in self.rows("select id from allocation where state in ('requested', 'provisioning', 'active', 'suspended')"
                                            " and until_at <= site_now() + interval '1 hour' order by id")]

    def unkept(self, most: int) -> list[Allocation]:
        """Released ones that ran and whose usage is not kept yet, by id."""
        return _allocations(self.rows(f"{_SELECT} where state = 'released' and active_at is not null and usage_run is null"
                                      " order by a.id limit :most", most=most))

    def note_usage(self, ids: Sequence[str], run_id: int) -> None:
        """Their usage is kept."""
        self.execute("update allocation set usage_run = :run where id = any(:ids)", ids=list(ids), run=run_id)

    def _log(self, allocation: Allocation, was: AllocationState | None, to: AllocationState, reason: str) -> None:
        self.execute("insert into allocation_event (allocation_id, from_state, to_state, actor, reason)"
                     " values (:id, :was, :to, :actor, :reason)", id=allocation.id, was=None if was is None else str(was), to=str(to),
                     actor=self.actor, reason=reason)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, AllocationState) else value


def _allocation(row: sa.Row[Any] | None) -> Allocation | None:
    return None if row is None else Allocation(**{**row._mapping, "state": AllocationState(row.state)})


def _allocations(rows: Sequence[sa.Row[Any]]) -> list[Allocation]:
    return [one for row in rows if (one := _allocation(row))]
