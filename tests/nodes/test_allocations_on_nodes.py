"""Allocations on real sshd nodes: what a researcher gets and loses, twenty at once, and nodes that go wrong at each step."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from data.postgres.store import Store
from data.ssh_keys import KeyPair, new_key_pair
from engine.allocations import Allocation, AllocationState, NodeTaken
from engine.money import parse_micro
from engine.nodes import Node, NodeState
from engine.policy import OPERATOR
from engine.provisioning import Step
from engine.services.allocations import release_allocation, request_allocation
from engine.services.nodes import add_node, move_node
from engine.users import Person
from tests.allocations.conftest import Lab
from tests.allocations.hands import Hands
from tests.nodes.rigs import TOOL
from tests.rigs.gpu_nodes import GpuNode, GpuNodes
from webhooks.node_reconciler import look
from webhooks.provisioners.dummy import DummyProvisioner
from webhooks.provisioners.ssh import SshProvisioner
from webhooks.provisioners.ssh_line import Patience

HUNDRED = parse_micro("100")


@dataclass
class Centre:
    """Real nodes in the books, and a sidecar that has their key."""

    lab: Lab
    rig: GpuNodes
    hands: Hands

    def added(self, at: GpuNode) -> Node:
        """In the inventory, open."""
        probe = self.hands.provisioner.probe(at.address)
        self.lab.run(lambda tx: add_node(tx, at.address, "main", probe, OPERATOR))
        return self.lab.run(lambda tx: move_node(tx, at.address.name, NodeState.AVAILABLE, "it was tested", OPERATOR))

    def person(self) -> Person:
        """Somebody whose name nobody has on this machine, with 100 THB."""
        return self.lab.person(self.rig.new_user(), "100")

    def ask(self, person: Person, at: GpuNode, key: KeyPair) -> Allocation:
        """For a node."""
        return self.lab.run(lambda tx: request_allocation(tx, at.address.name, key.public.line, person.payer, person, "once"))

    def give_back(self, person: Person, allocation: Allocation) -> None:
        self.lab.run(lambda tx: release_allocation(tx, allocation.id, person))
        self.hands.work(3)

    def lets_in(self, at: GpuNode, person: Person, key: KeyPair) -> bool:
        return self.rig.log_in(at, person.name, key).stdout == f"{person.name}\n"


@pytest.fixture
def centre(store: Store, nodes: GpuNodes) -> Iterator[Centre]:
    lab = Lab(store, DummyProvisioner())
    yield Centre(lab, nodes, Hands(lab, SshProvisioner(nodes.management.private, patience=Patience(step_seconds=5))))
    for node in nodes.nodes:
        node.fault("")
        node.forget()


def running(user: str) -> int:
    """Processes of a user of this machine, those that ended and nobody asked after left out."""
    found = subprocess.run(["ps", "-o", "stat=", "-u", user], capture_output=True, text=True, check=False).stdout
    return sum(not state.startswith("Z") for state in found.split())


@pytest.mark.parametrize("pam", [False, True])
def test_a_researcher_works_on_a_node_and_gives_it_back(centre: Centre, pam: bool) -> None:
    """The key lets them in until they give the node back, and nothing that they began runs on."""
    at, key = next(node for node in centre.rig.nodes if node.pam is pam), new_key_pair()
    node, alice = centre.added(at), centre.person()
    taken = centre.ask(alice, at, key)
    assert not centre.lets_in(at, alice, key)
    centre.hands.try_once()
    assert centre.lab.see(taken).state is AllocationState.ACTIVE and centre.lets_in(at, alice, key)
    said = centre.rig.log_in(at, alice.name, key, "setsid sleep 60 >/dev/null 2>&1 & nvidia-smi --query-gpu=name"
                                                  " --format=csv,noheader,nounits")
    assert said.stdout.count("A100") == 4 and running(alice.name) > 0
    look(centre.lab.store, centre.hands.provisioner, node)
    assert centre.lab.see(taken).state is AllocationState.ACTIVE
    centre.give_back(alice, taken)
    assert centre.lab.see(taken).state is AllocationState.RELEASED and centre.hands.node(node).state is NodeState.AVAILABLE
    assert not centre.lets_in(at, alice, key) and running(alice.name) == 0 and centre.hands.on(node) == []
    assert centre.lab.broken() == {}


def test_twenty_at_once_on_four_nodes(centre: Centre) -> None:
    """Four get one, sixteen are told that it is taken; each of the four works on theirs, and only there."""
    four = centre.rig.nodes[:4]
    for at in four:
        centre.added(at)
    people = [(centre.person(), new_key_pair(), four[number % 4]) for number in range(20)]

    def asked(person: Person, key: KeyPair, at: GpuNode) -> Allocation | None:
        try:
            return centre.ask(person, at, key)
        except NodeTaken:
            return None
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda one: asked(*one), people))
    assert Counter(answer is not None for answer in answers) == {True: 4, False: 16}
    centre.hands.work(4)
    winners = [(*one, answer) for one, answer in zip(people, answers, strict=True) if answer]
    assert [centre.lab.see(answer).state for *_, answer in winners] == [AllocationState.ACTIVE] * 4
    assert all(centre.lets_in(at, person, key) for person, key, at, _ in winners)
    for person, _, _, answer in winners:
        centre.give_back(person, answer)
    assert not any(centre.lets_in(at, person, key) for person, key, at, _ in winners)
    assert all(centre.lab.balance(person.payer) == HUNDRED for (person, *_), answer in zip(people, answers, strict=True) if not answer)
    assert centre.lab.broken() == {}


FAULTS = [(step, f"{step} {words}") for step in (Step.MARK, Step.ACCOUNT, Step.KEY, Step.OPEN)
          for words in ("before", "after", f"half {TOOL[step]}", f"full {TOOL[step]}", f"hang {TOOL[step]}")]
USUAL = ("account half useradd", "key half setpriv", "open after")


@pytest.mark.parametrize(("step", "fault"), [
    pytest.param(step, fault, id=fault, marks=[] if fault in USUAL else pytest.mark.long) for step, fault in FAULTS])
def test_a_node_that_goes_wrong_leaves_nothing_behind(centre: Centre, step: Step, fault: str) -> None:
    """The line drops, a tool stops half way, the disk is full, a tool hangs: it failed and was free. A step that was done before the
    line broke is found done by the next try: then it works. Either way nothing is on the node in the end."""
    at, key = centre.rig.nodes[0], new_key_pair()
    node, alice = centre.added(at), centre.person()
    at.fault(fault)
    asked = centre.ask(alice, at, key)
    centre.hands.work(4)
    became = centre.lab.see(asked)
    assert became.state is AllocationState.FAILED or (became.state is AllocationState.ACTIVE and centre.lets_in(at, alice, key))
    at.fault("")
    if became.live:
        centre.give_back(alice, became)
    for _ in range(2):
        look(centre.lab.store, centre.hands.provisioner, node)
    assert centre.hands.on(node) == [] and not centre.lets_in(at, alice, key)
    charged = centre.lab.see(asked).charged_micro
    assert charged == 0 or became.state is AllocationState.ACTIVE
    assert centre.lab.balance(alice.payer) == HUNDRED - charged and centre.lab.broken() == {}


@pytest.mark.parametrize("fault", [pytest.param(f"{step} {words}", marks=[] if (step, words) == (Step.END, "after") else pytest.mark.long)
                                   for step in (Step.CLOSE, Step.UNKEY, Step.END, Step.UNMARK)
                                   for words in ("before", "after", f"half {TOOL[step]}", f"hang {TOOL[step]}")])
def test_a_node_that_goes_wrong_is_cleaned_later(centre: Centre, fault: str) -> None:
    """Nobody gets it meanwhile, and its holder pays no more."""
    at, key = centre.rig.nodes[1], new_key_pair()
    node, alice = centre.added(at), centre.person()
    taken = centre.ask(alice, at, key)
    centre.hands.try_once()
    at.fault(fault)
    centre.give_back(alice, taken)
    assert (centre.lab.see(taken).state, centre.hands.node(node).state) == (AllocationState.CLEANUP_FAILED, NodeState.QUARANTINED)
    at.fault("")
    centre.hands.work(2)
    assert (centre.lab.see(taken).state, centre.hands.node(node).state) == (AllocationState.RELEASED, NodeState.AVAILABLE)
    assert centre.hands.on(node) == [] and not centre.lets_in(at, alice, key) and centre.lab.broken() == {}
