"""Charge what is due, a batch a transaction; stop the loop and let it go on. What is charged is decided set by set in the shelf
(its sums are engine.allocations'); who is told and what the audit keeps is decided here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from engine.billing import DEPLETED, Ended, Warned
from engine.errors import IllegalMove
from engine.money import Money
from engine.notices import News, NoticeKind, about_allocation, about_wallet
from engine.policy import allow
from engine.ports import Transaction
from engine.services.allocations import RELEASE_JOB
from engine.services.notices import tell_many
from engine.users import Action, Person
from engine.wallets import check_reason


@dataclass(frozen=True, slots=True)
class Billed:
    """What a batch did. `stopped` says why the loop is stopped; then nothing was charged."""

    allocations: int = 0
    last: str = ""
    depleted: int = 0
    lag_seconds: int = 0
    totals: tuple[tuple[str, int], ...] = ()
    stopped: str = ""


def bill_batch(tx: Transaction, run_id: int, most: int, after: str, distrust: Callable[[datetime], str]) -> Billed:
    """Charge up to `most` allocations with ids above `after` that are due, unless the loop is stopped or `distrust` says why its
    clock cannot be trusted."""
    state = tx.billing.loop(lock=True)
    if not state.running:
        return Billed(stopped=state.reason)
    claimed = tx.billing.claim(most, after)
    if not claimed.allocations:
        return Billed()
    if why := distrust(tx.now):
        return Billed(stopped=why)
    tx.billing.decide()
    totals = tx.billing.write(run_id)
    ended = tx.billing.stop_depleted(DEPLETED)
    tx.outbox.add_many([(RELEASE_JOB, one.id, {"allocation": one.id}) for one in ended])
    tell_many(tx, [_news_of_end(one) for one in ended])
    tx.audit.record("allocations.charged", f"billing_run:{run_id}", allocations=claimed.allocations, totals_micro=dict(totals),
                    depleted=[one.id for one in ended])
    return Billed(claimed.allocations, claimed.last, len(ended), claimed.lag_seconds, tuple(sorted(totals.items())))


def warn_of_runway(tx: Transaction) -> int:
    """Tell who holds nodes by a wallet that came under a level since they were last told; how many wallets those are. A level is a
    state: what one turn had no time to say, the next one says."""
    warned = tx.billing.warn()
    tell_many(tx, [news for low in warned for news in _news_of_wallet(low)])
    return len(warned)


def _news_of_end(one: Ended) -> News:
    return News(one.user_id, NoticeKind.DEPLETED, about_allocation(one.id),
                {"node": one.node, "wallet": one.wallet, "charged": str(Money(one.charged_micro, one.currency))})


def _news_of_wallet(low: Warned) -> list[News]:
    facts = {"wallet": low.wallet, "available": str(Money(low.available_micro, low.currency)),
             "burn": str(Money(low.burn_micro_per_hour, low.currency))}
    return [News(user_id, low.kind, about_wallet(low.wallet), facts) for user_id in low.user_ids]


def stop_billing(tx: Transaction, reason: str) -> bool:
    """Stop the loop in every sidecar, loudly; False when it was stopped already."""
    stopped = tx.billing.stop_loop(tx.now, reason)
    if stopped:
        tx.audit.record("billing.stopped", "billing_loop", reason=reason)
    return stopped


def resume_billing(tx: Transaction, by: Person, reason: str) -> None:
    """Let the loop go on: somebody looked at the clocks. All that ran meanwhile is charged by the clock as it is now."""
    allow(by, Action.MANAGE_NODES)
    why = check_reason(reason)
    was = tx.billing.loop()
    if not tx.billing.resume_loop(tx.now):
        raise IllegalMove("The billing loop is not stopped.")
    tx.audit.record("billing.resumed", "billing_loop", reason=why, was=was.reason)
