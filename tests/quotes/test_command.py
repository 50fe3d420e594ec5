"""`./corehours quote`, as people and programs call it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data.postgres.store import Store
from tests.conftest import Corehours
from tests.engine.usage_frames import run
from tests.flows.examples import bill, keep_runs

EXAMPLE = ("--cpus", "16", "--gpus", "2", "--gpu-model", "a100", "--mem", "128G", "--time", "2-00:00:00")
SCRIPT = """#!/bin/bash
#SBATCH --job-name=train
#SBATCH -c 16 --gres=gpu:a100:2
#SBATCH --mem=128G --time=2-00:00:00
srun python train.py
"""


def test_options_and_the_same_wishes_in_a_script_have_one_price(corehours: Corehours, tmp_path: Path) -> None:
    (tmp_path / "job.sh").write_text(SCRIPT)
    stated = json.loads(corehours("quote", *EXAMPLE, "--tier", "gov", "--json").stdout)
    script = json.loads(corehours("quote", str(tmp_path / "job.sh"), "--tier", "gov", "--json").stdout)
    assert stated["total_micro"] == script["total_micro"] == 9_408_000_000
    assert (stated["currency"], stated["rate_card"], stated["policy"], stated["tier"]) == ("THB", "gov-v1", "used", "gov")
    assert stated["steps"][0] == {"meter": "cpu", "what": "CPU", "quantity": "768", "unit": "core-hour", "price_micro": 3_000_000,
                                  "factor": "1", "amount_micro": 2_304_000_000, "detail": None}
    assert sum(step["amount_micro"] for step in stated["steps"]) == stated["total_micro"]
    assert stated["alternatives"][0]["saves_micro"] == stated["total_micro"] - stated["alternatives"][0]["total_micro"] > 0
    half = json.loads(corehours("quote", str(tmp_path / "job.sh"), "--tier", "gov", "--time", "24:00:00", "--json").stdout)
    assert half["total_micro"] * 2 == stated["total_micro"]


def test_people_read_steps_the_total_and_what_the_payer_owes(corehours: Corehours, store: Store) -> None:
    now = int(datetime.now(UTC).timestamp())
    keep_runs(store, run(1), run(2, run_key="c/2/now", start_at=now - 7200, end_at=now))
    bill(store, before=datetime.now(UTC) - timedelta(days=1))
    said = corehours("quote", *EXAMPLE, "-u", "alice").stdout
    assert "768 core-hours" in said and "× 1.00" in said and "At most" in said and "4,320.00" in said
    assert "Tier mu of alice, card mu-v1, policy used" in said and "half the memory (64G)" in said
    assert "alice: open receipts 28.20 THB, unbilled so far this month 28.20 THB." in said
    assert ("Wallet of alice: 0.00 THB available now; 4,320.00 THB missing; with what is owed already 4,376.40 THB missing."
            " Top up: http://") in said and "/top-up?owner=alice\n" in said
    wallet = json.loads(corehours("quote", *EXAMPLE, "-u", "alice", "--json").stdout)["wallets"][0]
    assert wallet.pop("top_up").endswith("/top-up?owner=alice")
    assert wallet == {"owner": "alice", "currency": "THB", "available_micro": 0, "frozen_micro": 0, "covers": False, "left_micro": 0,
                      "missing_micro": 4_320_000_000, "missing_with_owed_micro": 4_376_400_000}


@pytest.mark.parametrize(("words", "sentence"), [
    ((), "Say what it needs: --cpus 16"), (("--cpus", "4"), "No time is asked for"),
    (("--cpus", "four", "--time", "60"), "On the command line: --cpus 'four' is no whole number"),
    (("--cpus", "4", "--time", "60", "--mem", "4Q"), "--mem '4Q' is no size"),
    (("--cpus", "4", "--time", "60", "--tier", "gold"), "There is no rate card for tier 'gold'"),
    (("no-such.sh",), "no-such.sh cannot be read: No such file"), (("/",), "/ cannot be read: Is a directory"),
])
def test_refusals_are_one_sentence(corehours: Corehours, words: tuple[str, ...], sentence: str) -> None:
    done = corehours("quote", *words)
    assert done.returncode == 1 and sentence in done.stderr and not done.stdout and done.stderr.count("\n") == 1


def test_a_binary_is_no_script(corehours: Corehours, tmp_path: Path) -> None:
    (tmp_path / "job").write_bytes(b"\x7fELF\xff\xfe")
    assert "is no text: a job script is a text file" in corehours("quote", str(tmp_path / "job")).stderr
