"""The hands behind the outbox: claims a job under a lease, has its handler do it, marks it.

Any number of workers in any number of sidecars share one outbox. A job is done at least once: a worker that dies after
its handler and before the mark leaves it to the next one, so a handler looks whether its work is done before it does it.
Calls to the outside lie in handlers, between transactions. A new kind of job = one handler in AT_THE_DESK, or in ON_NODES.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from data.failpoints import hit
from data.postgres.shelves.outbox import CHANNEL
from data.postgres.store import PostgresTransaction, Store
from engine.outbox import ATTEMPTS, Job, JobTrouble
from engine.payments import Outcome
from engine.ports import PaymentProvider, Provisioner
from webhooks import allocation_jobs, document_jobs, node_looks, notice_jobs, reconciler, refunds
from webhooks.jobs import ACTOR, Context, Handler, Lost
from webhooks.log import say
from webhooks.metrics import Metrics
from webhooks.queue_worker import QueueWorker, nobody, trace_of, words_of

THREADS = 2                     # a slow provider does not hold up the mail
NODE_THREADS = 4                # nor do nodes that hang: they have threads of their own
POLL_SECONDS = 2.0              # for what no notice told: pauses that ended, leases that ran out


AT_THE_DESK: dict[str, Handler] = {
    "refund.submit": refunds.submit,
    "reconcile.day": reconciler.reconcile_day,
    "document.issue": document_jobs.issue,
    "mail.send": document_jobs.send,
    "notice.send": notice_jobs.send,
}
ON_NODES: dict[str, Handler] = {
    "node.provision": allocation_jobs.provision,
    "node.release": allocation_jobs.release,
    "node.look": node_looks.look,
    "node.test": node_looks.look,
}
HANDLERS = {**AT_THE_DESK, **ON_NODES}


class OutboxWorker(QueueWorker[Job]):
    """See the module."""

    def __init__(self, store: Store, providers: Mapping[str, PaymentProvider], metrics: Metrics,
                 handlers: Mapping[str, Handler] | None = None, crowded: Callable[[], bool] = nobody,
                 provisioner: Provisioner | None = None, threads: int = THREADS) -> None:
        super().__init__("outbox", store, CHANNEL, threads, POLL_SECONDS, crowded)
        self._metrics, self._context = metrics, Context(store, providers, provisioner)
        self._handlers = HANDLERS if handlers is None else handlers

    def claim(self) -> list[Job]:
        """One job that is due."""
        job = self.store.run(self._claim, actor=ACTOR)
        return [job] if job else []

    def _claim(self, tx: PostgresTransaction) -> Job | None:
        job = tx.outbox.claim(list(self._handlers))
        tx.place = "outbox.claim" if job else ""
        return job

    def do(self, one: Job) -> None:
        """Have its handler do it, and mark it."""
        if one.attempts > ATTEMPTS:
            raise JobTrouble(f"It was taken {ATTEMPTS} times and nobody came back to say what happened.", Outcome.REFUSED)
        try:
            outcome = self._handlers[one.kind](one, self._context) or ""
        except Lost:
            return
        hit("outbox.handled")
        self.store.run(lambda tx: tx.outbox.done(one, outcome), actor=ACTOR, place="outbox.mark")
        self._metrics.jobs.labels(one.kind, "done").inc()
        say("outbox.done", job=one.id, kind=one.kind, key=one.key, outcome=outcome)

    def failed(self, one: Job, error: Exception) -> None:
        """Again after a pause, or dead, in sight."""
        words = words_of(error)
        dead = self.store.run(lambda tx: tx.outbox.failed(one, error, words), actor=ACTOR, place="outbox.put_off")
        self._metrics.jobs.labels(one.kind, "dead" if dead else "again").inc()
        say("outbox.dead" if dead else "outbox.again", job=one.id, kind=one.kind, key=one.key, attempt=one.attempts, error=words,
            alarm=dead, trace=trace_of(error))
