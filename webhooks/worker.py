"""The hands behind the inbox: claims an event under a lease, applies it, marks it; effect and mark are one commit.

Any number of workers in any number of sidecars share one inbox. Dying at any instant loses nothing and doubles
nothing: before the commit the lease runs out and somebody applies the event again, after it there is nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from data.failpoints import hit
from data.postgres.health import TROUBLE
from data.postgres.shelves.inbox import ATTEMPTS, CHANNEL, InboxRow
from data.postgres.store import PostgresTransaction, Store
from engine.errors import NotFound
from engine.payments import ALARMS, Decision, EventKind, Outcome, ProviderEvent, ProviderTrouble, Step
from engine.ports import PaymentProvider
from engine.services.events import apply_event
from engine.services.payments import expire_payments
from engine.services.payments_together import apply_together
from webhooks.log import say
from webhooks.metrics import Metrics
from webhooks.queue_worker import QueueWorker, attempt, nobody, trace_of, words_of

ACTOR = "worker"
THREADS = 2                     # one reads and decides while the other writes
MOST = 200                      # events applied in one transaction
POLL_SECONDS = 1.0              # for what no notice told: pauses that ended, leases that ran out


class Exhausted(Exception):
    """An event that seems to kill whoever touches it."""


class Worker(QueueWorker[InboxRow]):
    """See the module."""

    def __init__(self, store: Store, providers: Mapping[str, PaymentProvider], metrics: Metrics,
                 crowded: Callable[[], bool] = nobody) -> None:
        super().__init__("inbox", store, CHANNEL, THREADS, POLL_SECONDS, crowded)
        self._providers, self._metrics = providers, metrics
        self._full = False

    def behind(self) -> bool:
        """True while there is more than one transaction takes: papers can wait for money."""
        return self._full

    def claim(self) -> list[InboxRow]:
        """New events that need no asking, many at once, and one that does, or was tried before."""
        rows = self.store.run(self._claim, actor=ACTOR)
        self._full = len(rows) >= MOST
        if rows:
            hit("inbox.claimed")
        return rows

    def _claim(self, tx: PostgresTransaction) -> list[InboxRow]:
        rows = tx.inbox.claim_new([name for name, provider in self._providers.items() if provider.signature_is_enough], MOST)
        other = tx.inbox.claim()
        rows += [other] if other else []
        tx.place = "inbox.claim" if rows else ""
        return rows

    def together(self, claimed: Sequence[InboxRow]) -> Sequence[InboxRow]:
        """Apply in one transaction what can be; where that breaks, each is applied alone, and only what is broken suffers."""
        new = [row for row in claimed if row.suits_others and row.kind == EventKind.SUCCEEDED
               and row.provider in self._providers and self._providers[row.provider].signature_is_enough]
        done: dict[int, Decision] = {}
        if new and (error := attempt(lambda: done.update(self._apply_together(new)))):
            say("inbox.apart", events=len(new), error=words_of(error))
        for row in new:
            if row.id in done:
                self._tell(row, done[row.id])
        return [row for row in claimed if row.id not in done]

    def _apply_together(self, rows: Sequence[InboxRow]) -> dict[int, Decision]:
        """What became of those that were applied, by their ids."""
        events = {row.id: self._providers[row.provider].parse_event(row.body) for row in rows}
        done = self.store.run(lambda tx: self._together(tx, rows, events), actor=ACTOR)
        if done:
            hit("inbox.processed")
        return done

    def _together(self, tx: PostgresTransaction, rows: Sequence[InboxRow], events: Mapping[int, ProviderEvent]) -> dict[int, Decision]:
        hit("inbox.applying")
        held = tx.inbox.hold_many(rows)
        decided = apply_together(tx, [events[row.id] for row in rows if row.id in held])
        done = [(row, decided[event]) for row in rows if (event := events[row.id]) in decided]
        if done:
            tx.inbox.processed_many([(row, outcome_of(decision)) for row, decision in done])
            hit("inbox.applied")
        return {row.id: decision for row, decision in done}

    def do(self, one: InboxRow) -> None:
        """Apply it."""
        if one.attempts > ATTEMPTS:
            raise Exhausted(f"It was taken {ATTEMPTS} times and nobody came back to say what happened.")
        try:
            event = self._event(one)        # may ask the provider, so before any transaction
        except ProviderTrouble as trouble:
            self._later(one, trouble)
            return
        decision = self.store.run(lambda tx: self._apply(tx, one, event), actor=ACTOR)
        hit("inbox.processed")
        if decision is not None:
            self._tell(one, decision)

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
            tx.inbox.processed(row, outcome_of(decision))
        hit("inbox.applied")
        return decision

    def _later(self, row: InboxRow, trouble: ProviderTrouble) -> None:
        """The provider could not be asked. An outage of theirs is no failure of the event: it waits."""
        if trouble.outcome is Outcome.REFUSED:
            raise trouble
        self.store.run(lambda tx: tx.inbox.hold(row) and tx.inbox.wait(row, trouble.sentence), actor=ACTOR)
        say("inbox.provider", inbox=row.id, provider=row.provider, error=trouble.sentence)

    def failed(self, one: InboxRow, error: Exception) -> None:
        """Again after a pause, or left for a person, in sight."""
        words = words_of(error)
        over = self.store.run(lambda tx: tx.inbox.failed(one, words), actor=ACTOR, place="inbox.put_off")
        self._metrics.payments.labels(one.provider, "error").inc()
        say("inbox.failed" if over else "inbox.again", inbox=one.id, attempt=one.attempts, error=words, trace=trace_of(error))

    def _tell(self, row: InboxRow, decision: Decision) -> None:
        self._metrics.applied(row.provider, decision.step)
        say("inbox.applied", inbox=row.id, provider=row.provider, key=row.event_key, step=str(decision.step), why=decision.why,
            alarm=decision.step in ALARMS | {Step.IGNORE})


def outcome_of(decision: Decision) -> str:
    """What became of an event, in plain words, for its row."""
    return f"{decision.step}: {decision.why}"


def sweep(store: Store) -> None:
    """Close payments whose time is over. Called by a timer; nothing depends on when."""
    try:
        if count := store.run(expire_payments, actor=ACTOR, place="payment.expire"):
            say("payments.expired", count=count)
    except TROUBLE as error:
        say("sweep.trouble", error=type(error).__name__)
