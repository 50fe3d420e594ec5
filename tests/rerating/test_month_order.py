"""Jobs of a month count in the order in which they ended, whoever else's stand between them."""

from __future__ import annotations

import numpy as np
import polars as pl

from data.analytics.month_order import Jobs
from engine.quick_hours import Ints


def never(_: Ints) -> pl.Series:
    """No two ended at once."""
    raise AssertionError


def test_cells_times_seconds_may_be_more_than_32_bits_hold() -> None:
    """Two payers' cells so far apart that in 32 bits their jobs would lie between each other: 2¹¹ apart, 2²¹ seconds in all."""
    cell = np.array([0, 2048, 0, 2048, 0], np.int32)
    end = np.array([0, 1, 2, 3, 2**21 - 1], np.int32)
    adds = np.array([10, 100, 20, 200, 40])
    jobs = Jobs(cell, 64, end, {"cpu": adds}, {"cpu": np.where(cell > 0, 7000, 500)})
    assert jobs.stood([], never)["cpu"].tolist() == [500, 7000, 510, 7100, 530]
