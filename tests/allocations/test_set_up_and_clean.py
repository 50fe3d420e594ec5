"""A node is set up for somebody and cleaned after them. Whatever goes wrong on the way, and wherever: the allocation ends in a clean
state, its holder is told and pays nothing for what they never had, and nobody gets a node that is not clean."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.allocations import AllocationState, first_second
from engine.money import parse_micro
from engine.nodes import NodeState
from engine.notices import NoticeKind
from engine.outbox import JobState
from engine.policy import OPERATOR
from engine.provisioning import PROVISION, RELEASE, Step, StepState, Told, Trouble, tell_nobody
from engine.services.allocations import release_allocation
from engine.services.nodes import move_node
from tests.allocations.conftest import Lab
from tests.allocations.hands import Hands

HUNDRED = parse_micro("100")


@pytest.fixture
def hands(lab: Lab) -> Hands:
    return Hands(lab, lab.provisioner)


def test_a_node_is_set_up_used_and_given_back(lab: Lab, hands: Hands) -> None:
    """Each step is written down before and after; charges begin at the whole second after the last one."""
    node, alice = lab.node("gpu-1"), lab.person("alice", "100")
    asked = lab.request(alice, "gpu-1")
    lab.later(asked.requested_at, seconds=3.4)
    hands.try_once()
    began = lab.see(asked)
    assert began.state is AllocationState.ACTIVE
    assert began.active_at == began.charged_to == first_second(lab.store.read(lambda tx: tx.now))
    assert [(one.step, one.done_at is not None, one.attempts) for one in lab.store.read(lambda tx: tx.allocations.steps(asked.id))] == [
        (step, True, 1) for step in PROVISION]
    [holding] = hands.on(node)
    assert (holding.user, holding.allocation, holding.open) == ("alice", asked.id, True)

    lab.later(began.active_at, minutes=30)
    lab.run(lambda tx: release_allocation(tx, asked.id, alice))
    hands.try_once()
    ended = lab.see(asked)
    assert (ended.state, ended.charged_micro) == (AllocationState.RELEASED, parse_micro("10"))
    assert hands.on(node) == [] and hands.node(node).state is NodeState.AVAILABLE
    assert hands.told(alice) == [NoticeKind.READY, NoticeKind.RELEASED]
    assert lab.broken() == {}


@pytest.mark.parametrize(("trouble", "acted"), [
    (Trouble.DROPPED, True), (Trouble.FULL, False), *(pytest.param(trouble, acted, marks=pytest.mark.long) for trouble, acted in (
        (Trouble.DROPPED, False), (Trouble.TIMED_OUT, False), (Trouble.TIMED_OUT, True), (Trouble.FAILED, False), (Trouble.FAILED, True),
        (Trouble.FULL, True), (Trouble.OCCUPIED, False), (Trouble.OCCUPIED, True)))])
def test_a_step_that_does_not_get_done_leaves_nothing_and_costs_nothing(lab: Lab, hands: Hands, trouble: Trouble, acted: bool) -> None:
    """At each step of setting up. What may pass is tried a few times first."""
    alice = lab.person("alice", "100")
    for step in PROVISION:
        node = lab.node(f"gpu-{step}")
        hands.breaks(node, trouble, step, acted)
        asked = lab.request(alice, f"gpu-{step}")
        hands.work()
        failed = lab.see(asked)
        assert (failed.state, failed.charged_micro, failed.active_at) == (AllocationState.FAILED, 0, None), step
        assert failed.reason and hands.on(node) == [], step
        assert hands.job(asked, "node.provision").attempts == (4 if trouble in (Trouble.DROPPED, Trouble.TIMED_OUT, Trouble.FAILED) else 1)
        wary = trouble in (Trouble.FULL, Trouble.OCCUPIED)
        assert hands.node(node).state is (NodeState.QUARANTINED if wary else NodeState.AVAILABLE), step
        hands.mend()
    assert hands.told(alice) == [NoticeKind.FAILED] * len(PROVISION)
    assert lab.balance("alice") == HUNDRED and lab.broken() == {}


@pytest.mark.parametrize("trouble", [Trouble.DOWN, Trouble.SILENT, Trouble.KEY_REFUSED, Trouble.HOST_KEY])
def test_a_node_that_cannot_be_reached_is_asked_for_nothing(lab: Lab, hands: Hands, trouble: Trouble) -> None:
    node, alice = lab.node("gpu-1"), lab.person("alice", "100")
    hands.breaks(node, trouble)
    asked = lab.request(alice, "gpu-1")
    hands.work()
    failed = lab.see(asked)
    assert failed.state is AllocationState.FAILED
    wary = trouble in (Trouble.KEY_REFUSED, Trouble.HOST_KEY)
    assert hands.node(node).state is (NodeState.QUARANTINED if wary else NodeState.AVAILABLE)
    assert failed.reason == ("The node is not as we know it and was taken out." if wary else "The node did not answer.")
    assert lab.store.read(lambda tx: tx.allocations.steps(asked.id)) == []
    assert lab.balance("alice") == HUNDRED and lab.broken() == {}


def test_what_passes_while_somebody_waits_is_waited_for(lab: Lab, hands: Hands) -> None:
    node, alice = lab.node("gpu-1"), lab.person("alice", "100")
    hands.breaks(node, Trouble.DROPPED, Step.KEY, acted=True)
    asked = lab.request(alice, "gpu-1")
    hands.work(2)
    assert lab.see(asked).state is AllocationState.PROVISIONING
    hands.mend()
    hands.work(1)
    assert lab.see(asked).state is AllocationState.ACTIVE and lab.broken() == {}


def test_what_it_could_not_be_cleaned_of_keeps_everybody_else_from_it(lab: Lab, hands: Hands) -> None:
    """The node goes down half way: its holder is told at once, and pays nothing."""
    node, alice = lab.node("gpu-1"), lab.person("alice", "100")
    down_after(lab, hands, Step.ACCOUNT, lambda: hands.breaks(node, Trouble.DOWN))
    asked = lab.request(alice, "gpu-1")
    hands.work()
    assert lab.see(asked).state is AllocationState.FAILED and hands.told(alice) == [NoticeKind.FAILED]
    kept = hands.node(node)
    assert kept.state is NodeState.QUARANTINED and kept.reason.startswith(f"Clean-up of {asked.id}:")
    assert lab.broken() == {}


@pytest.mark.parametrize(("acted", "draining"), [(False, True), pytest.param(True, False, marks=pytest.mark.long)])
def test_cleaning_is_tried_until_it_is_done_and_costs_nothing(lab: Lab, hands: Hands, acted: bool, draining: bool) -> None:
    """The node is kept from everybody meanwhile; then it is what it was before."""
    alice = lab.person("alice", "100")
    for step in (None, *RELEASE):
        name = f"gpu-{step or 'down'}"
        node = lab.node(name)
        taken = lab.request(alice, name)
        hands.try_once()
        if draining:
            lab.run(lambda tx, name=name: move_node(tx, name, NodeState.DRAINING, "a fan makes noise", OPERATOR))  # type: ignore[misc]
        before = hands.node(node)
        hands.breaks(node, Trouble.DROPPED if step else Trouble.DOWN, step, acted)
        stopped = lab.run(lambda tx, taken=taken: release_allocation(tx, taken.id, alice))  # type: ignore[misc]
        hands.work(3)
        assert (lab.see(taken).state, hands.node(node).state) == (AllocationState.CLEANUP_FAILED, NodeState.QUARANTINED), step
        assert hands.job(taken, "node.release").state is JobState.QUEUED
        hands.mend()
        hands.work(1)
        assert lab.see(taken).state is AllocationState.RELEASED and hands.on(node) == []
        assert lab.see(taken).charged_micro == stopped.charged_micro
        assert (hands.node(node).state, hands.node(node).reason) == (before.state, before.reason), step
    assert lab.broken() == {}


def test_a_node_that_is_quarantined_for_something_else_stays_so(lab: Lab, hands: Hands) -> None:
    node, alice = lab.node("gpu-1"), lab.person("alice", "100")
    taken = lab.request(alice, "gpu-1")
    hands.try_once()
    lab.run(lambda tx: move_node(tx, "gpu-1", NodeState.QUARANTINED, "it smells of smoke", OPERATOR))
    hands.breaks(node, Trouble.DROPPED, Step.END)
    lab.run(lambda tx: release_allocation(tx, taken.id, alice))
    hands.work(2)
    hands.mend()
    hands.work(1)
    assert lab.see(taken).state is AllocationState.RELEASED
    assert (hands.node(node).state, hands.node(node).reason) == (NodeState.QUARANTINED, "it smells of smoke")
    assert lab.broken() == {}


@pytest.mark.parametrize("after", PROVISION)
def test_one_that_is_ended_while_it_is_set_up_never_begins(lab: Lab, hands: Hands, after: Step) -> None:
    """Whoever is at it hears of it at the next step; the cleaning is a job of its own."""
    node, alice = lab.node("gpu-1"), lab.person("alice", "100")
    asked = lab.request(alice, "gpu-1")
    down_after(lab, hands, after, lambda: lab.run(lambda tx: release_allocation(tx, asked.id, alice)))
    hands.work(2)
    ended = lab.see(asked)
    assert (ended.state, ended.active_at, ended.charged_micro) == (AllocationState.RELEASED, None, 0)
    assert hands.on(node) == [] and hands.node(node).state is NodeState.AVAILABLE
    assert lab.balance("alice") == HUNDRED and lab.broken() == {}


def test_one_that_was_never_begun_leaves_its_node_alone(lab: Lab, hands: Hands) -> None:
    """Even when that is down: there is nothing to clean."""
    node, alice = lab.node("gpu-1"), lab.person("alice", "100")
    asked = lab.request(alice, "gpu-1")
    lab.run(lambda tx: release_allocation(tx, asked.id, alice))
    hands.breaks(node, Trouble.DOWN)
    hands.try_once()
    assert lab.see(asked).state is AllocationState.RELEASED and hands.node(node).state is NodeState.AVAILABLE


def test_without_a_provisioner_nobody_waits_for_ever(lab: Lab) -> None:
    bare = Hands(lab, None)  # type: ignore[arg-type]
    lab.node("gpu-1")
    alice = lab.person("alice", "100")
    asked = lab.request(alice, "gpu-1")
    bare.work(12)
    assert lab.see(asked).state is AllocationState.FAILED and lab.broken() == {}


def down_after(lab: Lab, hands: Hands, step: Step, happens: Callable[[], object]) -> None:
    """Once `step` is done, and noted by whoever does it, something happens."""
    real = lab.provisioner.provision

    def provision(node, tenancy, steps=PROVISION, told: Told = tell_nobody):  # type: ignore[no-untyped-def]
        def also(one: Step, state: StepState) -> None:
            told(one, state)
            if (one, state) == (step, StepState.DONE):
                happens()
        for one in steps:
            real(node, tenancy, (one,), also)
    lab.provisioner.provision = provision  # type: ignore[method-assign]
