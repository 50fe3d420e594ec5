"""Charge what is due, a batch a transaction; stop the loop and let it go on. What is charged is decided set by set in the shelf
(its sums are engine.allocations'); who is told and what the audit keeps is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from engine.billing import DEPLETED, BillingRun, Ended, LoopState, Warned
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
    """Whose turn it is, how many a batch charges and how many batches there are at most, and what says whether the clock can be
    trusted: why not, or nothing."""

    by: str
    most: int
    batches: int
    distrust: Callable[[LoopState], str]


@dataclass(frozen=True, slots=True)
class Billed:
    """What a run did so far. `more` asks for another batch, `run` is there when the run is over and kept. `stopped` says why the loop
    was stopped just now, `was_stopped` why it had been before."""

    run_id: int = 0
    batches: int = 0
    allocations: int = 0
    last: str = ""
    depleted: int = 0
    lag_seconds: int = 0
    totals: Mapping[str, int] = field(default_factory=dict)
    more: bool = False
    run: BillingRun | None = None
    stopped: str = ""
    was_stopped: str = ""


def bill_batch(tx: Transaction, turn: Turn, before: Billed = Billed()) -> Billed:
    """Charge what is due: the first batch of a run, or the one after `before`. The first one notes that the loop turns, and begins a
    run when there is something to charge; the last one tells of wallets that run low, and ends the run."""
    state = tx.billing.loop(lock=True)
    if not state.running:
        return _over(tx, replace(before, was_stopped=state.reason))
    if why := turn.distrust(state):
        stop_billing(tx, why)
        return _over(tx, replace(before, stopped=why))
    run_id = before.run_id or tx.billing.beat(turn.by)
    if not run_id:
        return before
    billed, ended = _charged(tx, turn, replace(before, run_id=run_id))
    low = [] if billed.more else tx.billing.warn()
    tell_many(tx, [*map(_news_of_end, ended), *(news for one in low for news in _news_of_wallet(one))])
    return billed if billed.more else _over(tx, billed, warned=len(low))


def _charged(tx: Transaction, turn: Turn, before: Billed) -> tuple[Billed, list[Ended]]:
    """A batch more, and those whose wallet it emptied; one that is not full was the last."""
    claimed = tx.billing.claim(turn.most, before.last)
    if not claimed.allocations:
        return replace(before, more=False), []
    decided = tx.billing.decide()
    tx.billing.write(before.run_id)
    ended = tx.billing.stop_depleted(DEPLETED) if decided.short else []
    tx.outbox.add_many([(RELEASE_JOB, one.id, {"allocation": one.id}) for one in ended])
    tx.audit.record("allocations.charged", f"billing_run:{before.run_id}", allocations=claimed.allocations,
                    totals_micro=dict(decided.totals), depleted=[one.id for one in ended])
    totals = {currency: before.totals.get(currency, 0) + micro for currency, micro in sorted(decided.totals.items())}
    return replace(
        before, batches=before.batches + 1, allocations=before.allocations + claimed.allocations, last=claimed.last,
        depleted=before.depleted + len(ended), lag_seconds=max(before.lag_seconds, claimed.lag_seconds), totals={**before.totals, **totals},
        more=claimed.allocations == turn.most and before.batches + 1 < turn.batches), ended


def _over(tx: Transaction, billed: Billed, warned: int = 0) -> Billed:
    """Keep what became of the run, if there is one."""
    if not billed.run_id:
        return billed
    run = tx.billing.end_run(billed.run_id, batches=billed.batches, allocations=billed.allocations, depleted=billed.depleted,
                             warned=warned, totals=billed.totals, lag_seconds=billed.lag_seconds)
    return replace(billed, more=False, run=run)


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
