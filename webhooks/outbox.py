"""The hands behind the outbox: claims a job under a lease, has its handler do it, marks it.

Any number of workers in any number of sidecars share one outbox. A job is done at least once: a worker that dies after
its handler and before the mark leaves it to the next one, so a handler looks whether its work is done before it does it.
Calls to the outside lie in handlers, between transactions. A new kind of job = one handler in HANDLERS.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Mapping

from data.failpoints import hit
from data.postgres.health import OUTAGE
from data.postgres.notices import notices
from data.postgres.shelves.outbox import CHANNEL
from data.postgres.store import PostgresTransaction, Store
from engine.outbox import ATTEMPTS, Job, JobTrouble
from engine.payments import Outcome
from engine.ports import PaymentProvider
from webhooks import document_jobs, reconciler, refunds
from webhooks.jobs import ACTOR, Context, Handler, Lost
from webhooks.log import say
from webhooks.metrics import Metrics

THREADS = 2                     # a slow provider does not hold up the mail
POLL_SECONDS = 2.0              # for what no notice told: pauses that ended, leases that ran out
OUTAGE_SECONDS = 2.0
DRAIN_SECONDS = 5.0


HANDLERS: dict[str, Handler] = {
    "refund.submit": refunds.submit,
    "reconcile.day": reconciler.reconcile_day,
    "document.issue": document_jobs.issue,
    "mail.send": document_jobs.send,
}


class OutboxWorker:
    """A few threads that empty the outbox, and one that hears when there is something in it."""

    def __init__(self, store: Store, providers: Mapping[str, PaymentProvider], metrics: Metrics,
                 handlers: Mapping[str, Handler] | None = None) -> None:
        self._store, self._metrics, self._context = store, metrics, Context(store, providers)
        self._handlers = HANDLERS if handlers is None else handlers
        self._stopping = threading.Event()
        self._woken = [threading.Event() for _ in range(THREADS)]
        self._threads = [threading.Thread(target=self._run, args=(woken,), name="outbox", daemon=True) for woken in self._woken]
        self._ear = threading.Thread(target=self._listen, name="outbox ear", daemon=True)

    def start(self) -> None:
        """Begin."""
        for thread in (*self._threads, self._ear):
            thread.start()

    def wake(self) -> None:
        """There is something to do."""
        for woken in self._woken:
            woken.set()

    def stop(self) -> None:
        """Finish what is due, for DRAIN_SECONDS at most, then end."""
        self._stopping.set()
        self.wake()
        end = time.monotonic() + DRAIN_SECONDS + 1
        for thread in (*self._threads, self._ear):
            thread.join(max(0.0, end - time.monotonic()))

    def alive(self) -> bool:
        """True while it works; without its ear it is slower, not dead."""
        return all(thread.is_alive() for thread in self._threads)

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                for told in notices(self._store.engine, CHANNEL):
                    if told:
                        self.wake()
                    if self._stopping.is_set():
                        return
            except OUTAGE as error:
                say("outbox.deaf", error=type(error).__name__)
                self._stopping.wait(OUTAGE_SECONDS)

    def _run(self, woken: threading.Event) -> None:
        while not self._stopping.is_set():
            self._drain(None)
            woken.wait(POLL_SECONDS)
            woken.clear()
        self._drain(time.monotonic() + DRAIN_SECONDS)

    def _drain(self, deadline: float | None) -> None:
        """Do whatever is due, until nothing is or the deadline came."""
        try:
            while (deadline is None or time.monotonic() < deadline) and self.step():
                pass
        except OUTAGE as error:
            say("outbox.outage", error=type(error).__name__)
            self._stopping.wait(OUTAGE_SECONDS)
        except Exception as error:      # a worker that ends in silence is worse than one that says it is in trouble
            say("outbox.trouble", error=type(error).__name__, trace=traceback.format_exc(limit=-5))
            self._stopping.wait(OUTAGE_SECONDS)

    def step(self) -> bool:
        """Claim one job and do it; False when none is due."""
        job = self._store.run(self._claim, actor=ACTOR)
        if job is None:
            return False
        if job.attempts > ATTEMPTS:
            self._failed(job, JobTrouble(f"It was taken {ATTEMPTS} times and nobody came back to say what happened.", Outcome.REFUSED))
            return True
        try:
            outcome = self._handlers[job.kind](job, self._context) or ""
        except Lost:
            return True
        except OUTAGE:
            raise
        except Exception as error:
            self._failed(job, error)    # whatever one job breaks, the others go on; it ends as dead, in sight
            return True
        hit("outbox.handled")
        self._store.run(lambda tx: tx.outbox.done(job, outcome), actor=ACTOR, place="outbox.mark")
        self._metrics.jobs.labels(job.kind, "done").inc()
        say("outbox.done", job=job.id, kind=job.kind, key=job.key, outcome=outcome)
        return True

    def _claim(self, tx: PostgresTransaction) -> Job | None:
        job = tx.outbox.claim(list(self._handlers))
        tx.place = "outbox.claim" if job else ""
        return job

    def _failed(self, job: Job, error: Exception) -> None:
        words = f"{type(error).__name__}: {str(error).splitlines()[0][:300] if str(error) else ''}"
        dead = self._store.run(lambda tx: tx.outbox.failed(job, error, words), actor=ACTOR, place="outbox.put_off")
        self._metrics.jobs.labels(job.kind, "dead" if dead else "again").inc()
        say("outbox.dead" if dead else "outbox.again", job=job.id, kind=job.kind, key=job.key, attempt=job.attempts, error=words,
            alarm=dead, trace=traceback.format_exc(limit=-10))
