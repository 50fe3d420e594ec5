"""What pricing millions of runs at once makes of a run is what the rating function makes of it, to the micro-unit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as some

from engine.errors import RateError
from engine.quick_hours import Ints
from engine.quick_prices import Runs, Tariff, Wide, tariffs
from engine.rate_frames import book_of
from engine.rates import Modifier, Policy, Price, RateCard, Rounding, Step
from engine.rating import rate

BEGIN = 1_780_272_000           # 2026-06-01T00:00:00Z
TEXTS = ("billing=9,cpu=4,gres/gpu:a100=2,gres/gpu=2,node=1", "billing=40,gres/gpu:h100=1,gres/gpu:a100=3,node=5", "node=2,billing=1")
MODIFIERS = (Modifier("peak", 1_200_000, hours=(18 * 60, 23 * 60)), Modifier("weekend", 1_100_000, weekdays=frozenset({5, 6})),
             Modifier("night", 333_333, hours=(23 * 60, 5 * 60)), Modifier("free", 0, weekdays=frozenset({2})))

micro = some.sampled_from([0, 1, 333_333, 1_000_000]) | some.integers(0, 10**8)
small = some.integers(0, 128)


def price(meter: str, model: str = "", laddered: bool = False) -> some.SearchStrategy[Price]:
    """A plain one; or with steps, with fees, or in packages."""
    plain = some.builds(lambda each: Price(meter, (Step(0, each),), model), micro)
    steps = some.builds(lambda first, second, above, fee: Price(meter, (Step(0, first), Step(above, second, fee)), model),
                        micro, micro, some.integers(1, 100), some.sampled_from([0, 5_000_000]))
    packages = some.builds(lambda each, size: Price(meter, (Step(0, each),), model, size), micro, some.integers(1, 20))
    return plain | steps | packages if laddered else plain


@some.composite
def cards(draw: some.DrawFn, laddered: bool) -> RateCard:
    """Any policy, rounding, modifiers; sometimes GPU models and nodes."""
    policy = draw(some.sampled_from(Policy))
    prices = [draw(price(meter, laddered=laddered)) for meter in ("cpu", "gpu", "mem")]
    prices += [draw(price("gpu", model, laddered)) for model in draw(some.sets(some.sampled_from(["a100", "h100"])))]
    prices += [draw(price("node", laddered=laddered))] if draw(some.booleans()) else []
    prices += [draw(price("billing", laddered=laddered))] if policy is Policy.BILLING_TRES else []
    return RateCard("mu", 1, "THB", datetime(2026, 1, 1, tzinfo=UTC), policy, draw(some.sampled_from(Rounding)), tuple(prices),
                    tuple(draw(some.lists(some.sampled_from(MODIFIERS), unique=True, max_size=3))), time_zone="Asia/Bangkok")


@some.composite
def runs(draw: some.DrawFn) -> dict[str, object]:
    """One run, from nothing to absurd; it may end in either of two months, and begin in one and end in the other."""
    end = BEGIN + draw(some.integers(20 * 86_400, 50 * 86_400))
    elapsed = draw(some.sampled_from([0, 1, 3599]) | some.integers(0, 3 * 86_400))
    return {"end_at": end, "elapsed_seconds": elapsed, "start_at": draw(some.sampled_from([end - elapsed, None])),
            "submit_at": end - elapsed + draw(some.sampled_from([-60, 0, elapsed // 2])), "payer": draw(some.sampled_from(["ann", "bob"])),
            "alloc_cpus": draw(small), "alloc_gpus": draw(some.integers(0, 5)), "alloc_mem_mib": draw(some.integers(0, 2**16)),
            "cpu_used_core_seconds": draw(some.integers(0, 10**6)), "mem_used_mib_seconds": draw(some.integers(0, 10**9)),
            "alloc_tres": draw(some.sampled_from(TEXTS))}


def frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    """As rating takes them."""
    return pl.DataFrame(rows, schema_overrides={"start_at": pl.Int64}).with_columns(
        run_key=pl.format("hpc/{}", pl.int_range(pl.len())), tier=pl.lit("mu"), ended=pl.lit(value=True)).sort("end_at", "run_key")


def columns(usage: pl.DataFrame) -> Runs:
    """As quick prices take them."""
    def ints(name: str) -> Ints:
        return usage[name].to_numpy().astype(np.int64)
    start = usage["start_at"].fill_null(usage["end_at"]).to_numpy()
    begin = np.minimum(np.maximum(start, ints("submit_at")), ints("end_at"))
    text = np.array([TEXTS.index(one) for one in usage["alloc_tres"]], np.int64)
    return Runs(begin, ints("end_at"), *(ints(name) for name in (
        "elapsed_seconds", "alloc_cpus", "alloc_gpus", "alloc_mem_mib", "cpu_used_core_seconds", "mem_used_mib_seconds")), text)


def tariff(card: RateCard) -> Tariff:
    """The card alone in its book."""
    return tariffs(book_of([card]), ["mu"], TEXTS, BEGIN, BEGIN + 60 * 86_400)[0]


def stood(ready: Tariff, usage: pl.DataFrame, adds: dict[str, Ints]) -> dict[str, Ints]:
    """What each counter was at before each run, one run after the other."""
    months = ready.hours.month(usage["end_at"].to_numpy()).tolist() if ready.hours else [0] * len(usage)
    found = {}
    for name in ready.counted:
        sums, before = dict[object, int](), []
        for key, more in zip(zip(usage["payer"], months, strict=True), adds.get(name, np.zeros(len(usage))).tolist(), strict=True):
            before.append(sums.get(key, 0))
            sums[key] = sums.get(key, 0) + more
        found[name] = np.array(before, np.int64)
    return found


def laddered(ready: Tariff, usage: pl.DataFrame, adds: dict[str, Ints]) -> dict[str, Ints]:
    """What each run costs by the counters where that depends on what was used before."""
    before = stood(ready, usage, adds)
    return {one.name: one.cost(before[one.name], adds[one.name]) for one in ready.on_ladders}


def agree(card: RateCard, usage: pl.DataFrame) -> None:
    """Both ways, run by run."""
    ready, run_columns = tariff(card), columns(usage)
    try:
        adds = ready.quantities(run_columns)
    except Wide:
        reject()                    # an odd price over long jobs with odd factors: never many
    quick = ready.costs(ready.held(run_columns), ready.plain(run_columns, adds), laddered(ready, usage, adds))
    assert quick.tolist() == rate(usage, [card])["cost_micro"].to_list()


@pytest.mark.parametrize("laddered", [False, True])
@settings(deadline=None, max_examples=60)
@given(data=some.data())
def test_any_card_and_any_runs(laddered: bool, data: some.DataObject) -> None:
    agree(data.draw(cards(laddered)), frame(data.draw(some.lists(runs(), min_size=1, max_size=12))))


@pytest.mark.long
@pytest.mark.parametrize("laddered", [False, True])
@settings(deadline=None, max_examples=1500)
@given(data=some.data())
def test_a_great_many_cards(laddered: bool, data: some.DataObject) -> None:
    agree(data.draw(cards(laddered)), frame(data.draw(some.lists(runs(), min_size=1, max_size=30))))


ONE = {"end_at": BEGIN + 86_400, "elapsed_seconds": 3600, "start_at": BEGIN + 82_800, "submit_at": BEGIN, "alloc_tres": TEXTS[0],
       "alloc_cpus": 4, "alloc_gpus": 2, "alloc_mem_mib": 1024, "cpu_used_core_seconds": 14_400,
       "mem_used_mib_seconds": 3600 * 1024, "payer": "ann"}
PLAIN = RateCard("mu", 1, "THB", datetime(2026, 1, 1, tzinfo=UTC), Policy.USED, Rounding.PER_RECEIPT_MINOR,
                 (Price("cpu", (Step(0, 1_000_000),)),))


def test_numbers_that_64_bits_may_not_hold_are_refused_and_never_wrapped() -> None:
    """2⁶² core-seconds at a prime price; a price that is too large alone."""
    wide = columns(frame([ONE | {"cpu_used_core_seconds": 2**62}, ONE]))
    assert tariff(replace(PLAIN, prices=(Price("cpu", (Step(0, 999_983),)),))).fits(wide).tolist() == [False, True]
    with pytest.raises(Wide):
        tariff(replace(PLAIN, prices=(Price("cpu", (Step(0, 999_983),)),))).quantities(wide)
    with pytest.raises(Wide):
        tariff(replace(PLAIN, prices=(Price("cpu", (Step(0, 2**61 + 1),)),))).quantities(columns(frame([ONE])))


def test_nodes_that_no_text_tells_are_unknown() -> None:
    usage = frame([ONE])
    per_node = replace(PLAIN, prices=(Price("node", (Step(0, 7_000_000),)),))
    ready = tariff(per_node)
    untold = replace(columns(usage), text=np.array([len(TEXTS)]))
    assert ready.unknown(untold) and not ready.unknown(columns(usage)) and not tariff(PLAIN).unknown(untold)
    with pytest.raises(RateError):
        rate(usage.with_columns(alloc_tres=pl.lit("cpu=4")), [per_node])


def test_a_quota_is_used_up_within_a_job_and_begins_anew_with_the_month() -> None:
    """Six free core-hours a month, then 1.00: jobs of four cost 0, 2 and 4 in June, and 0 in July."""
    quota = replace(PLAIN, prices=(Price("cpu", (Step(0, 0), Step(6, 1_000_000))),))
    june = [ONE | {"end_at": BEGIN + hour * 3600, "start_at": None} for hour in (1, 2, 3)]
    usage = frame([*june, ONE | {"end_at": BEGIN + 31 * 86_400}])
    ready = tariff(quota)
    adds = ready.quantities(columns(usage))
    assert ready.costs(columns(usage), {}, laddered(ready, usage, adds)).tolist() == [0, 2_000_000, 4_000_000, 0]
