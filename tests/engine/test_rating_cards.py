"""What a card can say, by hand: GPU models, nodes, billing units, the dearest meter, projects, quotas, packages, refusals."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest

from engine.errors import MoneyError, RateError
from engine.rate_frames import CARRIED_SCHEMA, always, book_of
from engine.rates import Modifier, Policy, Price, RateCard, Rounding, Step, flat_prices
from engine.rating import carried_after, rate
from engine.usage import USAGE_SCHEMA
from tests.engine.usage_frames import ENDED, run

TEXT = "billing=40,cpu=4,gres/gpu:a100=2,gres/gpu:h100=1,gres/gpu=4,mem=16G,node=2"
CARD = RateCard("gov", 1, "THB", datetime(2000, 1, 1, tzinfo=UTC), Policy.ALLOCATED, Rounding.PER_JOB_MINOR,
                flat_prices(cpu=3_000_000, gpu=10_000_000, mem=1_000_000))


def usage(*runs: dict[str, object]) -> pl.DataFrame:
    """Runs of payer ann at tier gov."""
    return pl.DataFrame([{"tier": "gov", "payer": "ann", **one} for one in runs],
                        schema=USAGE_SCHEMA | {"tier": pl.String(), "payer": pl.String()})


def charge(card: RateCard, **given: object) -> dict[str, object]:
    """The charge of two hours of 4 cores, 4 GPUs, 16 GiB, 2 nodes and 40 billing units."""
    return rate(usage(run(**{"alloc_tres": TEXT, "alloc_gpus": 4, **given})), [card], factors=True).row(0, named=True)


def amounts(charged: dict[str, object]) -> tuple[object, ...]:
    return tuple(charged[f"{meter}_micro"] for meter in ("cpu", "gpu", "mem", "extra"))


def with_models(**micro: int) -> RateCard:
    return replace(CARD, prices=CARD.prices + tuple(Price("gpu", (Step(0, one),), model) for model, one in micro.items()))


def test_a_named_gpu_model_has_its_price_and_every_other_the_default() -> None:
    """Two a100 × 25, and an h100 and one of no type × 10, for two hours."""
    charged = charge(with_models(a100=25_000_000, v100=5_000_000))
    assert (charged["gpu_micro"], charged["gpu_seconds"]) == (2 * (2 * 25 + 2 * 10) * 10**6, 4 * 7200)


def test_models_that_say_more_gpus_than_there_are_count_as_of_no_type() -> None:
    assert charge(with_models(a100=25_000_000), alloc_gpus=1)["gpu_micro"] == 20_000_000


def test_a_model_keeps_its_price_beside_another_lines_ladder() -> None:
    """The same charge whether or not some other tier of the book has a free quota."""
    plain = with_models(a100=25_000_000)
    ladder = replace(CARD, tier="mu", prices=(Price("cpu", (Step(0, 0), Step(10, 1_000_000))),))
    runs = usage(run(alloc_tres=TEXT, alloc_gpus=4))
    assert rate(runs, [plain, ladder]).equals(rate(runs, [plain]))
    assert rate(runs, [plain, ladder])["gpu_micro"].to_list() == [2 * (2 * 25 + 2 * 10) * 10**6]


def test_nodes_are_billed_beside_the_others() -> None:
    charged = charge(replace(CARD, prices=CARD.prices + flat_prices(node=50_000_000)))
    assert (charged["extra_seconds"], charged["extra_micro"]) == (2 * 7200, 200_000_000)
    assert charged["cost_micro"] == sum(amounts(charged))


def test_billing_units_alone_cost_under_billing_tres() -> None:
    charged = charge(replace(CARD, policy=Policy.BILLING_TRES, prices=CARD.prices + flat_prices(billing=500_000)))
    assert (charged["extra_seconds"], amounts(charged)) == (40 * 7200, (0, 0, 0, 40_000_000))
    assert charged["cpu_core_seconds"] == 4 * 7200


def test_the_dearest_meter_alone_costs_under_max_of() -> None:
    """CPU 24, GPU 80, memory 32: the GPUs. Of two that cost the same the first one."""
    assert amounts(charge(replace(CARD, policy=Policy.MAX_OF))) == (0, 80_000_000, 0, 0)
    same = replace(CARD, policy=Policy.MAX_OF, prices=flat_prices(cpu=4_000_000, gpu=0, mem=1_000_000))
    assert amounts(charge(same)) == (32_000_000, 0, 0, 0)


@pytest.mark.parametrize("text", ["cpu=4,mem=16G", "", None])
def test_a_text_without_nodes_is_refused_where_nodes_are_priced(text: str | None) -> None:
    nodes = replace(CARD, prices=CARD.prices + flat_prices(node=50_000_000))
    with pytest.raises(RateError, match=r"Card gov-v1 prices nodes or billing units, but AllocTRES .* of run c/1/\d+ does not"):
        charge(nodes, alloc_tres=text)
    assert charge(nodes, alloc_tres=text, elapsed_seconds=0)["extra_micro"] == 0


def test_a_projects_card_prices_what_runs_in_its_account_from_its_day_on() -> None:
    own = replace(CARD, tier="", project="physics", valid_from=datetime.fromtimestamp(ENDED, UTC), prices=flat_prices(cpu=1_000_000))
    runs = usage(run(1, end_at=ENDED - 1), run(2), run(3, account_name="chem"), run(4, account_name=None))
    assert rate(runs, [CARD, own])["rate_card"].to_list() == ["gov-v1", "project:physics-v1", "gov-v1", "gov-v1"]


def test_a_card_that_begins_at_the_same_instant_replaces_the_older_version() -> None:
    newer = replace(CARD, version=2, prices=())
    assert rate(usage(run()), [newer, CARD])["rate_card"].to_list() == ["gov-v2"]


def test_runs_whose_card_is_fixed_are_priced_by_its_name_at_any_time() -> None:
    late = replace(CARD, version=2, valid_from=datetime(2090, 1, 1, tzinfo=UTC))
    fixed = usage(run()).with_columns(tier=pl.lit("gov-v2"))
    assert rate(fixed, book_of([CARD, late], by_name=True))["rate_card"].to_list() == ["gov-v2"]
    assert rate(usage(run()), [always(replace(late, version=0))])["rate_card"].to_list() == ["gov-v1"]


def test_a_free_quota_is_the_payers_month_in_the_cards_zone() -> None:
    """Six core-hours free. In Bangkok the third run ends in October: it begins a month of its own."""
    border = int(datetime(2026, 9, 30, 17, tzinfo=UTC).timestamp())
    free = replace(CARD, time_zone="Asia/Bangkok", prices=(Price("cpu", (Step(0, 0), Step(6, 3_000_000))),))
    runs = usage(*(run(number, end_at=end, start_at=end - 3600, submit_at=end - 3600, elapsed_seconds=3600)
                   for number, end in enumerate((border - 7200, border - 1, border))))
    charged = rate(runs, [free], factors=True)
    assert charged["cost_micro"].to_list() == [0, 2 * 3_000_000, 0]
    assert charged["cpu_before"].to_list() == [0, 4 * 3600, 0]
    assert carried_after(runs, [free]).filter(meter="cpu").rows() == [
        ("ann", "gov", 202609, "cpu", 8 * 3600), ("ann", "gov", 202610, "cpu", 4 * 3600)]


def test_what_was_used_before_is_carried() -> None:
    free = replace(CARD, prices=(Price("cpu", (Step(0, 0), Step(6, 3_000_000))),))
    before = pl.DataFrame([("ann", "gov", 202609, "cpu", 6 * 3600)], schema=CARRIED_SCHEMA, orient="row")
    assert rate(usage(run()), [free], carried=before)["cost_micro"].to_list() == [24_000_000]


def test_a_step_charges_its_flat_fee_once_when_usage_enters_it() -> None:
    """8 core-hours a run; above 10 a step with a fee of 7."""
    steps = replace(CARD, prices=(Price("cpu", (Step(0, 1_000_000, 2_000_000), Step(10, 500_000, 7_000_000))),))
    runs = usage(run(0, elapsed_seconds=0), run(1), run(2), run(3))
    assert rate(runs, [steps])["cost_micro"].to_list() == [0, 10_000_000, 2_000_000 + 3_000_000 + 7_000_000, 4_000_000]


def test_the_factor_stands_beside_the_charge() -> None:
    """An hour of four at × 1.5: 1.125 on average."""
    half = Modifier("evening", 1_500_000, (12 * 60, 13 * 60))
    noon = int(datetime(2026, 9, 21, 12, tzinfo=UTC).timestamp())
    charged = charge(replace(CARD, modifiers=(half,)), start_at=noon, submit_at=noon, end_at=noon + 4 * 3600)
    assert (charged["weighted_ppm_seconds"], charged["span_seconds"]) == (4 * 3600 * 1_125_000, 4 * 3600)
    assert charged["cpu_micro"] == 24_000_000 * 9 // 8


def test_factors_of_more_than_a_thousand_are_refused() -> None:
    many = tuple(Modifier(f"m{number}", 100_000_000) for number in range(2))
    with pytest.raises(RateError, match="m0, m1 may multiply to more than 1000"):
        charge(replace(CARD, modifiers=many))


@pytest.mark.parametrize("modifiers", [(), (Modifier("always", 1_000_000),)])
def test_the_run_that_is_too_large_is_named(modifiers: tuple[Modifier, ...]) -> None:
    runs = usage(run(1), run(2, alloc_mem_mib=2**60, elapsed_seconds=2**40), run(3))
    with pytest.raises(MoneyError, match=r"look at run c/2/"):
        rate(runs, [replace(CARD, modifiers=modifiers)])


def test_numbers_beyond_64_bits_on_the_way_do_not_wrap() -> None:
    """2⁴⁰ MiB-seconds at 9,000,000 a GiB-hour under a factor: 128 bits on the way, 64 at the end."""
    dear = replace(CARD, policy=Policy.USED, prices=flat_prices(mem=9_000_000_000_000), modifiers=(Modifier("always", 1_000_000),))
    assert charge(dear, mem_used_mib_seconds=2**40)["mem_micro"] == 2**40 * 9_000_000_000_000 // (3600 * 1024)


def test_two_cards_of_one_name_are_refused() -> None:
    with pytest.raises(RateError, match="Two cards are called gov-v1"):
        rate(usage(run()), [CARD, CARD])


@pytest.mark.parametrize("runs", [usage(), usage(run(state="RUNNING", end_at=None, ended=False))])
def test_nothing_ended_nothing_costs(runs: pl.DataFrame) -> None:
    """With factors, models and a quota: the tables that runs are joined to are empty, or know nothing of the run."""
    full = replace(with_models(a100=1), modifiers=(Modifier("always", 2_000_000),))
    quota = replace(full, prices=(*full.prices, Price("node", (Step(0, 0), Step(6, 3_000_000)))))
    for card in (CARD, full, quota):
        charged = rate(runs.with_columns(alloc_tres=pl.lit("cpu=4,node=1")), [card], factors=True)
        assert charged["cost_micro"].to_list() == [0] * len(runs)
