"""The hands behind the inbox: claims an event under a lease, applies it, marks it; effect and mark are one commit.

Any number of workers in any number of sidecars share one inbox. Dying at any instant loses nothing and doubles
nothing: before the commit the lease runs out and somebody applies the event again, after it there is nothing to do.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Mapping

from data.failpoints import hit
from data.postgres.health import OUTAGE, TROUBLE
from data.postgres.shelves.inbox import ATTEMPTS, InboxRow
from data.postgres.store import PostgresTransaction, Store
from engine.errors import NotFound
from engine.payments import ALARMS, Decision, Outcome, ProviderEvent, ProviderTrouble, Step
from engine.ports import PaymentProvider
from engine.services.events import apply_event
from engine.services.payments import expire_payments
from webhooks.log import say
from webhooks.metrics import Metrics

ACTOR = "worker"
POLL_SECONDS = 1.0
OUTAGE_SECONDS = 2.0
DRAIN_SECONDS = 5.0


class Exhausted(Exception):
    """An event that seems to kill whoever touches it."""


class Worker:
    """One thread that empties the inbox."""

    def __init__(self, store: Store, providers: Mapping[str, PaymentProvider], metrics: Metrics) -> None:
        self._store, self._providers, self._metrics = store, providers, metrics
        self._woken, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There is something to do."""
        self._woken.set()

    def stop(self) -> None:
        """Finish what is due, for DRAIN_SECONDS at most, then end."""
        self._stopping.set()
        self._woken.set()
        self._thread.join(DRAIN_SECONDS + 1)

    def alive(self) -> bool:
        """True while it works."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._drain(None)
            self._woken.wait(POLL_SECONDS)
            self._woken.clear()
        self._drain(time.monotonic() + DRAIN_SECONDS)

    def _drain(self, deadline: float | None) -> None:
        """Apply whatever is due, until nothing is or the deadline came."""
        try:
            while (deadline is None or time.monotonic() < deadline) and self.step():
                pass
        except OUTAGE as error:
            say("inbox.outage", error=type(error).__name__)
            self._stopping.wait(OUTAGE_SECONDS)
        except Exception as error:      # a worker that ends in silence is worse than one that says it is in trouble
            say("inbox.trouble", error=type(error).__name__, trace=traceback.format_exc(limit=-5))
            self._stopping.wait(OUTAGE_SECONDS)

    def step(self) -> bool:
        """Claim one event and apply it; False when none is due."""
        row = self._store.run(self._claim, actor=ACTOR)
        if row is None:
            return False
        hit("inbox.claimed")
        if row.attempts > ATTEMPTS:
            self._failed(row, Exhausted(f"It was taken {ATTEMPTS} times and nobody came back to say what happened."))
            return True
        try:
            event = self._event(row)        # may ask the provider, so before any transaction
            decision = self._store.run(lambda tx: self._apply(tx, row, event), actor=ACTOR)
        except OUTAGE:
            raise
        except ProviderTrouble as trouble:
            self._later(row, trouble)
            return True
        except Exception as error:
            self._failed(row, error)    # whatever one event breaks, the others go on; it ends as failed, in sight
            return True
        hit("inbox.processed")
        if decision is not None:
            self._tell(row, decision)
        return True

    def _claim(self, tx: PostgresTransaction) -> InboxRow | None:
        row = tx.inbox.claim()
        tx.place = "inbox.claim" if row else ""
        return row

    def _event(self, row: InboxRow) -> ProviderEvent:
        """What came, compared with what the provider says when it is asked."""
        if row.provider not in self._providers:
            raise NotFound(f"No provider {row.provider!r} is loaded in this sidecar.")
        provider = self._providers[row.provider]
        return provider.confirm(provider.parse_event(row.body))

    def _apply(self, tx: PostgresTransaction, row: InboxRow, event: ProviderEvent) -> Decision | None:
        hit("inbox.applying")
        if not tx.inbox.hold(row):
            return None
        decision = apply_event(tx, event, row.received_at)
        if decision.step is Step.ORPHAN:
            tx.inbox.keep_orphan(row, event.money)
        if decision.step is Step.WAIT:
            tx.inbox.wait(row, decision.why)
        else:
            tx.inbox.processed(row, f"{decision.step}: {decision.why}")
        hit("inbox.applied")
        return decision

    def _later(self, row: InboxRow, trouble: ProviderTrouble) -> None:
        """The provider could not be asked. An outage of theirs is no failure of the event: it waits."""
        if trouble.outcome is Outcome.REFUSED:
            self._failed(row, trouble)
            return
        self._store.run(lambda tx: tx.inbox.hold(row) and tx.inbox.wait(row, trouble.sentence), actor=ACTOR)
        say("inbox.provider", inbox=row.id, provider=row.provider, error=trouble.sentence)

    def _failed(self, row: InboxRow, error: Exception) -> None:
        words = f"{type(error).__name__}: {str(error).splitlines()[0][:300] if str(error) else ''}"
        over = self._store.run(lambda tx: tx.inbox.failed(row, words), actor=ACTOR, place="inbox.put_off")
        self._metrics.payments.labels(row.provider, "error").inc()
        say("inbox.failed" if over else "inbox.again", inbox=row.id, attempt=row.attempts, error=words,
            trace=traceback.format_exc(limit=-10))

    def _tell(self, row: InboxRow, decision: Decision) -> None:
        self._metrics.applied(row.provider, decision.step)
        say("inbox.applied", inbox=row.id, provider=row.provider, key=row.event_key, step=str(decision.step), why=decision.why,
            alarm=decision.step in ALARMS | {Step.IGNORE})


def sweep(store: Store) -> None:
    """Close payments whose time is over. Called by a timer; nothing depends on when."""
    try:
        if count := store.run(expire_payments, actor=ACTOR, place="payment.expire"):
            say("payments.expired", count=count)
    except TROUBLE as error:
        say("sweep.trouble", error=type(error).__name__)
