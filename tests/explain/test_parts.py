"""The shown parts of any charge add up to it, whatever its card; a charge that is not what rating makes is told."""

from __future__ import annotations

from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

import polars as pl
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as some

from data.postgres.store import Store
from engine.explain import decimal, explain
from engine.explain_time import time_parts
from engine.explained import Explanation, Run, Weighing
from engine.rates import Modifier, Policy, Price, RateCard, Rounding, Step
from engine.rating import CHARGE_SCHEMA, rate
from engine.services.explain import disagreeing
from tests.engine.usage_frames import ENDED, frame, run
from tests.explain.examples import ask
from tests.flows.examples import keep_runs

MICRO = some.integers(0, 10**7)
TRES = "billing=38,cpu=4,gres/gpu:a100=2,gres/gpu:h100=1,gres/gpu=4,mem=16G,node=2"
MODIFIERS = (
    Modifier("peak", 1_200_000, hours=(18 * 60, 23 * 60)), Modifier("weekend", 1_100_000, weekdays=frozenset({5, 6})),
    Modifier("night", 300_000, hours=(22 * 60, 6 * 60)), Modifier("holiday", 0, dates=(date(2026, 9, 20),)),
    Modifier("busy", 1_333_333, spans=((datetime(2026, 9, 21, 10, tzinfo=UTC), datetime(2026, 9, 21, 11, 15, tzinfo=UTC)),)))


@some.composite
def a_price(draw: some.DrawFn, meter: str, model: str = "") -> Price:
    """Flat, graduated with flat fees, with a free quota, or in packages."""
    kind = draw(some.sampled_from(["flat", "steps", "package"]))
    if kind == "package":
        return Price(meter, (Step(0, draw(MICRO)),), model, package=draw(some.integers(1, 30)))
    above = [0] if kind == "flat" else [0, *sorted(draw(some.sets(some.integers(1, 40), min_size=1, max_size=3)))]
    once = some.sampled_from([0, 0 if kind == "flat" else 5_000_000])
    return Price(meter, tuple(Step(units, draw(MICRO), draw(once)) for units in above), model)


@some.composite
def a_card(draw: some.DrawFn) -> RateCard:
    """Any card for Slurm runs."""
    meters = [("cpu", ""), ("gpu", ""), ("gpu", "a100"), ("mem", ""), ("node", ""), ("billing", "")]
    prices = tuple(draw(a_price(*name)) for name in draw(some.sets(some.sampled_from(meters), min_size=1)))
    return RateCard("mu", 1, draw(some.sampled_from(["THB", "JPY"])), datetime(2026, 1, 1, tzinfo=UTC), draw(some.sampled_from(Policy)),
                    draw(some.sampled_from(Rounding)), prices, tuple(draw(some.lists(some.sampled_from(MODIFIERS), unique=True))),
                    time_zone=draw(some.sampled_from(["UTC", "Asia/Bangkok", "Europe/Berlin"])))


@some.composite
def some_runs(draw: some.DrawFn) -> pl.DataFrame:
    """A few ended runs of one payer around a month's end."""
    rows = []
    for number in range(draw(some.integers(1, 4))):
        took, ended = draw(some.integers(0, 200_000)), ENDED + draw(some.integers(0, 12 * 86_400))
        rows.append(run(number, run_key=f"c/{number}", submit_at=ended - took, start_at=ended - took - draw(some.sampled_from([0, 900])),
                        end_at=ended, elapsed_seconds=took, alloc_tres=TRES, alloc_gpus=draw(some.sampled_from([4, 2])),
                        cpu_used_core_seconds=draw(some.integers(0, 10**6)), mem_used_mib_seconds=draw(some.integers(0, 10**9))))
    return frame(*rows).with_columns(tier=pl.lit("mu"), payer=pl.lit("alice"))


def run_of(charged: dict[str, Any]) -> Run:
    """A priced row of a frame as a run that is explained."""
    unix = {name: datetime.fromtimestamp(charged[name], UTC) for name in ("submit_at", "start_at", "end_at")}
    known = charged | unix | {"revision": 1, "run_id": 1, "billed_micro": None, "settled": False}
    return Run(**{name: known[name] for name in Run.__slots__})


def weighing_of(charged: dict[str, Any]) -> Weighing:
    """What rating says beside the charge."""
    before = {name.removesuffix("_before"): value for name, value in charged.items() if name.endswith("_before") and value is not None}
    return Weighing(charged["weighted_ppm_seconds"], charged["span_seconds"], before)


@settings(max_examples=30, deadline=None)
@given(a_card(), some_runs())
def test_parts_and_rounding_are_the_total_on_any_card(card: RateCard, usage: pl.DataFrame) -> None:
    """The card's own arithmetic, price by price, makes what rating made; exact and shown amounts both add up to it."""
    for charged in rate(usage, [card], factors=True).iter_rows(named=True):
        of, weighing = run_of(charged), weighing_of(charged)
        made = explain(of, card, weighing)
        check(made, of)
        assert made.differs == ""
        if made.times and (seconds := sum(part.seconds for part in made.times)):
            assert weighing.factor == Fraction(sum(part.seconds * part.factor_ppm for part in made.times), seconds * 10**6)


def check(made: Explanation, of: Run) -> None:
    """Exact parts and the stored rounding are the cost, shown parts and the shown rounding too."""
    assert sum(factor.amount_micro for factor in made.factors) + made.rest_micro == of.cost_micro == made.total_micro
    assert sum(factor.shown_micro for factor in made.factors) + made.rounding_micro == of.cost_micro
    assert all(factor.shown_micro % 100 == 0 for factor in made.factors)


def test_which_modifier_held_for_how_long_through_a_change_of_the_clock() -> None:
    """Berlin, 25 October 2026: the hour from 2 to 3 comes twice, so [1:30, 4:00) local is three and a half hours long."""
    card = RateCard("mu", 1, "THB", datetime(2026, 1, 1, tzinfo=UTC), Policy.USED, Rounding.PER_JOB_MINOR, (),
                    (Modifier("early", 500_000, hours=(120, 180)), Modifier("weekend", 1_100_000, weekdays=frozenset({6}))),
                    time_zone="Europe/Berlin")
    begin = int(datetime(2026, 10, 24, 23, 30, tzinfo=UTC).timestamp())
    found = time_parts(card, begin, begin + 7 * 1800)
    assert [(part.modifiers, part.factor_ppm, part.seconds, len(part.spans)) for part in found] == [
        (("early", "weekend"), 550_000, 7200, 1), (("weekend",), 1_100_000, 5400, 2)]
    [instant] = time_parts(card, begin, begin)
    assert (instant.modifiers, instant.seconds) == (("weekend",), 0)


@given(some.integers(0, 10**15), some.sampled_from([3600, 3600 * 1024, 7]))
def test_a_quantity_is_said_as_it_is_or_marked_as_going_on(number: int, size: int) -> None:
    said = decimal(number, size)
    assert said.endswith("…") == bool(number * 10**6 % size)
    assert Fraction(said.rstrip("…").replace(",", "")) == Fraction(number * 10**6 // size, 10**6)


def test_a_charge_that_was_tampered_with_is_told_loudly(store: Store) -> None:
    keep_runs(store, run(), run(2))
    assert store.read(disagreeing) == []
    with store.engine.begin() as connection:
        connection.execute(sa.text("update usage_record set cpu_micro = cpu_micro + 10000, cost_micro = cost_micro + 10000"
                                   " where job_id = '2'"))
    [wrong] = store.read(disagreeing)
    assert "cpu_micro is stored as 4210000, the rating function makes 4200000" in wrong and wrong.startswith("c/2/")
    [one], [two] = (ask(store, job).runs for job in ("1", "2"))
    assert not one.disagrees and two.disagrees
    check(two.explanation, two.run)
    assert set(CHARGE_SCHEMA) >= {"cpu_micro", "cost_micro"}
