"""The billing loop: each turn charges all that is due, in batches, as long as its clock can be trusted.

The timer only wakes it. Any number of sidecars may turn: one charges at a time, a batch each, and what one leaves behind when it dies
the next one charges. The database's clock decides; the machine's monotonic one watches it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime

from data.postgres.health import TROUBLE
from data.postgres.store import PostgresTransaction, Store
from engine.billing import BillingRun, LoopState, Reading, distrust, distrust_at_start
from engine.services.billing import Billed, Turn, bill_batch
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
        """Batches until nothing is due."""
        billed = self._batch_after(Billed())
        while billed.more:
            billed = self._batch_after(billed)
        if billed.stopped or billed.was_stopped:
            self._last, self._resumed = None, bool(billed.was_stopped)
            say("billing.stopped", reason=billed.stopped or billed.was_stopped, alarm=True)
        return _told(billed.run)

    def _batch_after(self, before: Billed) -> Billed:
        turn = Turn(self._by, self._batch, TURN_BATCHES, self._distrust)

        def bill(tx: PostgresTransaction) -> Billed:
            billed = bill_batch(tx, turn, before)
            tx.place = "billing.stop" if billed.stopped else "billing.charge"
            return billed
        return self._store.run(bill, actor=ACTOR)

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


def _told(run: BillingRun | None) -> BillingRun | None:
    if run:
        say("billing.charged", run=run.id, allocations=run.allocations, depleted=run.depleted, warned=run.warned, totals=dict(run.totals),
            lag_seconds=run.lag_seconds)
    return run
