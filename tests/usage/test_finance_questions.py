"""The questions of `./corehours bench finance`: the product, Postgres' rows and bare DuckDB give the same answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.finance import bench_finance, p95
from bench.finance_reads import QUESTIONS, SETS
from commands.bench import BENCHES
from data.postgres.store import Store
from ingest.keep import keep
from tests.usage.frames import NOON, batch, run

ROOT = Path(__file__).resolve().parents[2]


def test_all_three_answer_alike(store: Store, installation_env: dict[str, str], tmp_path: Path) -> None:
    """Five months; the process ends with an error where two answers differ."""
    keep(store, batch(*(run(job, end_at=NOON - job * 43_200, user_name=f"user{job % 7}", account_name=f"project{job % 3}",
                            cpu_used_core_seconds=job * 977) for job in range(300))))
    asked = subprocess.run([sys.executable, "-m", "bench.finance_reads", str(tmp_path / "hive")], env=installation_env, cwd=ROOT,
                           stdout=subprocess.PIPE, check=True)
    told = json.loads(asked.stdout)
    assert [*told] == [question.name for question in QUESTIONS]
    assert {len(timed) for by_role in told.values() for timed in by_role.values()} == {SETS}


def test_of_twenty_the_nineteenth() -> None:
    assert (p95([float(number) for number in range(20, 0, -1)]), BENCHES["finance"]) == (19.0, bench_finance)
