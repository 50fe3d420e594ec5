"""The product's turn of the billing loop, on a database that bench.billing_loop filled.

Prints the medians of some turns, a minute of the site's clock apart, and refuses when a promise of the books is broken after them.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from statistics import median

import sqlalchemy as sa

from bench.measure import Measured
from data.postgres.invariants import INVARIANTS, violations
from data.postgres.store import Store, connect
from data.settings import load
from webhooks.billing_loop import BillingLoop

START = datetime(2026, 11, 1, tzinfo=UTC)


def main(url: str, postmaster: int, warm_up: int, turns: int) -> str:
    """One turn a minute, measured after some that are not."""
    store = Store(connect(url), load())
    minutes = 0
    loop = BillingLoop(store, steady=lambda: minutes * 60.0, clock=lambda: START + timedelta(minutes=minutes))
    figures, charged, ended, warned = [], 0, 0, 0
    for minutes in range(warm_up + turns + 1):      # the first one has nothing to charge: it begins the loop
        _clock(store, START + timedelta(minutes=minutes))
        with Measured(postmaster) as measured:
            run = loop.turn()
        if run:
            figures.append(measured.figures)
            charged, ended, warned = charged + run.allocations, ended + run.depleted, warned + run.warned
    _check(store)
    return json.dumps({name: median(one[name] for one in figures[warm_up:]) for name in figures[0]}
                      | {"charged": charged, "depleted": ended, "warned": warned})


def _clock(store: Store, at: datetime) -> None:
    """Set the site's clock, for this process only: to put another function in its place would make the server plan all anew."""
    with store.engine.begin() as connection:
        connection.execute(sa.text("select set_config('bench.now', :at, false)"), {"at": at.isoformat()})


def _check(store: Store) -> None:
    promises = [one for one in INVARIANTS if "allocation" in one.sql or "ledger" in one.sql]
    broken = store.read(lambda tx: {one.name: where for one in promises if (where := violations(tx, one)[1])})
    broken.pop("a wallet holds what came for it and was not spent", None)       # what the benchmark put there came by no payment
    broken.pop("a confirmed adjustment is posted, no other is", None)
    if broken:
        raise AssertionError(broken)


if __name__ == "__main__":
    told = sys.stdout
    load().home.mkdir(parents=True, exist_ok=True)
    with (load().home / "log").open("w") as log:
        sys.stdout = log                # where the loop says what it does
        print(main(sys.argv[1], *map(int, sys.argv[2:])), file=told)
