"""Have a job of the outbox tried again: read, check, write, audit; one transaction."""

from __future__ import annotations

from engine.errors import NotFound
from engine.outbox import Job, JobState, check_move
from engine.policy import allow
from engine.ports import Transaction
from engine.users import Action, Person


def replay_job(tx: Transaction, id: int, by: Person) -> Job:
    """Try job `id` now, its attempts forgotten: a dead one, or one that waits for its next attempt."""
    allow(by, Action.REFUND)
    job = tx.outbox.get(id)
    if job is None:
        raise NotFound(f"No job {id} in the outbox.")
    if not tx.outbox.replay(id):
        check_move(str(id), job.state, JobState.QUEUED)
        raise NotFound(f"Job {id} cannot be tried now: a sidecar has it in hand.")
    tx.audit.record("outbox.replayed", f"outbox:{id}", kind=job.kind, key=job.key, outcome=job.outcome)
    found = tx.outbox.get(id)
    assert found is not None
    return found
