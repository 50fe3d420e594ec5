"""Each minute: what the GPUs of every node in somebody's hands do, and what follows when they do nothing; and what follows from ends
that were agreed. A timer in every sidecar calls it; the same minute again changes nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from data.postgres.health import TROUBLE
from data.postgres.store import Store
from data.postgres.turns import turn_if_free
from engine.errors import DomainError
from engine.node_watch import Idleness
from engine.nodes import Node
from engine.ports import Provisioner
from engine.services.terms import attend_to_idle, end_of_term
from webhooks.log import say
from webhooks.queue_worker import attempt, words_of

ACTOR = "worker"
SAMPLING, ENDING = 0x73616D70, 0x656E6473       # the advisory locks of whichever sidecar is at it
AT_ONCE = 8
KEEP_DAYS = 30


def sample_nodes(store: Store, provisioner: Provisioner) -> None:
    """Look at the GPUs of all that are rented, then attend to those that do nothing."""
    try:
        with turn_if_free(store.engine, SAMPLING) as mine:
            if mine:
                _sample_all(store, provisioner)
                attend_to_idle_ones(store)
    except TROUBLE as error:
        say("node.trouble", error=type(error).__name__, detail=str(error)[:300])


def _sample_all(store: Store, provisioner: Provisioner) -> None:
    rented = store.read(lambda tx: tx.nodes.rented())
    with ThreadPoolExecutor(AT_ONCE, "samples") as pool:
        errors = pool.map(lambda one: attempt(lambda: _sample(store, provisioner, *one)), rented)
        for (node, _), error in zip(rented, errors, strict=True):
            if error is not None:
                say("node.not_sampled", node=node.address.name, error=error.sentence if isinstance(error, DomainError) else words_of(error))


def _sample(store: Store, provisioner: Provisioner, node: Node, allocation_id: str) -> None:
    readings = provisioner.sample(node.address)
    store.run(lambda tx: tx.nodes.add_samples(node.id, allocation_id, tx.now.replace(second=0, microsecond=0), readings),
              actor=ACTOR, place="node.sample")


def attend_to_idle_ones(store: Store) -> None:
    """Those whose GPUs have done nothing for long enough that somebody is to hear of it."""
    for idle in store.read(lambda tx: tx.nodes.idle(tx.settings.node_idle_notice_minutes)):
        if store.run(lambda tx, idle=idle: attend_to_idle(tx, idle), actor=ACTOR, place="node.idle"):  # type: ignore[misc]
            _tell_ended(idle)


def _tell_ended(idle: Idleness) -> None:
    say("allocation.idle", allocation=idle.allocation_id, minutes=idle.minutes)


def attend_to_terms(store: Store) -> None:
    """End what has come to its agreed end, tell of ends that are near."""
    try:
        with turn_if_free(store.engine, ENDING) as mine:
            for id in store.read(lambda tx: tx.allocations.ending()) if mine else ():
                if store.run(lambda tx, id=id: end_of_term(tx, id), actor=ACTOR, place="node.term"):  # type: ignore[misc]
                    say("allocation.ended", allocation=id)
    except TROUBLE as error:
        say("node.trouble", error=type(error).__name__, detail=str(error)[:300])


def forget_samples(store: Store) -> None:
    """Samples are kept for KEEP_DAYS."""
    try:
        if gone := store.run(lambda tx: tx.nodes.forget_samples(KEEP_DAYS), actor=ACTOR):
            say("node.samples_forgotten", count=gone)
    except TROUBLE as error:
        say("node.trouble", error=type(error).__name__, detail=str(error)[:300])
