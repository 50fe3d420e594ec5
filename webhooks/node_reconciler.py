"""Looks at every node and sets what is on it beside the books: what has no allocation is taken off, what a holder lacks is set up
again, what nobody knows keeps the node from everybody, and a node that does not answer is charged to nobody.

A timer in every sidecar calls it, one of them does it. Nothing depends on when: the database says when each node was looked at.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from data.postgres.health import TROUBLE
from data.postgres.store import Store
from data.postgres.turns import turn_if_free
from engine.node_troubles import PASSING
from engine.nodes import Node
from engine.ports import Provisioner
from engine.provisioning import NodeTrouble, Tenancy
from engine.services.lifecycle import SetupEnded, note_step, tenancy_of
from engine.services.node_watch import (
    Plan,
    note_answer,
    note_miss,
    note_not_repaired,
    note_orphan_gone,
    note_orphan_stays,
    note_repaired,
    queue_anew,
)
from webhooks.log import say
from webhooks.queue_worker import attempt, words_of

ACTOR = "worker"
LOOKING = 0x6E6F6465            # the advisory lock of whichever sidecar looks
AT_ONCE = 8
SECONDS = 60


def look_after_nodes(store: Store, provisioner: Provisioner) -> None:
    """All nodes that were not looked at for most of a minute; a node's trouble does not keep the others waiting."""
    try:
        with turn_if_free(store.engine, LOOKING) as mine:
            if mine:
                _look_at_all(store, provisioner)
    except TROUBLE as error:
        say("node.trouble", error=type(error).__name__, detail=str(error)[:300])


def _look_at_all(store: Store, provisioner: Provisioner) -> None:
    if anew := store.run(queue_anew, actor=ACTOR, place="node.queue_anew"):
        say("node.queued_anew", allocations=anew, alarm=True)
    due = store.read(lambda tx: tx.nodes.to_look_at(SECONDS * 3 // 4))
    with ThreadPoolExecutor(AT_ONCE, "nodes") as pool:
        for node, error in zip(due, pool.map(lambda one: attempt(lambda: look(store, provisioner, one)), due), strict=True):
            if error is not None:
                say("node.trouble", node=node.address.name, error=words_of(error), alarm=True)


def look(store: Store, provisioner: Provisioner, node: Node) -> None:
    """At one node, and do about it what has to be done."""
    looked_from = store.read(lambda tx: tx.now)
    try:
        holdings = provisioner.inspect(node.address)
    except NodeTrouble as trouble:
        _missed(store, node, looked_from, trouble)
        return
    plan = store.run(lambda tx: note_answer(tx, node.id, looked_from, holdings), actor=ACTOR, place="node.look")
    for orphan in plan.orphans:
        _take_off(store, provisioner, plan, orphan)
    if plan.repair is not None:
        _repair(store, provisioner, plan)


def _missed(store: Store, node: Node, looked_from: datetime, trouble: NodeTrouble) -> None:
    seen = store.run(lambda tx: note_miss(tx, node.id, looked_from, trouble), actor=ACTOR, place="node.miss")
    say("node.missed", node=node.address.name, trouble=str(trouble.trouble), error=trouble.sentence, missed=seen.missed, alarm=seen.away)


def _take_off(store: Store, provisioner: Provisioner, plan: Plan, orphan: Tenancy) -> None:
    try:
        provisioner.release(plan.node.address, orphan)
    except NodeTrouble as trouble:
        why = trouble.sentence
        store.run(lambda tx: note_orphan_stays(tx, plan.node.id, orphan, why), actor=ACTOR, place="node.orphan_stays")
        say("node.orphan_stays", node=plan.node.address.name, allocation=orphan.allocation, error=why, alarm=True)
    else:
        store.run(lambda tx: note_orphan_gone(tx, plan.node.id, orphan), actor=ACTOR, place="node.orphan_gone")
        say("node.orphan_removed", node=plan.node.address.name, allocation=orphan.allocation, alarm=True)


def _repair(store: Store, provisioner: Provisioner, plan: Plan) -> None:
    allocation = plan.repair
    assert allocation is not None
    try:
        provisioner.provision(plan.node.address, tenancy_of(allocation), told=lambda step, state: store.run(
            lambda tx: note_step(tx, allocation.id, step, state), actor=ACTOR, place="node.step"))
    except SetupEnded:
        return
    except NodeTrouble as trouble:
        why = trouble.sentence
        say("node.not_repaired", node=plan.node.address.name, allocation=allocation.id, error=why, alarm=True)
        if trouble.trouble not in PASSING:
            store.run(lambda tx: note_not_repaired(tx, allocation.id, why), actor=ACTOR, place="node.not_repaired")
    else:
        store.run(lambda tx: note_repaired(tx, allocation.id), actor=ACTOR, place="node.repaired")
        say("node.repaired", node=plan.node.address.name, allocation=allocation.id, alarm=True)
