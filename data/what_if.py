"""What draft cards would make of a period, answered from where it is quickest: the analytics copy, for what stands on receipts
Postgres; all of it from Postgres where the copy is behind or cannot tell.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

import duckdb

from data.analytics import what_if
from data.postgres.store import PostgresTransaction, Store
from engine.policy import allow
from engine.quick_prices import Wide
from engine.rates import RateCard
from engine.rerating import Drafted, Effect, added, drafted
from engine.services.rerating import receipted, shadow
from engine.users import Action, Person

log = logging.getLogger(__name__)


def tried(store: Store, drafts: Sequence[RateCard], since: datetime | None, until: datetime | None, by: Person, *,
          dated: bool = False, most_receipted: int | None = None, progress: Callable[[float], None] = what_if.silent) -> Effect:
    """`shadow` over [since, until), to the micro-unit the same. Where more than `most_receipted` jobs may stand on receipts
    they are not told apart: reading them takes longer than a page may. `progress` is told the share that is done."""
    allow(by, Action.SEE_FINANCE)

    def read(tx: PostgresTransaction) -> tuple[Drafted, bool, int]:
        return drafted(tx.rates.book(), drafts, dated), not tx.lake.pending(), tx.rerating.receipted_at_most(since)

    new, whole, billed = store.read(read)
    if not whole:
        return store.read(lambda tx: shadow(tx, drafts, since, until, by, dated))
    try:
        sums = what_if.what_if(store.lake, new, since, until, progress)
    except (duckdb.Error, OSError, Wide) as error:
        log.info("The analytics copy cannot say what if: %s", store.lake.plain(error))
        return store.read(lambda tx: shadow(tx, drafts, since, until, by, dated))
    known = most_receipted is None or billed <= most_receipted
    if billed and known:
        sums = added([sums, store.read(lambda tx: receipted(tx, new, since, until))])
    return Effect(tuple(new.names), new.currency, since, until, sums, known)
