"""What the outbox does about allocations: set a node up for one (`node.provision`), clean it when it is over (`node.release`).

The node is called between short transactions, never inside one; each step is noted before it is asked for and when it is done. Both
jobs may be done again from the start, by anybody, at any time: each step is done once however often it is asked for, and one that
sets up is refused, by the books and by the node, once its allocation is to end.
"""

from __future__ import annotations

from data.postgres.store import PostgresTransaction
from engine.node_troubles import SETUP_CLAIMS, worth_another_try
from engine.outbox import Job, JobTrouble
from engine.ports import Provisioner
from engine.provisioning import NodeTrouble, Step, StepState, Told
from engine.services.lifecycle import (
    SetupEnded,
    Work,
    begin_setup,
    fail,
    finish_cleanup,
    finish_setup,
    give_up,
    locked_work,
    note_cleanup_trouble,
    note_step,
)
from webhooks.jobs import ACTOR, Context, Lost
from webhooks.log import say


def provision(job: Job, context: Context) -> str:
    """`node.provision`: the allocation becomes active, or it fails and leaves nothing behind."""
    id = job.word("allocation")
    work = context.store.run(lambda tx: begin_setup(tx, id), actor=ACTOR, place="node.provision.begin")
    if work.to_set_up and job.attempts > SETUP_CLAIMS:
        return _give_up(job, context, id, None)
    if work.given_up:
        return _clean_and_fail(job, context, work)
    if not work.to_set_up:
        return f"it is {work.allocation.state} already"
    try:
        context.nodes().provision(work.node.address, work.tenancy, told=_noted(job, context, id))
    except SetupEnded as ended:
        return ended.detail
    except NodeTrouble as trouble:
        if worth_another_try(trouble, job.attempts):
            raise JobTrouble(trouble.sentence) from trouble
        return _give_up(job, context, id, trouble)
    done = context.store.run(lambda tx: finish_setup(tx, id), actor=ACTOR, place="node.provision.done")
    return f"it is {done.state}"


def release(job: Job, context: Context) -> str:
    """`node.release`: nothing of the allocation is left on its node; tried again until that is so."""
    id = job.word("allocation")
    work = context.store.run(lambda tx: locked_work(tx, id), actor=ACTOR, place="node.release.begin")
    if not work.to_clean:
        return f"it is {work.allocation.state} already"
    if trouble := _cleaned(job, context, work):
        context.store.run(lambda tx: note_cleanup_trouble(tx, id, trouble), actor=ACTOR, place="node.release.trouble")
        say("node.not_cleaned", node=work.node.address.name, allocation=id, error=trouble.sentence, alarm=True)
        raise JobTrouble(trouble.sentence) from trouble
    context.store.run(lambda tx: finish_cleanup(tx, id), actor=ACTOR, place="node.release.done")
    return f"{work.node.address.name} is clean"


def _give_up(job: Job, context: Context, id: str, trouble: NodeTrouble | None) -> str:
    """Written down first: whoever comes after a death goes on with the cleaning."""
    work = context.store.run(lambda tx: give_up(tx, id, trouble), actor=ACTOR, place="node.provision.give_up")
    if not work.given_up:
        return f"it is {work.allocation.state} by now"
    say("node.not_set_up", node=work.node.address.name, allocation=id, error=trouble.sentence if trouble else work.allocation.reason,
        alarm=True)
    return _clean_and_fail(job, context, work)


def _clean_and_fail(job: Job, context: Context, work: Work) -> str:
    left = _cleaned(job, context, work)
    failed = context.store.run(lambda tx: fail(tx, work.allocation.id, left), actor=ACTOR, place="node.provision.fail")
    return f"it is {failed.state}: {failed.reason}"


def _cleaned(job: Job, context: Context, work: Work) -> NodeTrouble | None:
    """Take it off its node; what kept it there, if anything did. A node that nothing was asked of is left alone."""
    if not work.touched:
        return None
    provisioner: Provisioner = context.nodes()
    try:
        provisioner.release(work.node.address, work.tenancy, told=_noted(job, context, work.allocation.id))
    except NodeTrouble as trouble:
        return trouble
    return None


def _noted(job: Job, context: Context, id: str) -> Told:
    """Writes each step down while the job is ours. Nobody else's step is in the way: a node does one at a time."""
    def told(step: Step, state: StepState) -> None:
        context.store.run(lambda tx: _note(tx, job, id, step, state), actor=ACTOR, place="node.step")
    return told


def _note(tx: PostgresTransaction, job: Job, id: str, step: Step, state: StepState) -> None:
    if state is StepState.BEGUN and not tx.outbox.hold(job):
        raise Lost()
    note_step(tx, id, step, state)
