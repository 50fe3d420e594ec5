"""Usage by day, read block by block: the truth, however much there is of it."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from engine.daily import apportioned, on_their_last_day, summed
from engine.ports import Transaction
from engine.usage import Asked


def by_day(tx: Transaction, asked: Asked, apportion: bool = False, group: str | None = None) -> pl.DataFrame:
    """Ended usage summed by the site's days, group and currency (see `engine.daily.summed`).

    Each run whole on the day it ended, for those that ended in the span; with `apportion` in each day by the seconds it
    ran there and in the span. What has not ended costs nothing yet and is left out.
    """
    zone, blocks = tx.settings.zone, tx.usage.ended(asked, apportion)
    if apportion:
        return summed((apportioned(runs, zone, _seconds(asked.since), _seconds(asked.until)) for runs in blocks), group)
    return summed((on_their_last_day(runs, zone) for runs in blocks), group)


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
