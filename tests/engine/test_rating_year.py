"""A year with both clock changes, a leap day and a holiday, against golden files that the plain reference made."""

from __future__ import annotations

import polars as pl
import pytest

from engine.rates import RateCard
from engine.rating import rate
from engine.usage import USAGE_SCHEMA
from tests.engine.golden_year import CARD, DAYS, RUNS, instant, spanning, year

WITH_TIER = USAGE_SCHEMA | {"tier": pl.String()}
AMOUNTS = ("cpu_micro", "gpu_micro", "mem_micro", "extra_micro", "rounding_micro", "cost_micro")


def factor_of(start: str, end: str, card: RateCard = CARD) -> float:
    charge = rate(pl.DataFrame([spanning(1, instant(start), instant(end))], schema=WITH_TIER), [card], factors=True).row(0, named=True)
    return float(charge["weighted_ppm_seconds"] / (charge["span_seconds"] * 1e6))


def test_every_day_weighs_what_the_reference_says() -> None:
    golden = pl.read_csv(DAYS)
    runs = [spanning(number, start, end) for number, (_, start, end) in enumerate(year())]
    charges = rate(pl.DataFrame(runs, schema=WITH_TIER), [CARD], factors=True)
    assert charges["weighted_ppm_seconds"].to_list() == golden["weighted_ppm_seconds"].to_list()
    assert charges["span_seconds"].to_list() == golden["seconds"].to_list()
    assert golden["seconds"].value_counts().sort("seconds").rows() == [(82_800, 1), (86_400, 364), (90_000, 1)]


def test_the_days_of_the_year_add_up_to_the_run_of_the_year() -> None:
    weighted = pl.read_csv(DAYS)["weighted_ppm_seconds"].sum()
    assert factor_of("2028-01-01T00:00", "2029-01-01T00:00") == weighted / (366 * 86_400 * 1e6)


def test_runs_across_every_border_cost_what_the_reference_says() -> None:
    golden = pl.read_csv(RUNS)
    runs = [spanning(number, instant(row["start"]), instant(row["end"])) for number, row in enumerate(golden.iter_rows(named=True))]
    charges = rate(pl.DataFrame(runs, schema=WITH_TIER), [CARD])
    told = [golden.select("what", "start", "end"), charges.select(pl.col("elapsed_seconds").alias("seconds"), *AMOUNTS)]
    found = pl.concat(told, how="horizontal")
    assert found.rows(named=True) == golden.rows(named=True)


@pytest.mark.parametrize(("start", "end", "factor"), [
    ("2028-06-05T09:00", "2028-06-05T17:00", 0.8), ("2028-06-05T18:00", "2028-06-05T23:00", 1.2),
    ("2028-06-05T17:00", "2028-06-05T18:00", 1.0), ("2028-06-03T09:00", "2028-06-03T17:00", 0.88),
    ("2028-06-03T18:00", "2028-06-03T23:00", 1.32), ("2028-12-25T00:00", "2028-12-25T09:00", 0.5),
    ("2028-12-25T18:00", "2028-12-25T23:00", 0.6), ("2028-06-05T16:00", "2028-06-05T19:00", 1.0),
    ("2028-06-06T19:00", "2028-06-06T19:00", 1.2)])
def test_factors_by_hand(start: str, end: str, factor: float) -> None:
    assert factor_of(start, end) == pytest.approx(factor, abs=1e-12)
