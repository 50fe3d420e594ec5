"""A card gives five core-hours a month for nothing. Whatever order jobs are told in, the month costs the same; what is on a
receipt stays there, and the next one carries the difference.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from data.postgres.store import Store
from engine.policy import OPERATOR
from engine.rate_text import cards_from_text
from engine.services.payers import set_tier
from engine.services.rates import publish_cards
from engine.services.usage import used
from engine.usage import Asked
from tests.engine.usage_frames import ENDED, run
from tests.flows.examples import bill, books, broken, keep_runs

HOUR = 3600
QUOTA = """
tier: mu
currency: THB
valid_from: 2026-09-01
policy: used
rounding: per_job_minor
prices: {cpu: {price: 2, free: 5}, gpu: 0, mem: 0}
"""


def job(number: int, core_hours: int, ended: int = ENDED, **told: object) -> dict[str, object]:
    """A run that used so many core-hours."""
    return run(number, cpu_used_core_seconds=core_hours * HOUR, end_at=ended, start_at=ended - 7200, **told)


@pytest.fixture
def quota(store: Store) -> Store:
    store.run(lambda tx: publish_cards(tx, cards_from_text(QUOTA), OPERATOR), actor="operator")
    return store


def costs(store: Store) -> dict[str, int]:
    """Baht by job id."""
    rows = store.read(lambda tx: tx.connection.exec_driver_sql("select job_id, cost_micro from usage_record order by 1").all())
    return {row.job_id: row.cost_micro // 1_000_000 for row in rows}


def test_the_first_five_core_hours_cost_nothing(quota: Store) -> None:
    keep_runs(quota, job(1, 3, ENDED), job(2, 4, ENDED + HOUR), job(3, 2, ENDED + 2 * HOUR))
    assert costs(quota) == {"1": 0, "2": 4, "3": 4}
    assert broken(quota) == []


def test_batches_in_any_order_make_the_same_month(quota: Store) -> None:
    """Nine core-hours, five free: eight baht, and the same baht for each job, whoever came first."""
    jobs = [job(number, hours, ENDED + number * HOUR) for number, hours in ((1, 3), (2, 4), (3, 2))]
    random.Random(7).shuffle(jobs)
    for one in jobs:
        keep_runs(quota, one)
    assert costs(quota) == {"1": 0, "2": 4, "3": 4}
    assert broken(quota) == []


def test_a_late_job_moves_what_was_billed_into_an_adjustment(quota: Store) -> None:
    keep_runs(quota, job(2, 6, ENDED + HOUR))
    first = bill(quota)
    assert first.total_micro == 2_000_000
    before = books(quota)
    keep_runs(quota, job(1, 4, ENDED))                  # it ended earlier: the free hours were its own
    assert costs(quota) == {"1": 0, "2": 10}
    assert books(quota) == before
    second = bill(quota)
    lines = quota.read(lambda tx: tx.receipts.lines(second.id))
    assert lines.select("job_id", "kind", "cost_micro").rows() == [("1", "usage", 0), ("2", "adjustment", 8_000_000)]
    assert broken(quota) == []


def test_a_correction_into_the_next_month_counts_there(quota: Store) -> None:
    month = 31 * 86_400
    keep_runs(quota, job(1, 5, ENDED), job(2, 5, ENDED + HOUR))
    assert costs(quota) == {"1": 0, "2": 10}
    keep_runs(quota, job(1, 5, ENDED + month))
    assert costs(quota) == {"1": 0, "2": 0}
    assert broken(quota) == []


def test_by_another_policy_a_month_is_priced_whole_whichever_of_it_is_asked_for(quota: Store) -> None:
    """Set aside are 8 core-hours a job: five free with the first, so the second costs 16 whether the first is asked for or not."""
    keep_runs(quota, job(1, 3, ENDED), job(2, 4, ENDED + HOUR), job(3, 2, ENDED + 2 * HOUR), job(4, 1, ENDED, user_name="bob"))
    second = datetime.fromtimestamp(ENDED + 1, UTC)
    for asked, made in ((Asked(policy="allocated"), {"1": 6, "2": 16, "3": 16, "4": 6}),
                        (Asked(policy="allocated", since=second, until=second + timedelta(hours=1)), {"2": 16}),
                        (Asked(policy="allocated", limit=1), {"3": 16}), (Asked(policy="allocated", users=("bob",)), {"4": 6}),
                        (Asked(policy="used", limit=1), {"3": 4})):
        rows = quota.read(lambda tx: used(tx, asked))            # noqa: B023
        assert {row["job_id"]: row["cost_micro"] // 1_000_000 for row in rows.iter_rows(named=True)} == made


def test_another_tier_and_back(quota: Store) -> None:
    keep_runs(quota, job(1, 3, ENDED), job(2, 4, ENDED + HOUR))
    for tier in ("gov", "mu"):
        quota.run(lambda tx: set_tier(tx, "alice", tier, OPERATOR), actor="operator")       # noqa: B023
    assert costs(quota) == {"1": 0, "2": 4}
    assert broken(quota) == []
