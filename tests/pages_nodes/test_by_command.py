"""The same by command: nodes, allocations, and a wallet's statement that sums a node's charges by day."""

from __future__ import annotations

import json
from datetime import timedelta

from engine.allocations import AllocationState
from engine.services.allocations import settle_allocation
from engine.wallets import statement_word
from tests.allocations.conftest import Lab
from tests.conftest import Corehours
from tests.pages_nodes.conftest import Visit, said


def test_a_node_is_added_opened_tested_and_taken_out(corehours: Corehours) -> None:
    """Its key is shown first; only with the right fingerprint it is added."""
    shown = json.loads(corehours("nodes", "add", "h100-1", "h1.example", "--json").stdout)
    assert corehours("nodes").stdout.strip() == "No nodes yet."
    wrong = corehours("nodes", "add", "h100-1", "h1.example", "--host-key", "SHA256:other")
    assert wrong.returncode == 1 and "not SHA256:other" in wrong.stderr
    added = corehours("nodes", "add", "h100-1", "h1.example", "--site", "north", "--host-key", shown["host_key"])
    assert "8 × NVIDIA H100 80GB HBM3 and is in maintenance" in added.stdout, added.stderr
    assert corehours("nodes", "open", "h100-1").stdout == "h100-1 is available.\n"
    assert "0 ms ahead" in corehours("nodes", "test", "h100-1").stdout
    assert corehours("nodes", "drain", "h100-1", "--reason", "a fan makes noise").returncode == 0
    [node] = json.loads(corehours("nodes", "--json").stdout)
    assert (node["name"], node["site"], node["state"], node["held_by"]) == ("h100-1", "north", "draining", None)
    assert "is no name" in corehours("nodes", "add", "H 1", "h1.example", "--host-key", shown["host_key"]).stderr


def test_an_allocation_is_listed_and_ended(corehours: Corehours, lab: Lab) -> None:
    lab.node("a100-1")
    alice = lab.person("alice", "100")
    taken = lab.active(alice, "a100-1")
    [one] = json.loads(corehours("allocations", "--json").stdout)
    assert (one["id"], one["node"], one["held_by"], one["state"]) == (taken.id, "a100-1", "alice", "active")
    assert "a100-1" in corehours("allocations", "-u", "alice").stdout
    assert corehours("allocations", "-u", "bob").stdout.strip() == "Nobody holds a node."
    assert "Say why" in corehours("allocations", "release", taken.id, "--reason", "short").stderr
    done = corehours("allocations", "release", taken.id, "--reason", "the rack has to go dark")
    assert done.returncode == 0 and "is stopping" in done.stdout and lab.see(taken).state is AllocationState.STOPPING
    assert "is stopping" in corehours("allocations", "--all").stdout or "stopping" in corehours("allocations", "--all").stdout


def test_a_statement_has_a_line_a_node_and_day(corehours: Corehours, lab: Lab, visit: Visit) -> None:
    """Charged each hour for thirty hours: a line for each day that is begun, where the ledger has thirty."""
    lab.node("a100-1")
    alice = lab.person("alice", "900")
    taken = lab.active(alice, "a100-1")
    assert taken.active_at is not None
    hours = 30
    for hour in range(1, hours + 1):
        lab.later(taken.active_at, hours=hour)
        lab.run(lambda tx: settle_allocation(tx, lab.see(taken), tx.now))
    charges = lab.store.read(lambda tx: tx.allocations.charges(taken.id))
    assert len(charges) == hours
    lines = lab.store.read(lambda tx: tx.wallets.statement("alice", "THB")).to_dicts()
    days = {(taken.active_at + timedelta(hours=hour)).date() for hour in range(hours)}
    charged = [line for line in lines if statement_word(line["key"]) == "GPU node"]
    assert len(charged) == len(days) and sum(line["moved_micro"] for line in charged) == -600_000_000
    assert lines[0]["balance_micro"] == lab.balance("alice") == 300_000_000
    shown = json.loads(corehours("wallets", "statement", "alice", "--json").stdout)
    assert [line["what"] for line in shown] == ["GPU node"] * len(days) + ["adjustment"]
    page = said(visit("wallet", alice))
    assert "a100-1 on " in page and f"/allocation?id={taken.id}" in page and "GPU node" in page
