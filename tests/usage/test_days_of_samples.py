"""What two real clusters told, 22.05 and 26.05, by day: whatever is grouped, apportioned or cut, the days add up to the list."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from commands.usage_daily import shown
from data.postgres.store import Store
from engine.daily import GROUPS
from engine.services.daily import by_day
from engine.usage import Asked
from ingest.keep import keep
from ingest.sources.file import FileSource
from tests.conftest import Corehours
from tests.ingest.reading import SAMPLES

VERSIONS = ("slurm-22.05", "slurm-26.05")
HOURS = {"core_hours": ("cpu_core_seconds", 3600), "gpu_hours": ("gpu_seconds", 3600), "mem_gib_hours": ("mem_mib_seconds", 3600 * 1024)}
FIRST = datetime(2026, 11, 20, tzinfo=UTC)              # both were captured within these five days


def kept(store: Store, version: str) -> None:
    keep(store, FileSource(SAMPLES / version / "sacct-D-P.txt").read(None, lambda _: None))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_days_add_up_to_the_list(store: Store, corehours: Corehours, version: str) -> None:
    """By the command: jobs and micro-units exactly, hours to the millionth that each row is rounded to."""
    kept(store, version)
    listed = [row for row in json.loads(corehours("usage", "--json").stdout) if row["end"]]
    assert len(listed) > 30
    for words in ((), ("--group-by", "account"), ("--apportion", "--group-by", "user")):
        rows = json.loads(corehours("usage", "--by", "day", *words, "--json").stdout)
        group = [words[-1]] if "--group-by" in words else []
        assert all(sorted(row) == sorted(["day", *group, *HOURS, "jobs", "cost_micro"]) for row in rows)
        assert sum(row["cost_micro"] for row in rows) == sum(row["cost_micro"] for row in listed)
        assert sum(row["jobs"] for row in rows) == len(listed) or "--apportion" in words
        for name, (column, per) in HOURS.items():
            assert sum(row[name] for row in rows) == pytest.approx(sum(row[column] for row in listed) / per, abs=1e-6 * len(rows))


@pytest.mark.parametrize("version", VERSIONS)
def test_any_group_and_any_cut_adds_up(store: Store, version: str) -> None:
    """Two spans that touch hold what the whole does, grouped by anything, whole or apportioned; every group sums to its days."""
    kept(store, version)

    def sums(apportion: bool, group: str | None, since: datetime | None = None, until: datetime | None = None) -> dict[str, list[int]]:
        rows = store.read(lambda tx: by_day(tx, Asked(since, until), apportion, group))
        assert len(shown(rows, group)) == len(rows)
        days: dict[str, list[int]] = {}
        for row in rows.iter_rows(named=True):
            had = days.setdefault(str(row["day"]), [0, 0, 0, 0])
            for place, name in enumerate(("cpu_core_seconds", "gpu_seconds", "mem_mib_seconds", "cost_micro")):
                had[place] += row[name]
        return days

    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
    @given(some.booleans(), some.sampled_from([None, *GROUPS]), some.integers(0, 5 * 86_400))
    def adds_up(apportion: bool, group: str | None, seconds: int) -> None:
        whole, cut = sums(apportion, None), FIRST + timedelta(seconds=seconds)
        assert sums(apportion, group) == whole
        parts = [sums(apportion, group, None, cut), sums(apportion, group, cut, None)]
        both = {day: [sum(column) for column in zip(*(part[day] for part in parts if day in part), strict=True)]
                for day in {*parts[0], *parts[1]}}
        assert {day: row for day, row in both.items() if any(row)} == {day: row for day, row in whole.items() if any(row)}
    adds_up()
