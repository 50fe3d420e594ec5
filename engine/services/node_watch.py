"""What follows from a look at a node: written in one short transaction after it, acted on by whoever looked, and written again.

A look can only be judged by what was true before it began: what changed while it was on its way is left to the next one. Locks: the
node, its allocation, ledger accounts in ascending id, the audit head last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.allocations import Allocation, AllocationState
from engine.node_troubles import cleanup_cause, unreachable
from engine.node_watch import FOREIGN, NO_ACCESS, OUT_OF_REACH, Found, Known, Watch, found, named
from engine.nodes import Node, NodeState
from engine.notices import NoticeKind, about_allocation
from engine.ports import Transaction
from engine.provisioning import Holding, NodeTrouble, Tenancy, Trouble
from engine.services.allocations import PROVISION_JOB, RELEASE_JOB, settle_allocation, stop_allocation
from engine.services.lifecycle import locked_work, reopen_node
from engine.services.nodes import quarantine_node
from engine.services.notices import tell

SETTING_UP = (AllocationState.REQUESTED, AllocationState.PROVISIONING)
CLEANING = (AllocationState.STOPPING, AllocationState.CLEANUP_FAILED)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done on a node now: take these tenancies off, set its holder up again."""

    node: Node
    orphans: tuple[Tenancy, ...] = ()
    repair: Allocation | None = None


def note_answer(tx: Transaction, node_id: str, looked_from: datetime, holdings: Sequence[Holding]) -> Plan:
    """It answered: this is what has to be done. An allocation that waited for it goes on, where the clock is trusted."""
    node, live = _locked(tx, node_id)
    before = tx.nodes.watch(node.id)
    tx.nodes.keep_watch(node.id, Watch(tx.now, looked_from, 0))
    node = reopen_node(tx, node, OUT_OF_REACH)
    if live and before and before.missed and live.state in CLEANING:
        tx.outbox.replay_of(RELEASE_JOB, live.id)       # not after its pause: the node is back
    seen = _found(tx, node, live, looked_from, holdings)
    if seen.foreign:
        _distrust(tx, node, f"{FOREIGN} {', '.join(seen.foreign)}")
    for orphan in seen.orphans:
        if not node.reason.startswith(cleanup_cause(orphan.allocation)):
            tx.audit.record("node.orphan_found", f"node:{node.id}", name=node.address.name, allocation=orphan.allocation, user=orphan.user)
    repair = live if live and seen.lost and not tx.allocations.changed_since(live.id, looked_from) else None
    if live and live.state is AllocationState.SUSPENDED and not seen.lost and tx.billing.loop().running:
        _resume(tx, node, live)
    return Plan(node, seen.orphans, repair)


def note_miss(tx: Transaction, node_id: str, looked_from: datetime, trouble: NodeTrouble) -> Watch:
    """It did not answer, or not as it should. Out of reach, or another than we know, it is charged to nobody."""
    node, live = _locked(tx, node_id)
    before = tx.nodes.watch(node.id) or Watch(tx.now, None, 0)
    strange = trouble.trouble is Trouble.HOST_KEY
    away = strange or unreachable(trouble)
    answered = before.answered_at if away else looked_from
    now = Watch(tx.now, answered, before.missed + 1 if away else 0, trouble.sentence)
    tx.nodes.keep_watch(node.id, now)
    if strange or not (away or trouble.trouble is Trouble.BUSY):
        _distrust(tx, node, trouble.sentence)
    elif now.away and node.state in (NodeState.AVAILABLE, NodeState.DRAINING):
        quarantine_node(tx, node, f"{OUT_OF_REACH} {trouble.sentence}")
    if live and live.state is AllocationState.ACTIVE and (strange or now.away):
        _suspend(tx, node, live, answered, trouble)
    return now


def note_orphan_gone(tx: Transaction, node_id: str, orphan: Tenancy) -> None:
    """It was taken off, and the node goes back to where it was if this was all that kept it."""
    node, _ = _locked(tx, node_id)
    tx.audit.record("node.orphan_removed", f"node:{node.id}", name=node.address.name, allocation=orphan.allocation, user=orphan.user)
    reopen_node(tx, node, cleanup_cause(orphan.allocation))


def note_orphan_stays(tx: Transaction, node_id: str, orphan: Tenancy, why: str) -> None:
    """It could not be taken off: nobody gets the node."""
    node, _ = _locked(tx, node_id)
    quarantine_node(tx, node, f"{cleanup_cause(orphan.allocation)} {why}")


def note_repaired(tx: Transaction, id: str) -> None:
    """Its holder can log in again."""
    work = locked_work(tx, id)
    tx.audit.record("allocation.repaired", about_allocation(id), node=work.node.address.name)


def note_not_repaired(tx: Transaction, id: str, why: str) -> None:
    """The node refuses to let its holder in again: the allocation ends, and somebody looks at the node."""
    work = locked_work(tx, id)
    quarantine_node(tx, work.node, why)
    if work.allocation.active_at and not work.allocation.stopped_at:
        stopped = stop_allocation(tx, work.allocation, NO_ACCESS)
        tell(tx, stopped.user_id, NoticeKind.ENDED, about_allocation(id),
             {"node": work.node.address.name, "charged": str(stopped.charged), "reason": NO_ACCESS})


def queue_anew(tx: Transaction) -> int:
    """Jobs for allocations that wait for one and have none, because it was given up or is gone; how many."""
    forgotten = tx.allocations.without_job()
    for one in forgotten:
        kind = PROVISION_JOB if one.state in SETTING_UP else RELEASE_JOB
        tx.outbox.revive(kind, one.id, {"allocation": one.id})
        tx.audit.record("allocation.queued_anew", about_allocation(one.id), state=str(one.state))
    return len(forgotten)


def _locked(tx: Transaction, node_id: str) -> tuple[Node, Allocation | None]:
    node = tx.nodes.get(node_id, lock=True)
    assert node is not None
    return node, tx.allocations.on_node(node.id, lock=True)


def _found(tx: Transaction, node: Node, live: Allocation | None, looked_from: datetime, holdings: Sequence[Holding]) -> Found:
    told = [one for id in named(holdings) if (one := tx.allocations.get(id))]
    known = {one.id: Known(one, _over_here(one, node, looked_from)) for one in told}
    earlier = {one.user: last for one in holdings if (last := tx.allocations.last_on(node.id, one.user))}
    return found(holdings, live, known, earlier, node.address.host_key)


def _over_here(allocation: Allocation, node: Node, looked_from: datetime) -> bool:
    """Whether nothing of it has any business on `node`, since before the look began."""
    return allocation.node_id != node.id or (allocation.closed_at is not None and allocation.closed_at <= looked_from)


def _distrust(tx: Transaction, node: Node, why: str) -> None:
    """Also one that is quarantined for something that passes by itself: this does not."""
    if node.state is NodeState.QUARANTINED and node.reason.startswith(OUT_OF_REACH):
        node = reopen_node(tx, node, OUT_OF_REACH)
    quarantine_node(tx, node, why)


def _suspend(tx: Transaction, node: Node, live: Allocation, answered: datetime | None, trouble: NodeTrouble) -> None:
    """Charged up to the last moment that its node answered, as the billing loop does, too."""
    settled = settle_allocation(tx, live, answered) if answered else live
    tx.allocations.move(settled, AllocationState.SUSPENDED, "Its node is out of reach.")
    tx.audit.record("allocation.suspended", about_allocation(live.id), node=node.address.name, why=trouble.sentence,
                    charged_to=settled.charged_to.isoformat() if settled.charged_to else None)
    tell(tx, live.user_id, NoticeKind.SUSPENDED, about_allocation(live.id), {"node": node.address.name})


def _resume(tx: Transaction, node: Node, live: Allocation) -> None:
    """The time that it was out of reach is a stretch that costs nothing."""
    settled = settle_allocation(tx, live, tx.now)
    assert settled.charged_to is not None and live.charged_to is not None
    free = (settled.charged_to - live.charged_to) // timedelta(seconds=1)
    tx.allocations.move(settled, AllocationState.ACTIVE, "")
    tx.audit.record("allocation.resumed", about_allocation(live.id), node=node.address.name, free_seconds=free)
    tell(tx, live.user_id, NoticeKind.RESUMED, about_allocation(live.id), {"node": node.address.name, "seconds": free})
