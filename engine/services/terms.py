"""Ends that were agreed, and GPUs that do nothing: allocations are ended by them, and holders told beforehand, once."""

from __future__ import annotations

from engine.allocations import RUNNING, Allocation
from engine.node_watch import AGREED_END, ENDING, IDLE, Idleness
from engine.notices import NoticeKind, about_allocation
from engine.ports import Transaction
from engine.services.allocations import stop_allocation
from engine.services.lifecycle import locked_work
from engine.services.notices import tell


def end_of_term(tx: Transaction, id: str) -> bool:
    """End it where its agreed end has come, charged to that end and no further; or tell that it is near. Whether it ended."""
    work = locked_work(tx, id)
    found, until = work.allocation, work.allocation.until_at
    if until is None or found.stopped_at or not found.live:
        return False
    if until <= tx.now:
        _end(tx, stop_allocation(tx, found, AGREED_END, at=until), work.node.address.name, AGREED_END)
        return True
    begins = until - ENDING
    if begins <= tx.now and found.state in RUNNING and not tx.notices.told(about_allocation(id), NoticeKind.ENDING, begins):
        tell(tx, found.user_id, NoticeKind.ENDING, about_allocation(id),
             {"node": work.node.address.name, "until": until.isoformat()})
    return False


def attend_to_idle(tx: Transaction, idle: Idleness) -> bool:
    """End it where its GPUs did nothing for as long as was agreed; or tell, once a spell, that they do nothing. Whether it ended."""
    work = locked_work(tx, idle.allocation_id)
    found, subject = work.allocation, about_allocation(idle.allocation_id)
    if found.state not in RUNNING:
        return False
    if found.idle_minutes is not None and idle.minutes >= found.idle_minutes:
        _end(tx, stop_allocation(tx, found, IDLE), work.node.address.name, IDLE)
        return True
    if idle.minutes >= tx.settings.node_idle_notice_minutes and not tx.notices.told(subject, NoticeKind.IDLE, idle.since):
        tell(tx, found.user_id, NoticeKind.IDLE, subject,
             {"node": work.node.address.name, "minutes": idle.minutes, "release_minutes": found.idle_minutes})
    return False


def _end(tx: Transaction, ended: Allocation, node: str, reason: str) -> None:
    tell(tx, ended.user_id, NoticeKind.ENDED, about_allocation(ended.id), {"node": node, "charged": str(ended.charged), "reason": reason})
