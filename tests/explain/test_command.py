"""`./corehours explain` as people and programs see it: the golden case in words, and JSON whose keys stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data.postgres.store import Store
from tests.conftest import Corehours
from tests.engine.usage_frames import run
from tests.flows.examples import bill, keep_runs
from tests.flows.test_first_bill import GOLDEN

CHARGE = ["currency", "factors", "month", "policy", "recomputed", "rounding", "rounding_micro", "time", "total_micro"]


def keys(value: Any) -> Any:
    """The shape of JSON: keys of objects, the first element of lists."""
    if isinstance(value, dict):
        return {name: keys(inner) for name, inner in value.items()}
    return [keys(value[0])] if isinstance(value, list) and value else type(value).__name__


def test_the_golden_case_in_words(corehours: Corehours, tmp_path: Path) -> None:
    (tmp_path / "golden.txt").write_text(GOLDEN, encoding="utf-8")
    corehours("accounts", "set-tier", "alice", "gov")
    corehours("ingest", "slurm", "--file", str(tmp_path / "golden.txt"))
    said = corehours("explain", "7").stdout
    for line in ("Job 7 on c1 · train · physics · alice · completed · ended 5 Oct 2026 10:00 UTC",
                 "CPU: TotalCPU of its steps = 15,120 core-seconds = 4.2 core-hours × 3.00 = 12.60 THB",
                 "GPU: AllocTRES gres/gpu=1 × ElapsedRaw 7,200 s = 7,200 GPU-seconds = 2 GPU-hours × 10.00 = 20.00 THB",
                 "Memory: AveRSS of its steps × their Elapsed = 103,219,200 MiB-seconds = 28 GiB-hours × 1.00 = 28.00 THB",
                 "Rounding (per job, to the smallest coin): 0.00 THB", "Total: 60.60 THB", "Card gov-v1",
                 "alice pays tier gov since", "(set by operator)", "brought by ingest run 1 (file ", "It is not billed yet"):
        assert line in said
    told = json.loads(corehours("explain", "7", "--json").stdout)
    charge = told["runs"][0]["charge"]
    assert charge["total_micro"] == 60_600_000 == sum(one["amount_micro"] for one in charge["factors"]) + charge["rounding_micro"]
    assert [one["words"] for one in charge["factors"]] == [
        "4.2 core-hours × 3.00 = 12.60 THB", "2 GPU-hours × 10.00 = 20.00 THB", "28 GiB-hours × 1.00 = 28.00 THB"]


def test_the_keys_of_the_json_stay(corehours: Corehours, store: Store) -> None:
    """A known job with everything around it, and an unknown one: the same keys at the top."""
    keep_runs(store, run())
    bill(store)
    keep_runs(store, run(cpu_used_core_seconds=7560))
    told = json.loads(corehours("explain", "1", "--json").stdout)
    because = {"reason": "str", "why": "str", "reasons": [{"reason": "str", "sentence": "str"}]}
    [one] = keys(told)["runs"]
    assert keys(told) == {"asked": "str", **because, "runs": [one], "rejected": "list",
                          "complete": [{"cluster": "str", "complete_to": "str", "source": "str"}]}
    assert {name: shape for name, shape in one.items() if isinstance(shape, str)} == {
        **dict.fromkeys(("run_key", "cluster", "job_id", "name", "user", "account", "partition", "state", "submit", "start", "end",
                         "alloc_tres", "reason", "why"), "str"), "job_id_raw": "int", "ended": "bool", "elapsed_seconds": "int"}
    assert sorted(one["charge"]) == CHARGE and one["charge"]["recomputed"] == {"agrees": "bool", "difference": "NoneType"}
    assert one["charge"]["factors"] == [{
        **dict.fromkeys(("meter", "kind", "label", "quantity_unit", "units", "unit", "source", "measured", "words"), "str"),
        **dict.fromkeys(("quantity", "price_micro", "would_micro", "amount_micro"), "int"),
        **dict.fromkeys(("model", "above", "upto"), "NoneType"), "added": "bool"}]
    assert one["charge"]["time"] == {"factor": "str", "weighted_ppm_seconds": "int", "span_seconds": "int", "time_zone": "str",
                                     "parts": "list"}
    assert one["card"] == {**dict.fromkeys(("name", "valid_from", "tier", "payer"), "str"), "tier_since": "NoneType",
                           "tier_set_by": "NoneType", "project": "NoneType"}
    assert sorted(one["record"]) == ["at", "ingest_run", "origin", "replaced", "revision", "source"]
    assert sorted(one["record"]["replaced"][0]) == ["ingest_run", "replaced_at", "replaced_by", "revision", "was"]
    assert sorted(one["receipts"][0]) == ["cost_micro", "issued_at", "kind", "live", "number", "receipt_id", "revision", "status"]
    nobody = json.loads(corehours("explain", "99", "--json").stdout)
    assert (list(nobody), nobody["runs"], nobody["reason"]) == (list(told), [], "unknown")


def test_a_charge_that_is_not_what_the_rating_function_makes_is_loud(corehours: Corehours, store: Store) -> None:
    keep_runs(store, run())
    with store.engine.begin() as connection:
        connection.exec_driver_sql("update usage_record set cpu_micro = cpu_micro - 10000, cost_micro = cost_micro - 10000")
    done = corehours("explain", "1")
    assert done.returncode == 1 and done.stdout.startswith("WRONG: cpu_micro is stored as")
    checked = json.loads(corehours("check", "--json").stdout)
    assert [one["name"] for one in checked["invariants"] if one["violations"]] == [
        "stored charges are what the rating function makes of the records (the newest 2,000)",
        "the analytics copy equals Postgres to the micro-unit"]
