"""GPU nodes with their history, and what their GPUs did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf
from engine.gpu_readings import GpuReading
from engine.node_watch import IDLE_PERCENT, Idleness, Watch
from engine.nodes import Node, NodeAddress, NodeState
from engine.ssh_keys import parse_public_key

_COLUMNS = ("id, site, name, host, port, host_key, gpu_model, gpu_count, memory_mib, rate_model, per_user, minimum_balance_micro, state,"
            " reason, clock_offset_ms, tested_at")


# Loads of the minutes that matter; a minute in which no load is known counts as work.
_IDLE = """
with minute as (
  select a.id, s.at, coalesce(max(s.utilisation_percent), 100) as load, least(a.idle_minutes, :minutes) as enough
  from allocation a join node_sample s on s.allocation_id = a.id
  where a.state = 'active' and s.at >= site_now() - make_interval(mins => 2 * greatest(coalesce(a.idle_minutes, 0), :minutes) + 60)
  group by a.id, s.at, a.idle_minutes),
busy as (select id, max(at) as at from minute where load >= :percent group by id),
spell as (
  select m.id, m.enough, min(m.at) as since, max(m.at) as last, count(*) as looks
  from minute m left join busy b on b.id = m.id where m.at > coalesce(b.at, '-infinity') group by 1, 2)
select id, since, last, looks from spell
where last - since >= make_interval(mins => enough) and last > site_now() - interval '5 minutes' order by id"""


@dataclass(frozen=True, slots=True)
class Step:
    """One step in a node's or an allocation's life."""

    at: datetime
    from_state: str | None
    to_state: str
    actor: str
    reason: str


class NodeShelf(Shelf):
    """Rows of node, node_event and node_sample."""

    def __init__(self, connection: sa.Connection, actor: str) -> None:
        super().__init__(connection)
        self.actor = actor

    def add(self, node: Node) -> bool:
        """Write a new node; False when its name is taken."""
        names = [name.strip() for name in _COLUMNS.split(",")]
        added = self.execute(f"insert into node ({_COLUMNS}, created_by) values ({', '.join(':' + name for name in names)}, :actor)"  # noqa: S608
                             " on conflict (name) do nothing", actor=self.actor, **_values(node))
        if added:
            self._log(node, None, node.state, node.reason)
        return added == 1

    def keep(self, node: Node) -> None:
        """Write what was changed or measured on it, all but its state."""
        self.execute("update node set site = :site, name = :name, host = :host, port = :port, host_key = :host_key, gpu_model = :gpu_model,"
                     " gpu_count = :gpu_count, memory_mib = :memory_mib, rate_model = :rate_model, per_user = :per_user,"
                     " minimum_balance_micro = :minimum_balance_micro, clock_offset_ms = :clock_offset_ms, tested_at = :tested_at"
                     " where id = :id", **_values(node))

    def move(self, node: Node, to: NodeState, reason: str) -> Node:
        """Change its state. Whether the move is legal the service has checked."""
        self.execute("update node set state = :to, reason = :reason where id = :id", id=node.id, to=str(to), reason=reason)
        self._log(node, node.state, to, reason)
        return replace(node, state=to, reason=reason)

    def get(self, name: str, lock: bool = False) -> Node | None:
        """A node by id or name, locked until the end of the transaction if asked."""
        row = self.one(f"select {_COLUMNS} from node where id = :name or name = :name {'for update' if lock else ''}", name=name)  # noqa: S608
        return _node(row) if row else None

    def all(self, retired: bool = False) -> list[Node]:
        """Every node by site and name, those that are gone only if asked."""
        return [_node(row) for row in self.rows(f"select {_COLUMNS} from node where :retired or state <> 'retired'"  # noqa: S608
                                                " order by site, name", retired=retired)]

    def events(self, node_id: str) -> list[Step]:
        """Its history, the oldest first."""
        return [Step(**row._mapping) for row in self.rows(
            "select at, from_state, to_state, actor, reason from node_event where node_id = :id order by id", id=node_id)]

    def before_quarantine(self, node_id: str) -> tuple[NodeState, str]:
        """Where a quarantined node stood before, and why."""
        row = self.one("select to_state, reason from node_event where node_id = :id order by id desc offset 1 limit 1", id=node_id)
        assert row is not None
        return NodeState(row.to_state), row.reason

    def add_samples(self, node_id: str, allocation_id: str | None, at: datetime, readings: Sequence[GpuReading]) -> None:
        """Note what its GPUs did at `at`; the same instant again changes nothing."""
        self.execute_many("insert into node_sample (node_id, at, gpu, utilisation_percent, memory_used_mib, allocation_id) values"
                          " (:node, :at, :gpu, :load, :memory, :allocation) on conflict do nothing",
                          [{"node": node_id, "at": at, "gpu": one.index, "load": one.utilisation_percent, "memory": one.memory_used_mib,
                            "allocation": allocation_id} for one in readings])

    def watch(self, node_id: str) -> Watch | None:
        """How it answered lately; None before the first look."""
        row = self.one("select looked_at, answered_at, missed, trouble from node_watch where node_id = :id", id=node_id)
        return Watch(**row._mapping) if row else None

    def keep_watch(self, node_id: str, watch: Watch) -> None:
        """Write how it answered."""
        self.execute("insert into node_watch (node_id, looked_at, answered_at, missed, trouble)"
                     " values (:id, :looked, :answered, :missed, :trouble) on conflict (node_id) do update set looked_at = :looked,"
                     " answered_at = :answered, missed = :missed, trouble = :trouble", id=node_id, looked=watch.looked_at,
                     answered=watch.answered_at, missed=watch.missed, trouble=watch.trouble)

    def to_look_at(self, seconds: int) -> list[Node]:
        """Nodes that are not gone and were not looked at for so long, or at an instant that lies ahead."""
        return [_node(row) for row in self.rows(
            f"select {_COLUMNS} from node left join node_watch w on w.node_id = id where state <> 'retired'"  # noqa: S608
            " and (looked_at is null or looked_at > site_now() or looked_at <= site_now() - make_interval(secs => :seconds)) order by id",
            seconds=seconds)]

    def rented(self) -> list[tuple[Node, str]]:
        """Nodes in somebody's hands, with the allocation."""
        return [(_node(row), row.allocation_id) for row in self.rows(
            f"select {', '.join(f'n.{name}' for name in _COLUMNS.replace(' ', '').split(','))}, a.id as allocation_id"  # noqa: S608
            " from node n join allocation a on a.node_id = n.id where a.state = 'active' order by n.id")]

    def idle(self, minutes: int) -> list[Idleness]:
        """Active allocations none of whose GPUs, as far as their load is known, did anything for `minutes`, or for as long as they
        agreed where that is shorter: since when, up to their last sample."""
        return [Idleness(row.id, row.since, row.last, row.looks) for row in self.rows(_IDLE, percent=IDLE_PERCENT, minutes=minutes)]

    def forget_samples(self, days: int) -> int:
        """Delete samples older than that; how many."""
        return self.execute("delete from node_sample s using node n where s.node_id = n.id"
                            " and s.at < site_now() - make_interval(days => :days)", days=days)

    def _log(self, node: Node, was: NodeState | None, to: NodeState, reason: str) -> None:
        self.execute("insert into node_event (node_id, from_state, to_state, actor, reason) values (:id, :was, :to, :actor, :reason)",
                     id=node.id, was=None if was is None else str(was), to=str(to), actor=self.actor, reason=reason)


def _values(node: Node) -> Mapping[str, object]:
    address = node.address
    return {"id": node.id, "site": node.site, "name": address.name, "host": address.host, "port": address.port,
            "host_key": address.host_key.line, "gpu_model": node.gpu_model, "gpu_count": node.gpu_count, "memory_mib": node.memory_mib,
            "rate_model": node.rate_model, "per_user": node.per_user, "minimum_balance_micro": node.minimum_balance_micro,
            "state": str(node.state), "reason": node.reason, "clock_offset_ms": node.clock_offset_ms, "tested_at": node.tested_at}


def _node(row: sa.Row[Any]) -> Node:
    address = NodeAddress(row.name, row.host, row.port, parse_public_key(row.host_key))
    return Node(row.id, row.site, address, row.gpu_model, row.gpu_count, row.memory_mib, row.rate_model, NodeState(row.state), row.reason,
                row.per_user, row.minimum_balance_micro, row.clock_offset_ms, row.tested_at)
