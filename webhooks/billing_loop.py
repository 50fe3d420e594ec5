"""The billing loop: each turn charges all that is due, in batches, as long as its clock can be trusted.

The timer only wakes it. Any number of sidecars may turn: one charges at a time, a batch each, and what one leaves behind when it dies
the next one charges. The database's clock decides; the machine's monotonic one watches it.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from data.postgres.health import TROUBLE
from data.postgres.store import Store
from engine.billing import BillingRun, LoopState, Reading, distrust, distrust_at_start
from engine.services.billing import Billed, Turn, bill_batch, stop_billing, warn_of_runway
from webhooks.log import say

ACTOR = "billing"
BATCH = 5_000
TURN_BATCHES = 1_000


def here() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


class BillingLoop:
    """One a sidecar. `steady` only goes forward, in seconds; `clock` is this machine's."""

    def __init__(self, store: Store, batch: int = BATCH, steady: Callable[[], float] = time.monotonic,
                 clock: Callable[[], datetime] = here) -> None:
        self._store, self._batch, self._steady, self._clock = store, batch, steady, clock
        self._last: Reading | None = None
        self._resumed = False
        self._by = f"{socket.gethostname()[:64]}:{os.getpid()}"

    def turn(self) -> BillingRun | None:
        """Charge what is due; None when nothing was, or the loop is stopped, or the database is away. Called by a timer."""
        try:
            return self._turn()
        except TROUBLE as error:
            say("billing.trouble", error=type(error).__name__, detail=str(getattr(error, "orig", error))[:300], alarm=True)
            return None

    def _turn(self) -> BillingRun | None:
        """Batches until nothing is due; a batch that is not full was the last."""
        done = [self._batch_of(None)]
        while done[-1].allocations == self._batch and len(done) < TURN_BATCHES:
            done.append(self._batch_of(done[-1]))
        stopped = self._heed(done[-1])
        return self._end(done[0].run_id, [one for one in done if one.allocations], stopped) if done[0].run_id else None

    def _heed(self, last: Billed) -> bool:
        """Whether the loop is to be stopped, which is done, or was stopped already."""
        if last.stopped:
            self._stop(last.stopped)
        elif last.was_stopped:
            self._last, self._resumed = None, True
            say("billing.stopped", reason=last.was_stopped, alarm=True)
        return bool(last.stopped or last.was_stopped)

    def _batch_of(self, before: Billed | None) -> Billed:
        turn = Turn(self._by, self._batch, self._distrust)
        return self._store.run(lambda tx: bill_batch(tx, turn, before), actor=ACTOR, place="billing.charge")

    def _distrust(self, state: LoopState) -> str:
        """Why the site's clock cannot be trusted at this moment. What was read well is the next one's measure."""
        now = Reading(state.at, self._steady())
        if self._last is None and not self._resumed:
            why = distrust_at_start(state.at, self._clock(), state.beat_at)
        else:
            why = distrust(now, self._last)
        if not why:
            self._last, self._resumed = now, False
        return why

    def _stop(self, why: str) -> None:
        stopped = self._store.run(lambda tx: stop_billing(tx, why), actor=ACTOR, place="billing.stop")
        self._last = None
        if stopped:
            say("billing.stopped", reason=why, alarm=True)

    def _end(self, run_id: int, done: list[Billed], stopped: bool) -> BillingRun:
        """Tell of wallets that run low, and note what became of the run."""
        totals: Counter[str] = Counter()
        for billed in done:
            totals.update(dict(billed.totals))
        lag = max((one.lag_seconds for one in done), default=0)
        run = self._store.run(lambda tx: tx.billing.end_run(
            run_id, batches=len(done), allocations=sum(one.allocations for one in done), depleted=sum(one.depleted for one in done),
            warned=0 if stopped else warn_of_runway(tx), totals=totals, lag_seconds=lag), actor=ACTOR, place="billing.warn")
        say("billing.charged", run=run.id, allocations=run.allocations, depleted=run.depleted, warned=run.warned, totals=dict(totals),
            lag_seconds=run.lag_seconds)
        return run
