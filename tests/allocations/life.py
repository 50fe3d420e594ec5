"""Allocations' lives in one process that may be killed anywhere: one that works and is hard to clean, one that is never set up, two
on nodes that go away, lose users and come back, until nothing runs on them or their agreed end comes.

`python -m tests.allocations.life` reads lines `DATABASE FOLDER PLACE`; for each it forks a child that lives them with
`COREHOURS_FAILPOINT=PLACE` and answers with its exit code. Whoever is started after a kill goes on where the dead one was. The nodes
are a file in FOLDER, as nodes are elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from data.node_usage import keep_node_usage
from data.postgres.store import Store, connect
from data.settings import Settings
from engine.allocations import Allocation
from engine.nodes import Node, NodeState
from engine.policy import OPERATOR
from engine.provisioning import Step, Trouble
from engine.services.allocations import release_allocation, request_allocation
from engine.services.lifecycle import tenancy_of
from engine.services.nodes import move_node
from engine.users import Person
from tests.allocations.conftest import Lab
from tests.allocations.hands import Hands
from tests.conftest import AUDIT_KEY
from tests.failpoints.forked import places_noted, serve
from webhooks.node_reconciler import look_after_nodes
from webhooks.node_sampler import attend_to_terms, sample_nodes
from webhooks.provisioners.dummy import DummyProvisioner

BEGINS = datetime(2026, 11, 28, 9, tzinfo=UTC)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE2Xq8XRyYkQ2K4Fh1pGd0oM9cSxvFp7dQ1i3tq3b2rD"


class Life:
    """What happens, from the beginning each time; what is done already stays done."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.hands = lab, Hands(lab, lab.provisioner)

    def live(self) -> None:
        """See the module."""
        self.lab.later(BEGINS, minutes=0)
        alice, bob = self.person("alice"), self.person("bob")
        never = self.works_and_fails(alice)
        self.left_behind(never)
        self.looked_after(bob)

    def works_and_fails(self, alice: Person) -> Allocation:
        """Half an hour on one node, nothing on the other."""
        node, other = (self.node(name) for name in ("gpu-1", "gpu-2"))
        works = self.lab.run(lambda tx: request_allocation(tx, "gpu-1", KEY, "alice", alice, "works"))
        self.hands.work(3)
        self.lab.later(BEGINS, minutes=30)
        self.hands.breaks(node, Trouble.DROPPED, Step.END)
        self.lab.run(lambda tx: release_allocation(tx, works.id, alice))
        self.hands.work(2)
        self.hands.mend()
        self.hands.work(3)
        self.hands.breaks(other, Trouble.FULL, Step.KEY)
        never = self.lab.run(lambda tx: request_allocation(tx, "gpu-2", KEY, "alice", alice, "never"))
        self.hands.work(3)
        self.hands.mend()
        return never

    def left_behind(self, over: Allocation) -> None:
        """A mark of one that is over turns up, and does not go at once."""
        with self.lab.provisioner.site.opened() as site:
            site.nodes["gpu-2"].marks["alice"] = over.id
        self.hands.breaks(self.node("gpu-2"), Trouble.LEFT_OVER, Step.END)
        self.look(40)
        self.hands.mend()
        self.look(41)

    def looked_after(self, bob: Person) -> None:
        """One is idle at last; the other's node forgets that it is not over, after its holder heard of its end."""
        idle, refused = (self.taken(name, bob) for name in ("gpu-3", "gpu-4"))
        with self.lab.provisioner.site.opened() as site:
            site.nodes["gpu-3"].users["bob"].key = ""
            site.nodes["gpu-3"].load_percent = 0
        self.look(50)
        self.hands.breaks(self.node("gpu-3"), Trouble.DOWN)
        self.look(51, 52)
        self.hands.mend()
        self.look(53)
        attend_to_terms(self.lab.store)
        for minute in range(54, 58):
            self.lab.later(BEGINS, minutes=minute)
            sample_nodes(self.lab.store, self.lab.provisioner)
        self.lab.provisioner.release(self.node("gpu-4").address, tenancy_of(refused))
        self.look(60)
        self.hands.work(3)
        for one in (idle, refused):         # where a clock that went back kept one from its end
            self.lab.run(lambda tx, one=one: release_allocation(tx, one.id, bob))  # type: ignore[misc]
        self.hands.work(3)
        keep_node_usage(self.lab.store)

    def taken(self, name: str, bob: Person) -> Allocation:
        self.node(name)
        self.lab.later(BEGINS, minutes=45)
        until = BEGINS + timedelta(minutes=100)
        asked = self.lab.run(lambda tx: request_allocation(tx, name, KEY, "bob", bob, name, until, 2))
        self.hands.work(3)
        return asked

    def look(self, *minutes: int) -> None:
        for minute in minutes:
            self.lab.later(BEGINS, minutes=minute)
            look_after_nodes(self.lab.store, self.lab.provisioner)

    def person(self, name: str) -> Person:
        found = self.lab.store.read(lambda tx: tx.users.by_name(name)) or self.lab.person(name)
        if not self.lab.balance(name) and not self.lab.store.read(lambda tx: tx.allocations.held(found.id)):
            self.lab.fill(name, "100")
        return found

    def node(self, name: str) -> Node:
        found = self.lab.store.read(lambda tx: tx.nodes.get(name))
        if found is not None and found.reason != "just added":
            return found
        return self.lab.node(name) if found is None else self.lab.run(
            lambda tx: move_node(tx, name, NodeState.AVAILABLE, "it was tested", OPERATOR))


def world(store: Store, folder: Path) -> Lab:
    """Its books and its nodes."""
    return Lab(store, DummyProvisioner(folder / "nodes.json"))


def child(database: str, folder: str, place: str, live: Callable[[Lab], None]) -> None:
    """Live on that database."""
    home = Path(folder)
    with places_noted(home, place):
        settings = Settings(env="development", home=home, database_url=SecretStr(database), audit_key=SecretStr(AUDIT_KEY))
        live(world(Store(connect(database), settings), home))


if __name__ == "__main__":
    serve(sys.stdin, lambda *words: child(*words, live=lambda lab: Life(lab).live()))
