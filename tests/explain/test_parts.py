"""The shown parts of any charge add up to it, and a charge that is not what the rating function makes is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as some

from data.postgres.store import Store
from engine.explain import METERS, Run, decimal, explain
from engine.policy import OPERATOR
from engine.rate_text import cards_from_text
from engine.rates import RateCard
from engine.rating import CHARGE_SCHEMA, rate
from engine.services.explain import disagreeing, explain_job
from tests.engine.usage_frames import frame, run
from tests.explain.examples import ask
from tests.flows.examples import keep_runs

SMALL = some.integers(0, 10**6)


def run_of(charged: dict[str, object]) -> Run:
    """A priced row of a frame as a run that is explained."""
    unix = {name: datetime.fromtimestamp(charged[name], UTC) for name in ("submit_at", "start_at", "end_at")}   # type: ignore[arg-type]
    known = charged | unix | {"revision": 1, "run_id": 1, "payer": "alice", "billed_micro": None}
    return Run(**{name: known[name] for name in Run.__slots__})                                               # type: ignore[arg-type]


@given(some.tuples(SMALL, SMALL, SMALL), some.tuples(SMALL, SMALL, SMALL), some.sampled_from(["used", "allocated"]),
       some.sampled_from(["per_job_minor", "per_receipt_minor"]))
def test_parts_and_rounding_are_the_total(prices: tuple[int, int, int], used: tuple[int, int, int], policy: str, rounding: str) -> None:
    cpu, gpu, mem = (decimal(micro, 10**6).replace(",", "") for micro in prices)
    [card] = cards_from_text(f"tier: mu\ncurrency: THB\nvalid_from: 2026-01-01\npolicy: {policy}\nrounding: {rounding}\n"
                             f"prices: {{cpu: {cpu}, gpu: {gpu}, mem: {mem}}}")
    usage = frame(run(cpu_used_core_seconds=used[0], alloc_gpus=used[1] % 9, mem_used_mib_seconds=used[2] * 977))
    charged = rate(usage.with_columns(tier=pl.lit("mu")), [card]).row(0, named=True)
    check(run_of(charged), card)


def check(of: Run, card: RateCard) -> None:
    """Exact parts and the stored rounding are the cost, shown parts and the shown rounding too."""
    made = explain(of, card)
    assert [factor.meter for factor in made.factors] == list(METERS)
    assert sum(factor.amount_micro for factor in made.factors) + made.rest_micro == of.cost_micro == made.total_micro
    assert sum(factor.shown_micro for factor in made.factors) + made.rounding_micro == of.cost_micro
    assert all(factor.shown_micro % 100 == 0 for factor in made.factors)


@given(some.integers(0, 10**15), some.sampled_from([3600, 3600 * 1024, 7]))
def test_a_quantity_is_said_as_it_is_or_marked_as_going_on(number: int, size: int) -> None:
    said = decimal(number, size)
    micro = round(float(said.rstrip("…").replace(",", "")) * 10**6) if number < 10**9 else None
    assert said.endswith("…") == bool(number * 10**6 % size)
    assert micro is None or micro == number * 10**6 // size


def test_a_charge_that_was_tampered_with_is_told_loudly(store: Store) -> None:
    keep_runs(store, run(), run(2))
    assert store.read(disagreeing) == []
    with store.engine.begin() as connection:
        connection.execute(sa.text("update usage_record set cpu_micro = cpu_micro + 10000, cost_micro = cost_micro + 10000"
                                   " where job_id = '2'"))
    [wrong] = store.read(disagreeing)
    assert "cpu_micro is stored as 4210000, the rating function makes 4200000" in wrong and wrong.startswith("c/2/")
    assert [bool(one.disagrees) for job in ("1", "2") for one in ask(store, job).runs] == [False, True]
    answer = store.read(lambda tx: explain_job(tx, "2", OPERATOR))
    made = answer.runs[0].explanation
    assert sum(factor.amount_micro for factor in made.factors) + made.rest_micro == 28_210_000
    assert set(CHARGE_SCHEMA) >= {"cpu_micro", "cost_micro"} and replace(answer, asked="x").asked == "x"
