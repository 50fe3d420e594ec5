"""The first bill on the command line: a file of sacct lines becomes usage, a price, a receipt; every cent adds up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Corehours

HEAD = ("JobIDRaw|JobID|Cluster|User|Account|Partition|QOS|JobName|State|Submit|Start|End|Elapsed|ElapsedRaw|TotalCPU|ReqTRES|AllocTRES"
        "|AveRSS")
WHEN = "2026-10-05T08:00:00|2026-10-05T08:00:00|2026-10-05T10:00:00|02:00:00|7200"
GOLDEN = f"""{HEAD}
7|7|c1|alice|physics|gpu|normal|train|COMPLETED|{WHEN}|04:12:00|billing=4,cpu=4,gres/gpu=1,mem=16G|billing=4,cpu=4,gres/gpu=1,mem=16G|
7.batch|7.batch|c1||physics|||batch|COMPLETED|{WHEN}|01:12:00||cpu=4,gres/gpu=1,mem=16G|6G
7.0|7.0|c1||physics|||python|COMPLETED|{WHEN}|03:00:00||cpu=4,gres/gpu=1,mem=16G|8G
"""


@pytest.fixture
def golden(tmp_path: Path) -> str:
    """The golden case as sacct prints it."""
    file = tmp_path / "golden.txt"
    file.write_text(GOLDEN, encoding="utf-8")
    return str(file)


def answer(corehours: Corehours, *words: str, code: int = 0) -> Any:
    """What a command prints as JSON; its exit code is checked."""
    done = corehours(*words, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_a_golden_file_becomes_a_receipt(corehours: Corehours, golden: str) -> None:
    assert corehours("accounts", "set-tier", "alice", "gov").returncode == 0
    taken = answer(corehours, "ingest", "slurm", "--file", golden)
    assert {key: taken[key] for key in ("source", "lines", "jobs", "new", "changed", "unchanged", "rejected")} == {
        "source": "file", "lines": 3, "jobs": 1, "new": 1, "changed": 0, "unchanged": 0, "rejected": []}

    [used] = answer(corehours, "usage")
    assert used["cost_micro"] == 60_600_000
    assert {key: used[key] for key in ("user", "account", "state", "tier", "currency", "rate_card", "cpu_core_seconds", "gpu_seconds",
                                       "mem_mib_seconds", "end")} == {
        "user": "alice", "account": "physics", "state": "COMPLETED", "tier": "gov", "currency": "THB", "rate_card": "gov-v1",
        "cpu_core_seconds": 15_120, "gpu_seconds": 7200, "mem_mib_seconds": 28 * 1024 * 3600, "end": "2026-10-05T10:00:00Z"}
    assert answer(corehours, "usage", "--policy", "allocated")[0]["cost_micro"] == 76_000_000

    receipt = answer(corehours, "receipts", "create", "-u", "alice", "--before", "2026-11-01")
    assert (receipt["total_micro"], receipt["status"], receipt["currency"]) == (60_600_000, "pending", "THB")
    assert [line["run_key"] for line in receipt["lines"]] == [used["run_key"]]
    assert answer(corehours, "receipts", "show", receipt["number"]) == receipt
    assert [other["number"] for other in answer(corehours, "receipts", "list")] == [receipt["number"]]

    checked = answer(corehours, "check")
    assert checked["ok"] and all(invariant["violations"] == 0 for invariant in checked["invariants"])
    assert answer(corehours, "audit", "verify")["first_bad"] is None


def test_the_same_file_again_changes_nothing(corehours: Corehours, golden: str) -> None:
    answer(corehours, "ingest", "slurm", "--file", golden)
    again = answer(corehours, "ingest", "slurm", "--file", golden)
    assert (again["new"], again["changed"], again["unchanged"]) == (0, 0, 1)


def test_a_second_receipt_finds_nothing(corehours: Corehours, golden: str) -> None:
    answer(corehours, "ingest", "slurm", "--file", golden)
    answer(corehours, "receipts", "create", "-u", "alice", "--before", "2026-11-01")
    refused = corehours("receipts", "create", "-u", "alice", "--before", "2026-11-01", "--json")
    assert (refused.returncode, refused.stderr.strip()) == (1, "There is nothing to bill. No ended job is unbilled.")


def test_everybody_at_once(corehours: Corehours, golden: str, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(GOLDEN.replace("alice", "bob").replace("7|7|", "8|8|").replace("7.", "8."), encoding="utf-8")
    for file in (golden, str(other)):
        answer(corehours, "ingest", "slurm", "--file", file)
    made = answer(corehours, "receipts", "create", "--everybody", "--before", "2026-11-01")
    assert [(receipt["user"], receipt["total_micro"]) for receipt in made["receipts"]] == [("alice", 28_200_000), ("bob", 28_200_000)]
    assert answer(corehours, "receipts", "create", "--everybody", "--before", "2026-11-01") == {"receipts": [], "refused": {}}


def test_a_card_from_a_file(corehours: Corehours, golden: str, tmp_path: Path) -> None:
    card = tmp_path / "card.yaml"
    card.write_text("tier: mu\ncurrency: THB\nvalid_from: 2026-10-01\npolicy: allocated\nrounding: per_job_minor\n"
                    "prices: {cpu: 2, gpu: 0, mem: 0}\n", encoding="utf-8")
    answer(corehours, "ingest", "slurm", "--file", golden)
    [published] = answer(corehours, "rates", "publish", "--file", str(card))
    assert published["name"] == "mu-v2"
    assert answer(corehours, "usage")[0]["cost_micro"] == 16_000_000
    assert [shown["name"] for shown in answer(corehours, "rates", "show")] == ["gov-v1", "mu-v1", "mu-v2", "private-v1"]
    refused = corehours("rates", "publish", "--file", str(card))
    assert refused.returncode == 1 and "is not after that of mu-v2" in refused.stderr


def test_an_empty_installation_keeps_its_promises(corehours: Corehours) -> None:
    assert answer(corehours, "check")["ok"]
    assert (answer(corehours, "usage"), answer(corehours, "receipts", "list")) == ([], [])
    refused = corehours("accounts", "set-tier", "", "gov")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)


def test_a_broken_promise_is_reported(corehours: Corehours, golden: str, store: Any) -> None:
    """Somebody switches the guards off and takes a satang: check says where, and exits 1."""
    import sqlalchemy as sa
    answer(corehours, "ingest", "slurm", "--file", golden)
    answer(corehours, "receipts", "create", "-u", "alice", "--before", "2026-11-01")
    with store.engine.begin() as connection:
        connection.execute(sa.text("alter table ledger_entry disable trigger all"))
        connection.execute(sa.text("update ledger_entry set amount_micro = amount_micro - 10000 where amount_micro > 0"))
    found = answer(corehours, "check", code=1)
    broken = [invariant["name"] for invariant in found["invariants"] if invariant["violations"]]
    assert not found["ok"]
    assert "ledger transactions sum to zero in each currency" in broken
    assert "a receipt's total stands in the ledger" in broken
