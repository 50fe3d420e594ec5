"""`./corehours usage`: a list that says what each run used and costs."""

from __future__ import annotations

import json

from data.postgres.store import Store
from ingest.keep import keep
from tests.conftest import Corehours
from tests.usage.frames import NOON, batch, run, running


def test_the_list_the_span_and_the_totals(store: Store, corehours: Corehours) -> None:
    keep(store, batch(run(1), run(2, user_name="bob", account_name="acme", end_at=NOON - 1), running(3, 60)))
    listed = json.loads(corehours("usage", "--json").stdout)
    assert [row["job_id"] for row in listed] == ["2", "1", "3"]
    assert listed[1] == {
        "run_key": f"rig/1/{NOON - 7500}", "cluster": "rig", "job_id": "1", "user": "alice", "account": "physics",
        "partition": "gpu",
        "state": "COMPLETED", "start": "2026-11-21T10:00:00Z", "end": "2026-11-21T12:00:00Z", "cpu_core_seconds": 15_120,
        "gpu_seconds": 7200, "mem_mib_seconds": 14_336 * 7200, "extra_seconds": 0, "tier": "mu", "currency": "THB", "rate_card": "mu-v1",
        "cost_micro": 28_200_000}
    assert (listed[2]["end"], listed[2]["cost_micro"]) == (None, 0)
    before_noon = json.loads(corehours("usage", "--json", "-S", "2026-11-21", "-E", "2026-11-21T12:00:00").stdout)
    assert [row["job_id"] for row in before_noon] == ["2"]
    told = json.loads(corehours("usage", "--json", "--summary", "-u", "alice,nobody", "-E", "2026-11-21T12:00:01").stdout)
    assert (len(told["usage"]), told["totals"]["jobs"], told["totals"]["cost_micro"]) == (1, 1, 28_200_000)


def test_by_another_policy_nothing_is_stored(store: Store, corehours: Corehours) -> None:
    """Allocated: 8 core-hours, 2 GPU-hours, 32 GiB-hours at the card of mu."""
    keep(store, batch(run(1)))
    row, = json.loads(corehours("usage", "--json", "--policy", "allocated").stdout)
    assert (row["cpu_core_seconds"], row["cost_micro"]) == (4 * 7200, 8_000_000 + 10_000_000 + 16_000_000)
    row, = json.loads(corehours("usage", "--json").stdout)
    assert row["cost_micro"] == 28_200_000


def test_the_table_for_people(store: Store, corehours: Corehours) -> None:
    keep(store, batch(run(1)))
    shown = corehours("usage").stdout
    assert "28.20 THB" in shown and "4.20" in shown and "Total" in shown


def test_an_unreadable_time_is_refused(corehours: Corehours) -> None:
    answer = corehours("usage", "-S", "last tuesday")
    assert answer.returncode == 1
    assert "'last tuesday' is not like" in answer.stderr


def test_verify_and_rebuild(store: Store, corehours: Corehours) -> None:
    keep(store, batch(run(1)))
    assert json.loads(corehours("analytics", "verify", "--json").stdout) == {"ok": True, "differences": []}
    assert json.loads(corehours("analytics", "rebuild", "--json").stdout)["runs"] == 1
