"""The inventory: nodes added, changed, opened and taken out; one transaction each. What is seen on a node was seen before, by
whoever calls: nothing here speaks to it.
"""

from __future__ import annotations

from dataclasses import replace

from engine.errors import IllegalMove, NotFound
from engine.gpu_readings import rate_model, sold_as
from engine.ids import new_id
from engine.nodes import BadNode, Node, NodeAddress, NodeState, check_move
from engine.policy import allow
from engine.ports import Transaction
from engine.provisioning import Probe
from engine.users import Action, Person
from engine.wallets import check_reason


def add_node(tx: Transaction, address: NodeAddress, site: str, probe: Probe, by: Person, model: str = "") -> Node:
    """Take a node that was probed into the inventory, in maintenance until somebody opens it. Its rate model is `model`, else made
    of what its driver calls it."""
    allow(by, Action.MANAGE_NODES)
    gpus = sold_as(probe.gpus)
    if probe.missing:
        raise BadNode(f"It lacks {', '.join(probe.missing)}: install that and test it again.")
    node = Node(new_id("nod", int(tx.now.timestamp() * 1000)), site, address, gpus.model, gpus.count, gpus.memory_mib,
                model or rate_model(gpus.model), NodeState.MAINTENANCE, "just added",
                clock_offset_ms=probe.clock.offset_ms, tested_at=tx.now)
    if not tx.nodes.add(node):
        raise BadNode(f"There is a node {address.name} already: give it another name.")
    tx.audit.record("node.added", f"node:{node.id}", name=address.name, host=address.host, port=address.port,
                    host_key=address.host_key.line, gpu_model=node.gpu_model, gpu_count=node.gpu_count)
    return node


def get_node(tx: Transaction, name: str, lock: bool = False) -> Node:
    """One by name or id."""
    found = tx.nodes.get(name, lock)
    if found is None:
        raise NotFound(f"No node {name!r}.")
    return found


def move_node(tx: Transaction, name: str, to: NodeState, reason: str, by: Person) -> Node:
    """Open it, drain it, take it into maintenance, retire it. Retired and taken into maintenance only while nobody holds it."""
    allow(by, Action.MANAGE_NODES)
    node = get_node(tx, name, lock=True)
    check_move(node.address.name, node.state, to)
    held = tx.allocations.on_node(node.id)
    if held is not None and to in (NodeState.MAINTENANCE, NodeState.RETIRED):
        raise IllegalMove(f"{held.holder} holds {node.address.name}: drain it first, or end the allocation.")
    moved = tx.nodes.move(node, to, check_reason(reason) if to is not NodeState.AVAILABLE else reason.strip())
    tx.audit.record("node.moved", f"node:{node.id}", name=node.address.name, was=str(node.state), to=str(to), reason=moved.reason)
    return moved


def quarantine_node(tx: Transaction, node: Node, why: str) -> Node:
    """Nobody gets a locked node until somebody looked; one that is quarantined or gone stays so."""
    if node.state not in (NodeState.QUARANTINED, NodeState.RETIRED):
        node = tx.nodes.move(node, NodeState.QUARANTINED, why)
        tx.audit.record("node.quarantined", f"node:{node.id}", name=node.address.name, reason=why)
    return node


def change_node(tx: Transaction, name: str, by: Person, *, model: str, per_user: int | None, minimum_balance_micro: int | None) -> Node:
    """Change what it is sold as and its limits; what runs keeps its price."""
    allow(by, Action.MANAGE_NODES)
    node = get_node(tx, name, lock=True)
    changed = replace(node, rate_model=model, per_user=per_user, minimum_balance_micro=minimum_balance_micro)
    tx.nodes.keep(changed)
    tx.audit.record("node.changed", f"node:{node.id}", name=node.address.name, rate_model=model, per_user=per_user,
                    minimum_balance_micro=minimum_balance_micro)
    return changed


def note_probe(tx: Transaction, name: str, probe: Probe, by: Person) -> Node:
    """Note what a test of it found: its GPUs must be the ones it is sold with."""
    allow(by, Action.MANAGE_NODES)
    node = get_node(tx, name, lock=True)
    gpus = sold_as(probe.gpus)
    if (gpus.model, gpus.count) != (node.gpu_model, node.gpu_count):
        raise BadNode(f"It has {gpus.count} × {gpus.model} now and is sold as {node.gpu_count} × {node.gpu_model}:"
                      " retire it and add it anew.")
    tested = replace(node, memory_mib=gpus.memory_mib, clock_offset_ms=probe.clock.offset_ms, tested_at=tx.now)
    tx.nodes.keep(tested)
    tx.audit.record("node.tested", f"node:{node.id}", name=node.address.name, clock_offset_ms=probe.clock.offset_ms,
                    missing=list(probe.missing))
    return tested
