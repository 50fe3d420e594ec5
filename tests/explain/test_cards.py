"""Worked examples on real books: what an explanation says of each kind of card, and of jobs that such a card makes free."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from data.postgres.store import Store
from engine.explain_json import as_json
from engine.explain_text import run_lines
from engine.explained import Explained
from engine.policy import OPERATOR
from engine.rate_text import cards_from_text
from engine.services.explain import disagreeing
from engine.services.rates import publish_cards
from tests.engine.usage_frames import ENDED, run
from tests.explain.examples import ask, codes, only, publish
from tests.flows.examples import bill, broken, keep_runs

TRES = "billing=38,cpu=4,gres/gpu:a100=1,gres/gpu=1,mem=16G,node=2"
NOTHING = {"alloc_gpus": 0, "mem_used_mib_seconds": 0}


def said(store: Store, one: Explained) -> str:
    """All its lines."""
    return "\n".join(run_lines(one, store.settings.zone))


def test_the_dearest_resource(store: Store) -> None:
    """Two hours of 4 cores, a GPU and 16 GiB, set aside: GPU 12.00, CPU 3.20, memory 1.28."""
    publish(store, "cpu: 0.4, gpu: 6, mem: 0.04", "max_of")
    keep_runs(store, run())
    one = only(store)
    assert "GPU is the dearest resource: 12.00; CPU 3.20 and Memory 1.28 are not added." in said(store, one)
    assert "CPU: AllocTRES cpu=4 × ElapsedRaw 7,200 s = 28,800 core-seconds = 8 core-hours × 0.40 = 3.20 THB, not added" in (
        said(store, one))
    assert [(factor.meter, factor.would_micro, factor.amount_micro) for factor in one.explanation.factors] == [
        ("cpu", 3_200_000, 0), ("gpu", 12_000_000, 12_000_000), ("mem", 1_280_000, 0)]
    assert one.run.cost_micro == 12_000_000


def test_slurms_own_billing_units(store: Store) -> None:
    publish(store, "billing: 0.5", "billing_tres")
    keep_runs(store, run(alloc_tres=TRES))
    one = only(store)
    [factor] = one.explanation.factors
    assert (factor.label, factor.figures, one.run.cost_micro) == (
        "Billing units", "AllocTRES billing=38 × ElapsedRaw 7,200 s", 38_000_000)
    assert "76 billing-unit-hours × 0.50 = 38.00 THB" in said(store, one)


def test_gpu_models_and_nodes(store: Store) -> None:
    """One a100 at 25, nodes at 2; a run without a type pays the price of all others."""
    publish(store, "cpu: 0, gpu: {default: 10, a100: 25}, mem: 0, node: 2")
    keep_runs(store, run(alloc_tres=TRES), run(2, alloc_tres="cpu=4,gres/gpu=1,mem=16G,node=1"))
    one, two = only(store), only(store, "2")
    assert [(factor.label, factor.amount_micro) for factor in one.explanation.factors] == [
        ("CPU", 0), ("GPU a100", 50_000_000), ("Memory", 0), ("Nodes", 8_000_000)]
    assert one.explanation.factors[1].figures == "AllocTRES gres/gpu:a100=1 × ElapsedRaw 7,200 s"
    assert [(factor.label, factor.amount_micro) for factor in two.explanation.factors][1] == ("GPU", 20_000_000)


def test_modifiers_say_which_held_for_how_long(store: Store) -> None:
    """Ended at 14:13:20 UTC: two hours in Bangkok are 19:13:20 to 21:13:20; peak until 21:00 makes 6400 s × 1.2 + 800 s."""
    publish(store, "cpu: 1, gpu: 0, mem: 0", more="time_zone: Asia/Bangkok\nmodifiers:\n- {name: peak, hours: 18:00-21:00, factor: 1.2}")
    keep_runs(store, run(**NOTHING, cpu_used_core_seconds=3600))
    one = only(store)
    assert (one.run.cpu_micro, one.run.cost_micro) == (1_177_777, 1_180_000)
    assert [(part.modifiers, part.factor_ppm, part.seconds) for part in one.explanation.times] == [
        (("peak",), 1_200_000, 6400), ((), 1_000_000, 800)]
    assert "1 core-hour × 1.00 × 1.177777… = 1.177777 THB" in said(store, one).replace("core-hours", "core-hour")
    assert ("Time factor 1.177777…, times in Asia/Bangkok: peak × 1.2 for 1 h 46 min 40 s (21 Sep 19:13–21:00); "
            "plain × 1 for 13 min 20 s (21 Sep 21:00–21:13)") in said(store, one)
    time = as_json(ask(store, "1"))["runs"][0]["charge"]["time"]                          # type: ignore[index]
    assert (time["weighted_ppm_seconds"], time["span_seconds"]) == (6400 * 1_200_000 + 800 * 1_000_000, 7200)
    assert time["parts"][1] == {"modifiers": [], "factor_ppm": 1_000_000, "seconds": 800,
                                "spans": [["2026-09-21T14:00:00Z", "2026-09-21T14:13:20Z"]]}


def test_a_time_that_is_free(store: Store) -> None:
    publish(store, "cpu: 1, gpu: 1, mem: 1", more="modifiers:\n- {name: party, dates: [2026-09-21], factor: 0}")
    keep_runs(store, run())
    one = only(store)
    assert (one.run.cost_micro, codes(one)) == (0, ["zero_factor"]) and "(party × 0)" in one.reasons[0].sentence


def test_a_free_quota_then_steps(store: Store) -> None:
    """100 core-hours free, then 1.00, from 120 on 0.50. Of 3 runs of 60 hours the first is free, the others cost 20 and 20 + 20."""
    publish(store, "cpu: {steps: [{above: 0, price: 0}, {above: 100, price: 1}, {above: 120, price: 0.5, flat: 5}]}, gpu: 0, mem: 0")
    keep_runs(store, *(run(number, end_at=ENDED + number, cpu_used_core_seconds=60 * 3600, **NOTHING) for number in range(1, 4)))
    first, second, third = (only(store, str(number)) for number in range(1, 4))
    assert (first.run.cost_micro, codes(first)) == (0, ["free_quota"])
    assert first.reasons[0].sentence == "The free 100 core-hours of its month (2026-09, card mu-v2) cover it, so it costs nothing."
    assert [(factor.label, factor.quantity_micro, factor.amount_micro) for factor in second.explanation.factors][:2] == [
        ("CPU, free 100", 40_000_000, 0), ("CPU, over 100", 20_000_000, 20_000_000)]
    assert [(factor.label, factor.amount_micro) for factor in third.explanation.factors][:2] == [
        ("CPU, over 120", 30_000_000), ("CPU, once over 120", 5_000_000)]
    assert "Month 2026-09: alice had used 120 core-hours before it on the cards of tier mu" in said(store, third)
    assert as_json(ask(store, "2"))["runs"][0]["charge"]["month"] == {                    # type: ignore[index]
        "month": "2026-09", "payer": "alice", "cards": "mu", "used_before": {"cpu": 60 * 3600}}
    assert store.read(disagreeing) == [] and broken(store) == []


def test_a_late_run_moves_those_after_it_and_both_are_explained(store: Store) -> None:
    """100 core-hours free. Two runs of 60 are billed 0 and 20; a third that ended before them comes late: they cost 20 and 60
    then, and the next receipt takes the difference, because their price was changed, not their usage."""
    publish(store, "cpu: {price: 1, free: 100}, gpu: 0, mem: 0")
    for number in (2, 3):
        keep_runs(store, run(number, end_at=ENDED + number, cpu_used_core_seconds=60 * 3600, **NOTHING))
    receipt = bill(store)
    keep_runs(store, run(1, end_at=ENDED + 1, cpu_used_core_seconds=60 * 3600, **NOTHING))
    first, second, third = (only(store, str(number)) for number in range(1, 4))
    assert (codes(first), [one.run.cost_micro for one in (first, second, third)]) == (["free_quota"], [0, 20_000_000, 60_000_000])
    assert [because.sentence for because in second.reasons] == [
        f"It is on receipt {receipt.number} (pending). Its price was changed since: the next receipt adds 20.00 THB."]
    assert store.read(disagreeing) == [] and broken(store) == []


def test_a_package_that_was_begun(store: Store) -> None:
    """Packages of 100 core-hours at 50: the first run begins one, the second lies within it."""
    publish(store, "cpu: {package: 100, price: 50}, gpu: 0, mem: 0")
    keep_runs(store, *(run(number, end_at=ENDED + number, cpu_used_core_seconds=3600, **NOTHING) for number in (1, 2)))
    first, second = only(store, "1"), only(store, "2")
    assert "CPU, packages: TotalCPU of its steps; 1 package × 50.00 = 50.00 THB" in said(store, first)
    assert (second.run.cost_micro, codes(second)) == (0, ["package_begun"])


def test_a_project_with_its_own_card(store: Store) -> None:
    text = ("project: physics\ncurrency: THB\nvalid_from: 2026-01-01\npolicy: used\nrounding: per_job_minor\n"
            "prices: {cpu: 2, gpu: 0, mem: 0}")
    store.run(lambda tx: publish_cards(tx, cards_from_text(text), OPERATOR))
    keep_runs(store, run(), run(2, account_name="biology"))
    one, other = only(store), only(store, "2")
    assert (one.run.rate_card, one.run.cost_micro, other.run.rate_card) == ("project:physics-v1", 8_400_000, "mu-v1")
    assert "it prices what runs in project physics, for payers of any tier (alice is of tier mu)" in said(store, one)
    assert "alice pays tier mu, which they began with" in said(store, other)


@pytest.mark.parametrize("policy", ["used", "max_of"])
def test_a_running_job_is_not_multiplied(store: Store, policy: str) -> None:
    publish(store, "cpu: 1, gpu: 1, mem: 1", policy)
    keep_runs(store, run(state="RUNNING", end_at=None, ended=False))
    one = only(store)
    assert "core-hours so far, at 1.00" in said(store, one) and "not added" not in said(store, one)
    assert one.explanation.times == () and datetime.now(UTC) > one.run.submit_at
