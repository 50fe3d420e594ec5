"""Asks providers what became of payments whose word may have been lost: money that has been on its way for long (where it never came,
no day's movements tell), and checkouts whose time has just run out (their payer need not wait for the day's comparison). The
reconciler's timer does it; nothing depends on when.
"""

from __future__ import annotations

from datetime import timedelta

from data.postgres.store import Store
from engine.payments import Outcome, Payment, ProviderEvent, ProviderTrouble, Step
from engine.ports import PaymentProvider
from engine.services.events import apply_event
from webhooks.log import say

ACTOR = "worker"
ON_ITS_WAY = timedelta(hours=1)                 # so long its webhook is waited for
JUST_EXPIRED = timedelta(hours=1)               # so long a checkout that nobody seems to have paid is asked after
LONG_AGO = timedelta(days=1)                    # nothing waits for a payment that is known


def ask_what_became(store: Store, provider: PaymentProvider) -> None:
    """What the provider says now of each such payment is applied as its webhook would be."""
    for payment in store.read(lambda tx: tx.payments.to_ask_after(provider.name, tx.now - ON_ITS_WAY, tx.now - JUST_EXPIRED)):
        try:
            event = provider.look_up(payment)
        except ProviderTrouble as trouble:
            say("payment.not_told", provider=provider.name, payment=payment.reference, detail=trouble.sentence[:300])
            if trouble.outcome is not Outcome.REFUSED:
                return                          # it is away: for the others too
        else:
            _apply(store, payment, event)


def _apply(store: Store, payment: Payment, event: ProviderEvent | None) -> None:
    if event is None:
        return
    step = store.run(lambda tx: apply_event(tx, event, tx.now - LONG_AGO).step, actor=ACTOR, place="reconcile.apply")
    if step is not Step.NOTHING:
        say("payment.looked_up", provider=payment.provider, payment=payment.reference, step=str(step))
