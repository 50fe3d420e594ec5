"""What is on the nodes is set beside the books, a look a minute: orphans go, holders get back what they lack, what nobody knows keeps
the node from everybody, and a node out of reach is charged to nobody."""

from __future__ import annotations

from datetime import timedelta

import pytest

from data.ssh_keys import new_key_pair
from engine.allocations import Allocation, AllocationState
from engine.money import parse_micro
from engine.nodes import NodeState
from engine.notices import NoticeKind
from engine.outbox import JobState
from engine.policy import OPERATOR
from engine.provisioning import Step, Tenancy, Trouble
from engine.services.allocations import release_allocation
from engine.services.billing import resume_billing, stop_billing
from engine.services.lifecycle import tenancy_of
from engine.services.nodes import move_node
from tests.allocations.conftest import Lab
from tests.allocations.hands import Hands, bill
from webhooks.node_reconciler import look, look_after_nodes
from webhooks.provisioners.dummy_site import User


class Site(Hands):
    """A node that alice holds, and a minute at a time."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab, lab.provisioner)
        self.gpu, self.alice = lab.node("gpu-1"), lab.person("alice", "100")
        self.start = lab.store.read(lambda tx: tx.now).replace(microsecond=0)
        self.minutes = 0
        lab.later(self.start, minutes=0)

    def taken(self) -> Allocation:
        """Alice takes it."""
        asked = self.lab.request(self.alice, "gpu-1")
        self.try_once()
        return self.lab.see(asked)

    def wait(self, minutes: int) -> None:
        """Time passes."""
        self.minutes += minutes
        self.lab.later(self.start, minutes=self.minutes)

    def look(self, times: int = 1) -> None:
        """At all nodes, a minute apart."""
        for _ in range(times):
            self.wait(1)
            look_after_nodes(self.lab.store, self.provisioner)

    def audited(self, action: str) -> int:
        """How often that stands in the audit trail."""
        return sum(entry.action == action for entry in self.lab.store.read(lambda tx: list(tx.audit.chain())))


@pytest.fixture
def site(lab: Lab) -> Site:
    return Site(lab)


def test_what_fits_is_left_alone(site: Site) -> None:
    taken = site.taken()
    before = site.lab.store.read(lambda tx: len(list(tx.audit.chain())))
    site.look(3)
    assert site.lab.see(taken) == taken and site.lab.store.read(lambda tx: len(list(tx.audit.chain()))) == before
    assert site.lab.broken() == {}


def test_an_orphan_is_taken_off_and_the_node_is_free_again(site: Site) -> None:
    """It went down while it was set up: its allocation failed, and what was left kept everybody from it."""
    site.breaks(site.gpu, Trouble.DROPPED, Step.KEY, acted=True)
    asked = site.lab.request(site.alice, "gpu-1")
    site.work(3)
    site.breaks(site.gpu, Trouble.DOWN)
    site.work()
    assert (site.lab.see(asked).state, site.node(site.gpu).state) == (AllocationState.FAILED, NodeState.QUARANTINED)
    site.mend()
    site.look(2)
    assert site.on(site.gpu) == [] and site.node(site.gpu).state is NodeState.AVAILABLE
    assert site.audited("node.orphan_removed") == 1
    assert site.lab.balance("alice") == parse_micro("100") and site.lab.broken() == {}


@pytest.mark.parametrize("left", ["mark", "key", "account"])
def test_whatever_is_left_of_one_that_is_over_goes(site: Site, left: str) -> None:
    """Its mark, or a key of ours without a mark, or an open account without either."""
    taken = site.taken()
    site.lab.run(lambda tx: release_allocation(tx, taken.id, site.alice))
    site.try_once()
    with site.lab.provisioner.site.opened() as nodes:
        there = nodes.nodes["gpu-1"]
        if left == "mark":
            there.marks["alice"] = taken.id
        elif left == "key":
            there.users["alice"] = User(key=f"{taken.public_key} corehours:{taken.id}")
        else:
            there.users["alice"] = User(open=True)
    site.look()
    assert site.on(site.gpu) == [] and site.audited("node.orphan_removed") == 1
    assert site.node(site.gpu).state is NodeState.AVAILABLE


def test_an_orphan_that_stays_keeps_everybody_from_the_node(site: Site) -> None:
    taken = site.taken()
    site.lab.run(lambda tx: release_allocation(tx, taken.id, site.alice))
    site.try_once()
    with site.lab.provisioner.site.opened() as nodes:
        nodes.nodes["gpu-1"].marks["alice"] = taken.id
    site.breaks(site.gpu, Trouble.LEFT_OVER, Step.END)
    site.look(2)
    assert site.node(site.gpu).state is NodeState.QUARANTINED and site.audited("node.orphan_found") == 1
    site.mend()
    site.look()
    assert site.node(site.gpu).state is NodeState.AVAILABLE and site.on(site.gpu) == []


@pytest.mark.parametrize("gone", ["key", "user", "mark", "open"])
def test_a_holder_gets_back_what_they_lack(site: Site, gone: str) -> None:
    """And goes on paying: the node was theirs all along."""
    taken = site.taken()
    with site.lab.provisioner.site.opened() as nodes:
        there = nodes.nodes["gpu-1"]
        if gone == "key":
            there.users["alice"].key = ""
        elif gone == "user":
            del there.users["alice"]
        elif gone == "mark":
            del there.marks["alice"]
        else:
            there.users["alice"].open = False
    site.look()
    [holding] = site.on(site.gpu)
    assert holding.fits(tenancy_of(taken)) and site.audited("allocation.repaired") == 1
    assert site.lab.see(taken).state is AllocationState.ACTIVE
    site.look()
    assert site.audited("allocation.repaired") == 1


def test_a_holder_whom_the_node_refuses_pays_no_more(site: Site) -> None:
    """It was told that this allocation is over: nothing of it can be set up again."""
    taken = site.taken()
    site.provisioner.release(site.gpu.address, tenancy_of(taken))
    site.look()
    site.work(2)
    ended = site.lab.see(taken)
    assert (ended.state, ended.reason) == (AllocationState.RELEASED, "The node would not let its holder in again.")
    assert NoticeKind.ENDED in site.told(site.alice) and site.node(site.gpu).state is NodeState.QUARANTINED
    assert site.lab.broken() == {}


def test_what_nobody_knows_is_left_to_a_person(site: Site) -> None:
    """A tenancy that another installation might have made: nobody gets the node, and nobody is thrown off it."""
    stranger = Tenancy("alc_0000000000000000000000STRG", "mallory", new_key_pair().public)
    site.provisioner.provision(site.gpu.address, stranger)
    site.look(2)
    assert site.node(site.gpu).state is NodeState.QUARANTINED and "mallory" in site.node(site.gpu).reason
    assert len(site.on(site.gpu)) == 1 and site.audited("node.quarantined") == 1


def test_a_node_out_of_reach_is_charged_to_nobody(site: Site) -> None:
    """
    taken at 0, answers at 1, away from 2 on: at 3 it was missed twice, and is charged to minute 1
    back at 63: minutes 1 to 63 are free; released at 93: 31 minutes at 20 THB an hour are 10.333333 THB
    """
    taken = site.taken()
    site.look()
    site.breaks(site.gpu, Trouble.DOWN)
    site.look()
    assert site.lab.see(taken).state is AllocationState.ACTIVE
    site.look()
    paused = site.lab.see(taken)
    assert (paused.state, paused.billed_seconds) == (AllocationState.SUSPENDED, 60)
    assert site.node(site.gpu).state is NodeState.QUARANTINED
    site.wait(59)
    assert bill(site.lab) is None
    site.mend()
    site.look()
    back = site.lab.see(taken)
    assert (back.state, back.billed_seconds, back.charged_micro) == (AllocationState.ACTIVE, 60, parse_micro("20") // 60)
    assert back.charged_to == site.start + timedelta(minutes=63) and site.node(site.gpu).state is NodeState.AVAILABLE
    assert site.told(site.alice) == [NoticeKind.READY, NoticeKind.SUSPENDED, NoticeKind.RESUMED]
    notice = site.lab.store.read(lambda tx: tx.notices.of_user(site.alice.id))[0]
    assert notice.facts == {"node": "gpu-1", "seconds": 62 * 60}
    site.wait(30)
    ended = site.lab.run(lambda tx: release_allocation(tx, taken.id, site.alice))
    assert (ended.billed_seconds, ended.charged_micro) == (31 * 60, 10_333_333)
    assert site.lab.broken() == {}


def test_no_minute_is_charged_in_which_it_may_have_been_away(site: Site) -> None:
    """
    minute    1        2        3        4        5
    look      answers  answers  -        missed   missed
    charged   1        2        2        2        2, and suspended
    """
    taken, charged = site.taken(), []
    for minute in range(1, 6):
        if minute == 3:
            site.breaks(site.gpu, Trouble.SILENT)
            site.wait(1)
        else:
            site.look()
        bill(site.lab)
        charged.append(site.lab.see(taken).billed_seconds // 60)
    assert charged == [1, 2, 2, 2, 2] and site.lab.see(taken).state is AllocationState.SUSPENDED
    assert site.lab.balance("alice") == parse_micro("100") - parse_micro("20") * 2 // 60 and site.lab.broken() == {}


def test_a_release_after_a_missed_look_is_charged_to_the_last_answer(site: Site) -> None:
    taken = site.taken()
    site.look()
    site.wait(2)
    site.breaks(site.gpu, Trouble.DOWN)
    site.look()
    ended = site.lab.run(lambda tx: release_allocation(tx, taken.id, site.alice))
    assert (ended.billed_seconds, ended.stopped_at) == (60, site.start + timedelta(minutes=1))
    assert site.lab.broken() == {}


def test_what_nobody_looked_at_is_charged_once_the_node_answers_again(site: Site) -> None:
    """All sidecars were down for an hour."""
    taken = site.taken()
    site.look()
    site.wait(60)
    bill(site.lab)
    assert site.lab.see(taken).billed_seconds == 60
    site.look()
    bill(site.lab)
    assert site.lab.see(taken).billed_seconds == 62 * 60 and site.lab.broken() == {}


def test_one_that_is_out_of_reach_can_be_given_back(site: Site) -> None:
    """It costs nothing more, and the node is cleaned as soon as it is back."""
    taken = site.taken()
    site.look()
    site.breaks(site.gpu, Trouble.SILENT)
    site.look(2)
    site.lab.run(lambda tx: release_allocation(tx, taken.id, site.alice))
    site.work(2)
    assert site.lab.see(taken).state is AllocationState.CLEANUP_FAILED
    site.mend()
    site.look()
    site.try_once()
    ended = site.lab.see(taken)
    assert (ended.state, ended.billed_seconds) == (AllocationState.RELEASED, 60)
    assert site.node(site.gpu).state is NodeState.AVAILABLE and site.lab.broken() == {}


def test_one_that_is_back_waits_until_the_clock_is_trusted(site: Site) -> None:
    """Its free time would else end at an instant that nobody trusts."""
    taken = site.taken()
    site.look()
    site.breaks(site.gpu, Trouble.DOWN)
    site.look(2)
    site.mend()
    site.lab.run(lambda tx: stop_billing(tx, "The database's clock jumped."))
    site.look()
    assert site.lab.see(taken).state is AllocationState.SUSPENDED
    site.lab.run(lambda tx: resume_billing(tx, OPERATOR, "the clock was set right"))
    site.look()
    back = site.lab.see(taken)
    assert (back.state, back.billed_seconds) == (AllocationState.ACTIVE, 60) and back.charged_to == site.start + timedelta(minutes=5)
    assert site.lab.broken() == {}


def test_another_host_key_ends_all_trust_at_once(site: Site) -> None:
    taken = site.taken()
    site.look()
    site.breaks(site.gpu, Trouble.HOST_KEY)
    site.look()
    assert (site.lab.see(taken).state, site.node(site.gpu).state) == (AllocationState.SUSPENDED, NodeState.QUARANTINED)
    site.mend()
    site.look()
    assert (site.lab.see(taken).state, site.node(site.gpu).state) == (AllocationState.ACTIVE, NodeState.QUARANTINED)
    assert site.lab.broken() == {}


def test_a_job_that_was_given_up_is_queued_anew(site: Site) -> None:
    """A release is never given up in silence."""
    taken = site.taken()
    site.lab.run(lambda tx: release_allocation(tx, taken.id, site.alice))
    site.lab.run(lambda tx: tx.outbox.execute("update outbox set state = 'working', attempts = 24, leased_until = now()"
                                              " where kind = 'node.release'"))
    site.try_once()
    assert site.job(taken, "node.release").state is JobState.DEAD
    site.look()
    site.try_once()
    assert site.lab.see(taken).state is AllocationState.RELEASED and site.audited("allocation.queued_anew") == 1
    assert site.lab.broken() == {}


def test_what_changes_during_a_look_is_left_to_the_next_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look begins before the node is set up and ends after it: it saw nothing there, and that was right then."""
    real = site.provisioner.inspect
    asked = site.lab.request(site.alice, "gpu-1")

    def slow(node):  # type: ignore[no-untyped-def]
        seen = real(node)
        site.wait(1)
        site.try_once()
        return seen
    monkeypatch.setattr(site.provisioner, "inspect", slow)
    look(site.lab.store, site.provisioner, site.gpu)
    assert site.lab.see(asked).state is AllocationState.ACTIVE and site.audited("allocation.repaired") == 0


def test_nodes_are_looked_at_once_a_minute_by_however_many(site: Site) -> None:
    site.breaks(site.gpu, Trouble.DOWN)
    site.look()
    for _ in range(3):
        look_after_nodes(site.lab.store, site.provisioner)
    watch = site.lab.store.read(lambda tx: tx.nodes.watch(site.gpu.id))
    assert watch is not None and watch.missed == 1


def test_a_node_in_maintenance_may_be_down(site: Site) -> None:
    site.lab.run(lambda tx: move_node(tx, "gpu-1", NodeState.MAINTENANCE, "a new fan for it", OPERATOR))
    site.breaks(site.gpu, Trouble.DOWN)
    site.look(3)
    assert (site.node(site.gpu).state, site.node(site.gpu).reason) == (NodeState.MAINTENANCE, "a new fan for it")
