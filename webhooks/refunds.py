"""Asking providers for refunds: the handler of the outbox's `refund.submit`.

The intent is committed before the provider is asked. Whoever comes second, after an answer that was lost or a death in
between, looks first whether the provider knows the refund, and asks with the same key only when it does not.
"""

from __future__ import annotations

from engine.outbox import Job, JobTrouble
from engine.payments import Outcome, ProviderTrouble
from engine.ports import PaymentProvider
from engine.refunds import RefundAnswer, RefundOrder, RefundStatus, order_of
from engine.services.refunds import about_to_ask, answer_refund
from webhooks.jobs import ACTOR, Context

SETTLE_SECONDS = 15.0           # what a call whose answer was lost may still be doing at the provider


def submit(job: Job, context: Context) -> str:
    """Ask for the refund that the job names, once; its answer is kept in a transaction of its own."""
    refund, payment = context.store.run(lambda tx: about_to_ask(tx, job.word("refund")), actor=ACTOR, place="refund.ask")
    if refund.status is not RefundStatus.REQUESTED:
        return f"the refund is {refund.status} already"
    provider = context.provider(refund.provider)
    context.hold(job)
    answer = _answer(provider, order_of(refund, payment), asked_before=refund.asked_at is not None)
    kept = context.store.run(lambda tx: answer_refund(tx, refund.id, answer), actor=ACTOR, place="refund.answer")
    return f"{kept.status} at {kept.provider}" + (f" as {kept.provider_ref}" if kept.provider_ref else "") + (
        f": {answer.why}" if answer.why else "")


def _answer(provider: PaymentProvider, order: RefundOrder, asked_before: bool) -> RefundAnswer:
    """What the provider says; a lost answer is trouble that is worth another look later."""
    try:
        found = provider.find_refund(order) if asked_before else None
        return found or _ask(provider, order, asked_before)
    except ProviderTrouble as trouble:
        if trouble.outcome is Outcome.UNKNOWN:
            raise JobTrouble(trouble.sentence, trouble.outcome, max(SETTLE_SECONDS, trouble.retry_after_seconds or 0)) from trouble
        raise


def _ask(provider: PaymentProvider, order: RefundOrder, asked_before: bool) -> RefundAnswer:
    """Ask; a plain no is an answer too. After an earlier call a no may mean that it was done then: look once more."""
    try:
        return provider.refund(order)
    except ProviderTrouble as trouble:
        if trouble.outcome is not Outcome.REFUSED:
            raise
        found = provider.find_refund(order) if asked_before else None
        return found or RefundAnswer("", RefundStatus.FAILED, trouble.detail)
