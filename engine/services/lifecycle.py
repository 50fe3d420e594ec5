"""What becomes of an allocation while a sidecar sets its node up and cleans it: each decision one short transaction, the node is
called between them and never inside.

An allocation that is being set up and has a reason is given up: it only waits for its node to be cleaned, and never begins. Locks:
the node, the allocation, the audit head last.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.allocations import Allocation, AllocationState, first_second
from engine.errors import DomainError, NotFound
from engine.node_troubles import UNDONE, cleanup_cause, distrusted, words_for_holder
from engine.nodes import Node, NodeState
from engine.notices import NoticeKind, about_allocation
from engine.ports import Transaction
from engine.provisioning import PROVISION, NodeTrouble, Step, StepState, Tenancy
from engine.services.nodes import quarantine_node
from engine.services.notices import tell
from engine.ssh_keys import parse_public_key

CLEANING = frozenset({AllocationState.STOPPING, AllocationState.CLEANUP_FAILED})


class SetupEnded(DomainError):
    """It is not to be set up any more."""

    code, status = "setup_ended", 409


@dataclass(frozen=True, slots=True)
class Work:
    """An allocation and its node; `touched` once any step was asked of the node for it."""

    allocation: Allocation
    node: Node
    touched: bool

    @property
    def tenancy(self) -> Tenancy:
        """What is put on the node."""
        return tenancy_of(self.allocation)

    @property
    def to_set_up(self) -> bool:
        """True while it is being set up and not given up."""
        return _to_set_up(self.allocation)

    @property
    def given_up(self) -> bool:
        """True when only the node has to be cleaned before it has failed."""
        return self.allocation.state is AllocationState.PROVISIONING and bool(self.allocation.reason)

    @property
    def to_clean(self) -> bool:
        """True while it is over and still on the node."""
        return self.allocation.state in CLEANING


def tenancy_of(allocation: Allocation) -> Tenancy:
    """The right of its holder on a node."""
    return Tenancy(allocation.id, allocation.tenant, parse_public_key(allocation.public_key))


def locked_work(tx: Transaction, id: str) -> Work:
    """The allocation and its node, both locked."""
    found = tx.allocations.get(id)
    node = tx.nodes.get(found.node_id, lock=True) if found else None
    allocation = tx.allocations.get(id, lock=True)
    if node is None or allocation is None:
        raise NotFound(f"No allocation {id!r}.")
    return Work(allocation, node, tx.allocations.was_touched(id))


def begin_setup(tx: Transaction, id: str) -> Work:
    """A sidecar is about to set its node up, unless it is over by now."""
    work = locked_work(tx, id)
    if work.allocation.state is not AllocationState.REQUESTED:
        return work
    return Work(tx.allocations.move(work.allocation, AllocationState.PROVISIONING, ""), work.node, work.touched)


def note_step(tx: Transaction, id: str, step: Step, state: StepState) -> None:
    """Note that a step begins or is done. One that sets up does not begin once its allocation is to end."""
    if state is StepState.BEGUN and step in PROVISION:
        found = tx.allocations.get(id, lock=True)
        if found is None or not (_to_set_up(found) or (found.active_at and not found.stopped_at)):
            raise SetupEnded(f"Allocation {id} was ended meanwhile.")
    tx.allocations.note_step(id, step, state, tx.now)


def finish_setup(tx: Transaction, id: str) -> Allocation:
    """Its node is set up: it is active from the next whole second, and charged from there. One that was ended meanwhile is not."""
    work = locked_work(tx, id)
    if not work.to_set_up:
        return work.allocation
    begun = tx.allocations.move(work.allocation, AllocationState.ACTIVE, "", active_at=first_second(tx.now))
    assert begun.active_at is not None
    address = work.node.address
    tx.audit.record("allocation.began", about_allocation(id), node=address.name, active_at=begun.active_at.isoformat())
    tell(tx, begun.user_id, NoticeKind.READY, about_allocation(id),
         {"node": address.name, "host": address.host, "port": address.port, "tenant": begun.tenant})
    return begun


def give_up(tx: Transaction, id: str, trouble: NodeTrouble | None) -> Work:
    """It cannot be set up: from here on it can only fail. Without a trouble nobody came back to say what happened."""
    work = locked_work(tx, id)
    if not work.to_set_up:
        return work
    why = words_for_holder(trouble) if trouble else UNDONE
    tx.allocations.keep_reason(work.allocation, why)
    tx.audit.record("allocation.given_up", about_allocation(id), node=work.node.address.name, why=trouble.sentence if trouble else why)
    if trouble and distrusted(trouble):
        quarantine_node(tx, work.node, trouble.sentence)
    return locked_work(tx, id)


def fail(tx: Transaction, id: str, left: NodeTrouble | None) -> Allocation:
    """One that was given up has failed, its holder is told, and nothing is charged. What may be left on the node keeps everybody
    else from it."""
    work = locked_work(tx, id)
    if not work.given_up:
        return work.allocation
    failed = tx.allocations.move(work.allocation, AllocationState.FAILED, work.allocation.reason, closed_at=tx.now)
    tx.audit.record("allocation.failed", about_allocation(id), node=work.node.address.name, reason=failed.reason,
                    left=left.sentence if left else None)
    if left is not None:
        quarantine_node(tx, work.node, f"{cleanup_cause(id)} {left.sentence}")
    tell(tx, failed.user_id, NoticeKind.FAILED, about_allocation(id), {"node": work.node.address.name, "why": failed.reason})
    return failed


def finish_cleanup(tx: Transaction, id: str) -> Allocation:
    """Nothing of it is left on its node, which goes back to where it was if this was all that kept it."""
    work = locked_work(tx, id)
    if not work.to_clean:
        return work.allocation
    released = tx.allocations.move(work.allocation, AllocationState.RELEASED, work.allocation.reason, closed_at=tx.now)
    tx.audit.record("allocation.released", about_allocation(id), node=work.node.address.name)
    tell(tx, released.user_id, NoticeKind.RELEASED, about_allocation(id),
         {"node": work.node.address.name, "charged": str(released.charged)})
    reopen_node(tx, work.node, cleanup_cause(id))
    return released


def note_cleanup_trouble(tx: Transaction, id: str, trouble: NodeTrouble) -> Allocation:
    """Its node could not be cleaned: nobody gets it, and it is tried again."""
    work = locked_work(tx, id)
    if work.allocation.state is not AllocationState.STOPPING:
        return work.allocation
    failed = tx.allocations.move(work.allocation, AllocationState.CLEANUP_FAILED, work.allocation.reason)
    tx.audit.record("allocation.cleanup_failed", about_allocation(id), node=work.node.address.name, why=trouble.sentence)
    quarantine_node(tx, work.node, f"{cleanup_cause(id)} {trouble.sentence}")
    return failed


def reopen_node(tx: Transaction, node: Node, cause: str) -> Node:
    """Take a locked node that is quarantined for `cause`, and for nothing else, back to where it was before."""
    if node.state is not NodeState.QUARANTINED or not node.reason.startswith(cause):
        return node
    to, reason = tx.nodes.before_quarantine(node.id)
    mended = tx.nodes.move(node, NodeState.MAINTENANCE, f"over: {node.reason}")
    if to in (NodeState.AVAILABLE, NodeState.DRAINING):
        mended = tx.nodes.move(mended, NodeState.AVAILABLE, reason if to is NodeState.AVAILABLE else "")
    if to is NodeState.DRAINING:
        mended = tx.nodes.move(mended, NodeState.DRAINING, reason)
    tx.audit.record("node.reopened", f"node:{node.id}", name=node.address.name, was=node.reason, to=str(mended.state))
    return mended


def _to_set_up(allocation: Allocation) -> bool:
    return allocation.state is AllocationState.PROVISIONING and not allocation.reason
