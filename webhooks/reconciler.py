"""Asks providers what moved on a day and sets it beside our books: by a timer for yesterday, by hand for any day.

What is missing here is applied first, each in a transaction of its own. Nothing depends on when this runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

from data.postgres.health import TROUBLE
from data.postgres.shelves.reconciliation import Run
from data.postgres.store import PostgresTransaction, Store
from data.postgres.turns import turn_if_free
from engine.bank import NAME as BANK
from engine.errors import DomainError
from engine.outbox import Job
from engine.payments import Movement, ProviderTrouble
from engine.ports import PaymentProvider
from engine.reconciliation import DaySpan, Outcome
from engine.services.reconciliation import apply_missing, keep_day, keep_failure, missing
from webhooks.jobs import Context
from webhooks.late_payments import ask_what_became
from webhooks.log import say

ACTOR = "worker"
RECONCILING = 0x7265636F                        # the advisory lock of whichever sidecar reconciles
AGAIN = timedelta(hours=6)                      # a day that differs is looked at again after so long
DAYS = 7                                        # and for so many days
PATIENCE = timedelta(days=1)                    # a movement was heard of long ago: nothing waits for it
SILENT = frozenset({BANK})      # tell nothing by themselves: a bank's statement is compared where it is brought


def reconcile(store: Store, provider: PaymentProvider, day: date, by: str) -> Run:
    """Compare the day `day` of the site with `provider`'s books, applying what is missing here."""
    span = DaySpan.of(day, store.settings.zone)
    try:
        theirs = provider.movements(*span.wide)
    except ProviderTrouble as trouble:
        why = trouble.sentence[:300]
        return _run(store, store.run(lambda tx: keep_failure(tx, provider.name, day, why, by), actor=by))
    applied = _apply(store, provider.name, [movement for movement in theirs if span.has(movement.at)])
    number = store.run(lambda tx: keep_day(tx, provider.name, day, theirs, applied, by), actor=by, place="reconcile.keep")
    found = _run(store, number)
    say("reconciled", provider=provider.name, day=day.isoformat(), outcome=str(found.outcome), applied=applied,
        differences=len(found.lines), alarm=found.outcome is not Outcome.MATCHED)
    return found


def _apply(store: Store, provider: str, theirs: Sequence[Movement]) -> int:
    """Apply what our books have not heard; how many."""
    events = store.read(lambda tx: missing(tx, provider, theirs))
    heard = store.read(lambda tx: tx.now) - PATIENCE
    return sum(store.run(lambda tx, event=event: apply_missing(tx, event, heard), actor=ACTOR, place="reconcile.apply")  # type: ignore[misc]
               for event in events)


def _run(store: Store, number: int) -> Run:
    found = store.read(lambda tx: tx.reconciliation.get(number))
    assert found is not None
    return found


def due_days(tx: PostgresTransaction, provider: str) -> list[date]:
    """Of the last week: yesterday and the days on which no sidecar ran when nobody looked at them, those that the provider did
    not tell, and those that differed. Days before the first that was ever looked at are none of ours."""
    today = tx.now.astimezone(tx.settings.zone).date()
    days = [today - timedelta(days=back) for back in range(1, DAYS + 1)]
    first = tx.reconciliation.first_day(provider) or days[0]
    return [day for day in days if _due(tx.reconciliation.of_day(provider, day), day >= min(first, days[0]), tx.now)]


def _due(last: Run | None, ours: bool, now: datetime) -> bool:
    if last is None:
        return ours
    return last.outcome is Outcome.FAILED or (last.outcome is Outcome.DIFFERS and now - last.ran_at > AGAIN)


def reconcile_due(store: Store, providers: Mapping[str, PaymentProvider]) -> None:
    """Called by a timer, in every sidecar: one of them does it."""
    try:
        with turn_if_free(store.engine, RECONCILING) as mine:
            for provider in (one for one in providers.values() if mine and one.name not in SILENT):
                _attend_to(store, provider)
    except TROUBLE as error:
        say("reconcile.trouble", error=type(error).__name__, detail=str(error)[:300])


def _attend_to(store: Store, provider: PaymentProvider) -> None:
    """What is due with one provider; its trouble does not keep the others waiting."""
    try:
        ask_what_became(store, provider)
        for day in store.read(lambda tx: due_days(tx, provider.name)):
            reconcile(store, provider, day, ACTOR)
    except DomainError as error:
        say("reconcile.trouble", provider=provider.name, error=type(error).__name__, detail=str(error)[:300])


def reconcile_day(job: Job, context: Context) -> str:
    """The outbox's `reconcile.day`: somebody asked for a day by hand."""
    day = date.fromisoformat(job.word("day"))
    found = reconcile(context.store, context.provider(job.word("provider")), day, job.word("by"))
    return f"{found.outcome}: {found.movements} movements, {found.applied} applied, {len(found.lines)} differences"
