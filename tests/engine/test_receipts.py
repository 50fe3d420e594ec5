"""A receipt's sums: exact, and an error where they fit no 64 bits."""

from __future__ import annotations

import polars as pl
import pytest

from engine.errors import MoneyError
from engine.receipts import AMOUNTS, OPEN_SCHEMA, draft
from engine.rerating import SUM_SCHEMA, added


def job(number: int, cost_micro: int) -> dict[str, object]:
    """A run that was never billed and used CPU time only."""
    return dict.fromkeys(OPEN_SCHEMA) | dict.fromkeys(AMOUNTS, 0) | {
        "usage_id": number, "revision": 1, "run_key": f"c/{number}/0", "currency": "THB", "tier": "mu", "rate_card": "mu-v1",
        "policy": "used", "cpu_micro": cost_micro, "cost_micro": cost_micro, "has_usage_line": False}


def test_the_sum_of_the_lines_is_never_a_wrapped_number() -> None:
    """Twice 2⁶² micro-units is one more than 64 bits hold; two less is fine."""
    with pytest.raises(MoneyError, match="The sum of 2 lines does not fit 64 bits"):
        draft(pl.DataFrame([job(1, 2**62), job(2, 2**62)], schema=OPEN_SCHEMA), 0)
    fits = [job(1, 2**62), job(2, 2**62 - 10_000)]
    assert draft(pl.DataFrame(fits, schema=OPEN_SCHEMA), 0).subtotal_micro == 2**63 - 10_000


def test_sums_of_a_what_if_are_never_wrapped_either() -> None:
    row = dict.fromkeys(SUM_SCHEMA, 0) | {"kind": "all", "name": "", "after_micro": 2**62}
    with pytest.raises(MoneyError, match="The sums do not fit 64 bits"):
        added([pl.DataFrame([row], schema=SUM_SCHEMA)] * 2)
