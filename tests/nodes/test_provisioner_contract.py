"""One contract, run against every provisioner: real sshd nodes, and the dummy in memory and in a file.

What must hold whatever breaks: nobody who was released gets in, nothing that is not ours is touched, and a step that is done
again, or late, or half, ends where it should.
"""

from __future__ import annotations

import pytest

from engine.gpu_readings import sold_as
from engine.payments import Outcome
from engine.provisioning import PROVISION, RELEASE, Holding, NodeTrouble, Step, StepState, Trouble
from tests.nodes.rigs import Guest, Rig

LOST = [(Step.ACCOUNT, False), (Step.OPEN, True), (Step.CLOSE, True), (Step.UNMARK, False)]
LOST_TOO = [(step, acted) for step in Step for acted in (False, True) if (step, acted) not in LOST]


def on(rig: Rig, guest: Guest) -> Holding:
    """What the node holds of somebody."""
    return next(found for found in rig.provisioner.inspect(rig.node) if found.user == guest.tenancy.user)


def gone(rig: Rig, guest: Guest) -> bool:
    """Nothing of somebody is left, and their key opens nothing."""
    left = [found for found in rig.provisioner.inspect(rig.node) if found.user == guest.tenancy.user and not found.at_rest]
    return not left and not rig.lets_in(guest)


def test_a_node_says_what_it_is_before_anybody_trusts_it(rig: Rig) -> None:
    assert rig.provisioner.host_key(rig.node.host, rig.node.port).same(rig.node.host_key)
    probe = rig.provisioner.probe(rig.node)
    assert (str(sold_as(probe.gpus).model), len(probe.gpus), probe.missing) == ("NVIDIA A100-SXM4-80GB", 4, ())
    assert abs(probe.clock.offset_ms) <= probe.clock.within_ms + 1, "it is this machine's clock"


def test_somebody_is_let_in_works_and_is_let_in_no_more(rig: Rig) -> None:
    guest, heard = rig.guest(), list[tuple[Step, StepState]]()
    assert not rig.lets_in(guest)
    rig.provisioner.provision(rig.node, guest.tenancy, told=lambda step, state: heard.append((step, state)))
    assert rig.lets_in(guest) and on(rig, guest).fits(guest.tenancy)
    assert on(rig, guest).key_allocations == {guest.tenancy.allocation}
    rig.works(guest)
    assert on(rig, guest).processes >= 1
    rig.provisioner.release(rig.node, guest.tenancy, told=lambda step, state: heard.append((step, state)))
    assert gone(rig, guest)
    assert heard == [(step, state) for step in PROVISION + RELEASE for state in (StepState.BEGUN, StepState.DONE)]


def test_done_twice_is_done_once_and_one_step_at_a_time_is_the_same(rig: Rig) -> None:
    guest = rig.guest()
    for step in PROVISION:
        rig.provisioner.provision(rig.node, guest.tenancy, (step,))
    rig.provisioner.provision(rig.node, guest.tenancy)
    assert rig.lets_in(guest) and len(on(rig, guest).keys) == 1
    for step in RELEASE:
        rig.provisioner.release(rig.node, guest.tenancy, (step,))
    rig.provisioner.release(rig.node, guest.tenancy)
    assert gone(rig, guest)


def test_somebody_comes_back_for_another_allocation(rig: Rig) -> None:
    first = rig.guest()
    second = first.again()
    rig.provisioner.provision(rig.node, first.tenancy)
    rig.provisioner.release(rig.node, first.tenancy)
    rig.provisioner.provision(rig.node, second.tenancy)
    rig.provisioner.release(rig.node, first.tenancy)            # told again, late
    assert rig.lets_in(second) and on(rig, second).fits(second.tenancy), "a late release is about its own allocation"
    with pytest.raises(NodeTrouble) as trouble:
        rig.provisioner.provision(rig.node, first.tenancy)
    assert (trouble.value.trouble, trouble.value.outcome, trouble.value.step) == (Trouble.OVER, Outcome.REFUSED, Step.MARK)
    rig.provisioner.release(rig.node, second.tenancy)
    assert gone(rig, second)


def test_what_was_never_there_is_gone(rig: Rig) -> None:
    guest = rig.guest()
    rig.provisioner.release(rig.node, guest.tenancy)
    with pytest.raises(NodeTrouble) as trouble:
        rig.provisioner.provision(rig.node, guest.tenancy)      # asked before the release, and late
    assert trouble.value.trouble is Trouble.OVER and not trouble.value.may_have_acted


def test_a_node_is_one_tenants(rig: Rig) -> None:
    first, second = rig.guest(), rig.guest()
    rig.provisioner.provision(rig.node, first.tenancy)
    with pytest.raises(NodeTrouble, match=first.tenancy.allocation) as trouble:
        rig.provisioner.provision(rig.node, second.tenancy)
    assert (trouble.value.trouble, trouble.value.may_have_acted) == (Trouble.OCCUPIED, False)
    assert rig.lets_in(first) and not rig.lets_in(second)
    rig.provisioner.release(rig.node, first.tenancy)


def test_a_user_that_is_not_ours_is_left_alone(rig: Rig) -> None:
    guest = rig.somebody_elses()
    for ask, first in ((rig.provisioner.provision, Step.MARK), (rig.provisioner.release, Step.CLOSE)):
        with pytest.raises(NodeTrouble) as trouble:
            ask(rig.node, guest.tenancy)
        assert (trouble.value.trouble, trouble.value.outcome, trouble.value.step) == (Trouble.FOREIGN, Outcome.REFUSED, first)
    assert not any(found.user == guest.tenancy.user for found in rig.provisioner.inspect(rig.node))


def test_a_step_without_the_mark_is_refused(rig: Rig) -> None:
    guest = rig.guest()
    for step in (Step.ACCOUNT, Step.KEY, Step.OPEN):
        with pytest.raises(NodeTrouble) as trouble:
            rig.provisioner.provision(rig.node, guest.tenancy, (step,))
        assert (trouble.value.trouble, trouble.value.step) == (Trouble.UNMARKED, step)


def test_a_key_without_its_mark_is_found_and_removed(rig: Rig) -> None:
    guest = rig.guest()
    rig.provisioner.provision(rig.node, guest.tenancy)
    rig.loses_its_mark(guest)
    found = on(rig, guest)
    assert (found.allocation, found.at_rest, set(found.key_allocations)) == ("", False, {guest.tenancy.allocation})
    rig.provisioner.release(rig.node, guest.tenancy)
    assert gone(rig, guest)


def lost(rig: Rig, step: Step, acted: bool) -> None:
    """The line breaks at a step; then the same is asked again, then all is taken back."""
    guest = rig.guest()
    ask, steps = (rig.provisioner.provision, PROVISION) if step in PROVISION else (rig.provisioner.release, RELEASE)
    if ask == rig.provisioner.release:
        rig.provisioner.provision(rig.node, guest.tenancy)
        rig.works(guest)
    rig.breaks(step, Trouble.DROPPED, acted)
    with pytest.raises(NodeTrouble) as trouble:
        ask(rig.node, guest.tenancy)
    said = trouble.value
    assert (said.trouble, said.outcome, said.step, said.done) == (Trouble.DROPPED, Outcome.UNKNOWN, step, steps[:steps.index(step)])
    rig.mend()
    ask(rig.node, guest.tenancy)
    assert rig.lets_in(guest) is (step in PROVISION)
    rig.provisioner.release(rig.node, guest.tenancy)
    assert gone(rig, guest)


@pytest.mark.parametrize(("step", "acted"), LOST)
def test_a_step_whose_answer_is_lost_is_done_again(rig: Rig, step: Step, acted: bool) -> None:
    lost(rig, step, acted)


@pytest.mark.long
@pytest.mark.parametrize(("step", "acted"), LOST_TOO)
def test_and_so_at_every_other_step(rig: Rig, step: Step, acted: bool) -> None:
    lost(rig, step, acted)


@pytest.mark.parametrize("step", [Step.ACCOUNT, Step.KEY])
def test_a_step_that_fails_can_be_taken_back(rig: Rig, step: Step) -> None:
    guest = rig.guest()
    rig.breaks(step, Trouble.FULL)
    with pytest.raises(NodeTrouble) as trouble:
        rig.provisioner.provision(rig.node, guest.tenancy)
    assert (trouble.value.trouble, trouble.value.step, trouble.value.may_have_acted) == (Trouble.FULL, step, True)
    rig.mend()
    rig.provisioner.release(rig.node, guest.tenancy)
    assert gone(rig, guest)


@pytest.mark.parametrize("trouble", [Trouble.DOWN, Trouble.SILENT, Trouble.HOST_KEY, Trouble.KEY_REFUSED])
def test_a_node_that_cannot_be_entered_was_not_changed(rig: Rig, trouble: Trouble) -> None:
    provisioner, node = rig.on_the_way(trouble)
    guest, heard = rig.guest(), list[Step]()
    for ask in (provisioner.provision, provisioner.release):
        with pytest.raises(NodeTrouble, match=node.name) as said:
            ask(node, guest.tenancy, told=lambda step, _state: heard.append(step))
        assert (said.value.trouble, said.value.step, said.value.may_have_acted) == (trouble, None, False)
        assert said.value.outcome is (Outcome.REFUSED if trouble is Trouble.HOST_KEY else Outcome.NOT_DONE)
        assert said.value.sentence.isprintable()
    assert heard == []
    for look in (provisioner.probe, provisioner.inspect, provisioner.sample):
        with pytest.raises(NodeTrouble):
            look(node)


def test_the_load_of_the_gpus_is_read(rig: Rig) -> None:
    guest = rig.guest()
    rig.provisioner.provision(rig.node, guest.tenancy)
    rig.load(87)
    assert [reading.utilisation_percent for reading in rig.provisioner.sample(rig.node)] == [87] * 4
    rig.provisioner.release(rig.node, guest.tenancy)
