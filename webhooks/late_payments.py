"""Asks providers what became of money that has been on its way for long: the word of its end may have been lost, and where it never
came, no day's movements tell. The reconciler's timer does it; nothing depends on when.
"""

from __future__ import annotations

from datetime import timedelta

from data.postgres.store import Store
from engine.payments import EventKind, Outcome, Payment, ProviderEvent, ProviderTrouble
from engine.ports import PaymentProvider
from engine.services.events import apply_event
from webhooks.log import say

ACTOR = "worker"
ON_ITS_WAY = timedelta(hours=1)                 # so long its webhook is waited for
LONG_AGO = timedelta(days=1)                    # nothing waits for a payment that is known


def ask_what_became(store: Store, provider: PaymentProvider) -> None:
    """What the provider says now of each payment that is long on its way is applied as its webhook would be."""
    for payment in store.read(lambda tx: tx.payments.on_their_way(provider.name, tx.now - ON_ITS_WAY)):
        try:
            event = provider.look_up(payment)
        except ProviderTrouble as trouble:
            say("payment.not_told", provider=provider.name, payment=payment.reference, detail=trouble.sentence[:300])
            if trouble.outcome is not Outcome.REFUSED:
                return                          # it is away: for the others too
        else:
            _apply(store, payment, event)


def _apply(store: Store, payment: Payment, event: ProviderEvent | None) -> None:
    if event is None or event.kind is EventKind.PROCESSING:
        return
    step = store.run(lambda tx: apply_event(tx, event, tx.now - LONG_AGO).step, actor=ACTOR, place="reconcile.apply")
    say("payment.looked_up", provider=payment.provider, payment=payment.reference, step=str(step))
