"""Charge what is due, a batch a transaction; stop the loop and let it go on. What is charged is decided set by set in the shelf
(its sums are engine.allocations'); who is told and what the audit keeps is decided here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.billing import DEPLETED, Ended, LoopState, Warned
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
class Turn:
    """Whose turn it is, how many a batch charges at most, and what says whether the clock can be trusted: why not, or nothing."""

    by: str
    most: int
    distrust: Callable[[LoopState], str]


@dataclass(frozen=True, slots=True)
class Billed:
    """What a batch of a run did. `stopped` says why the loop is to stop, `was_stopped` why it is stopped: then nothing was charged."""

    run_id: int = 0
    allocations: int = 0
    last: str = ""
    depleted: int = 0
    lag_seconds: int = 0
    totals: tuple[tuple[str, int], ...] = ()
    stopped: str = ""
    was_stopped: str = ""


def bill_batch(tx: Transaction, turn: Turn, before: Billed | None = None) -> Billed:
    """Charge what is due: the first batch of a run, or the one after `before`. The first one notes that the loop turns, and begins a
    run when there is something to charge."""
    state = tx.billing.loop(lock=True)
    if not state.running:
        return Billed(was_stopped=state.reason)
    if why := turn.distrust(state):
        return Billed(stopped=why)
    run_id = before.run_id if before else tx.billing.beat(turn.by)
    if not run_id:
        return Billed()
    claimed = tx.billing.claim(turn.most, before.last if before else "")
    if not claimed.allocations:
        return Billed(run_id)
    decided = tx.billing.decide()
    tx.billing.write(run_id)
    ended = tx.billing.stop_depleted(DEPLETED) if decided.short else []
    tx.outbox.add_many([(RELEASE_JOB, one.id, {"allocation": one.id}) for one in ended])
    tell_many(tx, [_news_of_end(one) for one in ended])
    tx.audit.record("allocations.charged", f"billing_run:{run_id}", allocations=claimed.allocations, totals_micro=dict(decided.totals),
                    depleted=[one.id for one in ended])
    return Billed(run_id, claimed.allocations, claimed.last, len(ended), claimed.lag_seconds, tuple(sorted(decided.totals.items())))


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
