"""Somebody takes a node and gives it back: what is refused, what is charged, and what the ledger says before and after."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from engine.allocations import AllocationState, BadTerm, NodeTaken, TooMany
from engine.errors import IllegalMove, NotAllowed, NotFound
from engine.money import parse_micro
from engine.nodes import NodeState
from engine.policy import OPERATOR
from engine.services.allocations import change_terms, get_allocation, release_allocation, request_allocation
from engine.services.nodes import change_node, move_node
from engine.ssh_keys import BadPublicKey
from engine.users import Role
from engine.wallets import InsufficientBalance
from tests.allocations.conftest import Lab

HOUR = parse_micro("20")                    # four GPUs at 5 THB an hour, by the default card of tier mu


def test_a_node_is_charged_by_the_second_at_the_price_that_was_agreed(lab: Lab) -> None:
    """
    before   wallet of alice 100 THB, gpu_node earned 0
    90 minutes and 1 second of a node at 20 THB an hour: floor(5401 × 20 / 3600) = 30.005555 THB
    after    wallet of alice 69.994445 THB, gpu_node earned 30.005555
    """
    lab.node("gpu-1")
    alice = lab.person("alice", "100")
    taken = lab.active(alice, "gpu-1")
    assert taken.price_micro_per_hour == HOUR
    assert taken.active_at is not None

    lab.later(taken.active_at, minutes=90, seconds=1.9)
    ended = lab.run(lambda tx: release_allocation(tx, taken.id, alice))

    assert ended.state is AllocationState.STOPPING
    assert ended.charged_micro == 5401 * HOUR // 3600 == 30_005_555
    assert ended.stopped_at == ended.charged_to == taken.active_at + timedelta(seconds=5401)
    assert (lab.balance("alice"), lab.earned()) == (parse_micro("100") - 30_005_555, 30_005_555)
    assert [job.kind for job in lab.store.read(lambda tx: tx.outbox.newest())][:2] == ["node.release", "node.provision"]
    assert lab.broken() == {}


def test_an_empty_wallet_ends_the_charges_and_never_goes_below_zero(lab: Lab) -> None:
    """The wallet pays 5 hours and no second more; who was slow to stop it pays for the rest."""
    lab.node("gpu-1")
    alice = lab.person("alice", "100")
    taken = lab.active(alice, "gpu-1")
    assert taken.active_at is not None
    lab.later(taken.active_at, hours=30)
    ended = lab.run(lambda tx: release_allocation(tx, taken.id, alice))
    assert (ended.charged_micro, ended.billed_seconds, lab.balance("alice")) == (parse_micro("100"), 5 * 3600, 0)


def test_one_that_was_never_set_up_costs_nothing(lab: Lab) -> None:
    lab.node("gpu-1")
    alice = lab.person("alice", "100")
    asked = lab.request(alice, "gpu-1")
    ended = lab.run(lambda tx: release_allocation(tx, asked.id, alice))
    assert (ended.state, ended.charged_micro, lab.balance("alice")) == (AllocationState.STOPPING, 0, parse_micro("100"))


def test_a_second_click_makes_no_second_allocation(lab: Lab) -> None:
    lab.node("gpu-1")
    alice = lab.person("alice", "100")
    assert lab.request(alice, "gpu-1", request_key="form").id == lab.request(alice, "gpu-1", request_key="form").id


def test_what_is_refused(lab: Lab) -> None:
    """Each with its sentence; nothing is taken."""
    for name in ("gpu-1", "gpu-2", "gpu-3"):
        lab.node(name)
    alice, bob, poor = lab.person("alice", "100"), lab.person("bob", "100"), lab.person("poor", "19.99")
    finance = lab.person("auditor1", "100", Role.AUDITOR)
    lab.request(alice, "gpu-1")
    with pytest.raises(NodeTaken, match="in somebody's hands"):
        lab.request(bob, "gpu-1")
    with pytest.raises(InsufficientBalance, match=r"20.00 THB is needed to begin, 19.99 THB is available"):
        lab.request(poor, "gpu-2")
    with pytest.raises(NotAllowed):
        lab.request(finance, "gpu-2")
    with pytest.raises(NotFound, match="No node 'gpu-9'"):
        lab.request(bob, "gpu-9")
    with pytest.raises(BadPublicKey):
        lab.run(lambda tx: request_allocation(
            tx, "gpu-2", "ssh-ed25519 AAAA; rm -rf /", "bob", bob, "k"))
    with pytest.raises(BadTerm):
        lab.request(bob, "gpu-2", until=lab.store.read(lambda tx: tx.now) - timedelta(seconds=1))
    lab.run(lambda tx: change_node(tx, "gpu-2", OPERATOR, model="a100", per_user=1, minimum_balance_micro=None))
    with pytest.raises(TooMany, match="1 of at most 1 with a100"):
        lab.request(alice, "gpu-2")
    lab.run(lambda tx: move_node(tx, "gpu-3", NodeState.DRAINING, "a fan makes noise", OPERATOR))
    with pytest.raises(NodeTaken, match="draining"):
        lab.request(bob, "gpu-3")


def test_others_cannot_end_it_and_an_admin_says_why(lab: Lab) -> None:
    lab.node("gpu-1")
    alice, bob, admin = lab.person("alice", "100"), lab.person("bob"), lab.person("root1", role=Role.ADMIN)
    taken = lab.active(alice, "gpu-1")
    with pytest.raises(NotFound):
        lab.run(lambda tx: release_allocation(tx, taken.id, bob))
    with pytest.raises(IllegalMove, match="Say why"):
        lab.run(lambda tx: release_allocation(tx, taken.id, admin))
    with pytest.raises(IllegalMove, match="drain it first"):
        lab.run(lambda tx: move_node(tx, "gpu-1", NodeState.MAINTENANCE, "a fan makes noise", OPERATOR))
    assert lab.run(lambda tx: release_allocation(tx, taken.id, admin, "a fan makes noise")).reason == "a fan makes noise"


def test_the_end_can_be_moved_while_it_runs(lab: Lab) -> None:
    lab.node("gpu-1")
    alice = lab.person("alice", "100")
    taken = lab.active(alice, "gpu-1")
    until = lab.store.read(lambda tx: tx.now) + timedelta(days=2)
    lab.run(lambda tx: change_terms(tx, taken.id, alice, until, 120))
    assert (lab.see(taken).until_at, lab.see(taken).idle_minutes) == (until, 120)
    assert lab.store.read(lambda tx: get_allocation(tx, taken.id, alice)).holder == "alice"


@pytest.mark.parametrize(("statement", "words"), [
    ("update allocation set charged_micro = 1", "never changes"),
    ("update allocation set charged_to = charged_to + interval '1 minute'", "moves by its charges only"),
    ("update allocation set state = 'released', stopped_at = charged_to, closed_at = charged_to", "does not go from active to released"),
    ("delete from allocation", "never changes"),
    ("insert into allocation_charge select id, now(), now() + interval '60 s', 60, 0 from allocation", "begins where the one"),
    ("insert into allocation_charge select id, charged_to, charged_to + interval '60 s', 60, 7 from allocation", "floor_formula"),
    ("insert into allocation_charge select id, charged_to, charged_to + interval '60 s', 59, 7 from allocation", "billed_whole"),
    ("insert into allocation select (jsonb_populate_record(a, '{\"id\": \"alc_01234567890123456789012345\", \"request_key\": \"x\"}')).*"
     " from allocation a", "one_live_allocation_a_node"),
])
def test_the_database_says_no_as_well(lab: Lab, statement: str, words: str) -> None:
    lab.node("gpu-1")
    lab.active(lab.person("alice", "100"), "gpu-1")
    with pytest.raises(sa.exc.DBAPIError, match=words), lab.store.engine.begin() as connection:
        connection.execute(sa.text(statement.replace(":", "\\:")))
