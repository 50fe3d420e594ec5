"""What the analytics copy says a draft would make is what rating every job in Postgres says, to the micro-unit."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from data.analytics import month_counts, what_if
from data.postgres.shelves import rerating
from data.postgres.store import Store
from data.what_if import tried
from engine.errors import RateError
from engine.policy import OPERATOR
from engine.rates import Modifier, Policy, Price, RateCard, Rounding, Step, flat_prices
from engine.rerating import Effect, drafted
from engine.services.rerating import rerate_cards, shadow
from tests.engine.usage_frames import ENDED, run
from tests.flows.examples import bill, broken, forget_copy, keep_runs

DAY = 86_400
START = datetime.fromtimestamp(ENDED - 40 * DAY, UTC)
TEXTS = ("billing=9,cpu=4,gres/gpu:a100=2,gres/gpu=2,node=1", "billing=1,cpu=4,node=2,mem=3G",
         "billing=40,gres/gpu:h100=1,gres/gpu:a100=3,node=5", "billing=3,node=1,gres/gpu=4")
PEAK = Modifier("peak", 1_200_000, hours=(18 * 60, 23 * 60))
WEEKEND = Modifier("weekend", 1_100_000, weekdays=frozenset({5, 6}))

LADDER = RateCard(
    "mu", 0, "THB", START, Policy.USED, Rounding.PER_JOB_MINOR, time_zone="Asia/Bangkok", prices=(
        Price("cpu", (Step(0, 0), Step(5, 2_000_000), Step(50, 1_000_000))), Price("gpu", (Step(0, 7_000_000),), package=10)))


def jobs(seed: int, count: int = 300) -> list[dict[str, object]]:
    """Runs of five people in three projects over forty days, quantities from nothing to absurd."""
    dice = random.Random(seed)

    def one(number: int) -> dict[str, object]:
        end, elapsed = ENDED - dice.randrange(40 * DAY), dice.choice([0, 1, 3599, dice.randrange(2 * DAY)])
        return run(number, user_name=f"user{dice.randrange(5)}", account_name=dice.choice(("physics", "chem", "ai")), end_at=end,
                   start_at=end - elapsed, submit_at=end - elapsed + dice.choice((0, 0, elapsed // 2)), elapsed_seconds=elapsed,
                   alloc_tres=dice.choice(TEXTS), alloc_cpus=dice.randrange(128), alloc_gpus=dice.randrange(6),
                   alloc_mem_mib=dice.randrange(2**20), cpu_used_core_seconds=dice.randrange(10**dice.randrange(1, 11)),
                   mem_used_mib_seconds=dice.randrange(10**dice.randrange(1, 12)))
    return [one(number) for number in range(count)]


def card(dice: random.Random, *, tier: str = "mu", project: str = "", modifiers: tuple[Modifier, ...] = ()) -> RateCard:
    """Any policy and rounding, prices from nothing to a hundred, sometimes by GPU model and by node."""
    def price(meter: str, model: str = "") -> Price:
        return Price(meter, (Step(0, dice.choice([0, 1, 333_333, 1_000_000, dice.randrange(10**8)])),), model)
    policy = dice.choice(list(Policy))
    prices = [price("cpu"), price("gpu"), price("mem")]
    prices += dice.choice([[], [price("gpu", "a100"), price("gpu", "h100")]]) + dice.choice([[], [price("node")]])
    prices += [price("billing")] if policy is Policy.BILLING_TRES else []
    return RateCard("" if project else tier, 0, "THB", START + timedelta(days=dice.randrange(30)), policy, dice.choice(list(Rounding)),
                    tuple(prices), modifiers, project=project, time_zone="Asia/Bangkok")


def both(store: Store, drafts: list[RateCard], since: datetime | None = None, until: datetime | None = None, dated: bool = False) -> Effect:
    """What the copy says, which must be what Postgres says."""
    slow = store.read(lambda tx: shadow(tx, drafts, since, until, OPERATOR, dated))
    quick = tried(store, drafts, since, until, OPERATOR, dated=dated)
    new = store.read(lambda tx: drafted(tx.rates.book(), drafts, dated))
    copied = what_if.what_if(store.lake, new, since, until)
    assert copied.select("kind", "name", "jobs", "before_micro", "after_micro").equals(
        slow.sums.select("kind", "name", "jobs", "before_micro", "after_micro"))
    assert quick.sums.equals(slow.sums)
    return quick


@pytest.mark.parametrize("seed", range(6))
def test_any_flat_card_over_any_period(store: Store, seed: int) -> None:
    """Jobs, some of them corrected and some on receipts; drafts of a tier and of a project; always, and from their date on."""
    dice = random.Random(seed)
    runs = jobs(seed)
    keep_runs(store, *runs)
    bill(store, "user1", START + timedelta(days=20))
    keep_runs(store, *(one | {"cpu_used_core_seconds": 77_777, "alloc_gpus": 1} for one in runs[:40]))
    drafts = [card(dice), card(dice, project="ai")]
    for dated in (False, True):
        for since, until in ((None, None), (START + timedelta(days=3, hours=7), START + timedelta(days=31, minutes=11))):
            both(store, drafts, since, until, dated)


@pytest.mark.parametrize("seed", range(2))
def test_any_card_with_modifiers(store: Store, seed: int) -> None:
    dice = random.Random(seed)
    keep_runs(store, *jobs(seed, 100))
    both(store, [card(dice, modifiers=(PEAK, WEEKEND)), card(dice, project="ai")], START + timedelta(days=2), None, dated=True)


def ladder(dice: random.Random, meter: str, model: str = "") -> Price:
    """Steps with and without a fee, the first one too, or packages."""
    if dice.random() < 0.25:
        return Price(meter, (Step(0, dice.randrange(100) * 100_000),), model, dice.randrange(1, 2000))
    above = sorted(dice.sample(range(1, 3000), dice.randrange(1, 4)))
    return Price(meter, tuple(Step(edge, dice.randrange(100) * 100_000, dice.choice((0, 0, 700_000))) for edge in (0, *above)), model)


@pytest.mark.parametrize(("seed", "times"), [(0, 64), (1, 1), (2, 5)])
def test_cards_that_count_the_month_over_corrected_jobs(store: Store, monkeypatch: pytest.MonkeyPatch, seed: int, times: int) -> None:
    """Quotas, steps and packages, with factors and GPU models, in several batches; many jobs end at once. A month is looked at in
    cells of hours, of days, or as one."""
    dice = random.Random(seed)
    monkeypatch.setattr(month_counts, "MOST_TIMES", times)
    runs = [one | {"end_at": int(str(one["end_at"])) // 7200 * 7200} for one in jobs(seed, 150)]       # many end at once
    runs = [one | {"start_at": one["end_at"], "submit_at": one["end_at"]} for one in runs]
    for start in range(0, 150, 40):
        keep_runs(store, *runs[start:start + 40])
    keep_runs(store, *(one | {"cpu_used_core_seconds": 77_777, "alloc_gpus": 1} for one in runs[:40]))
    keep_runs(store, *(one | {"cpu_used_core_seconds": 88_888} for one in runs[10:20]))
    model = Price("gpu", (Step(0, 9_000_000), Step(3, 1_000_000, 50_000)), "a100")
    drafts = [replace(LADDER, modifiers=(PEAK, WEEKEND), prices=(*LADDER.prices, model)), card(dice, project="ai")]
    for dated in (False, True):
        both(store, drafts, START + timedelta(days=11, hours=7), START + timedelta(days=31, minutes=11), dated)
        both(store, [replace(LADDER, policy=Policy.ALLOCATED)], None, None, dated)
        prices = tuple(ladder(dice, meter) for meter in ("cpu", "gpu", "node", "billing"))
        both(store, [replace(LADDER, policy=dice.choice(list(Policy)), prices=prices)], None, None, dated)


def test_what_does_not_fit_64_bits_on_the_way_is_counted_in_128(store: Store) -> None:
    """A petabyte of memory for a year: 3.2e16 MiB-seconds at an odd price, whose products pass 2⁶³."""
    keep_runs(store, run(mem_used_mib_seconds=2**30 * 365 * DAY))
    odd = replace(card(random.Random(1)), policy=Policy.USED, rounding=Rounding.PER_JOB_MINOR, prices=flat_prices(cpu=1, mem=999_983))
    assert both(store, [odd]).after_micro > 9 * 10**15


def test_jobs_in_another_currency_are_refused(store: Store) -> None:
    """A project's first card may name any currency; its jobs were reckoned in THB."""
    keep_runs(store, run())
    dollars = replace(card(random.Random(1), project="physics"), currency="USD")
    for dated in (False, True):
        with pytest.raises(RateError, match="reckoned in THB"):
            tried(store, [dollars], None, None, OPERATOR, dated=dated)


def test_a_copy_that_is_behind_is_not_asked(store: Store) -> None:
    keep_runs(store, run())
    with store.engine.begin() as connection:
        connection.exec_driver_sql("insert into lake_batch default values")
    with store.lake.cursor() as duck:
        duck.execute("delete from lake.usage_fact")
    assert tried(store, [replace(LADDER, prices=flat_prices(cpu=7))], None, None, OPERATOR).jobs == 1


def test_before_the_first_usage_there_may_be_no_copy(store: Store) -> None:
    forget_copy(store)
    for dated in (False, True):
        assert tried(store, [LADDER], None, None, OPERATOR, dated=dated).jobs == 0


@pytest.mark.parametrize("lot", [7, 65_536])
def test_a_month_ladder_counts_whole_months_of_whole_payers(store: Store, monkeypatch: pytest.MonkeyPatch, lot: int) -> None:
    """In lots of any size: what the shadow says of a period that begins within a month is what re-rating then does."""
    monkeypatch.setattr(rerating, "LOT", lot)
    keep_runs(store, *(one | {"cpu_used_core_seconds": number * 977, "mem_used_mib_seconds": 0} for number, one in enumerate(jobs(3, 120))))
    bill(store, "user1", START + timedelta(days=20))
    said = store.read(lambda tx: shadow(tx, [LADDER], START, None, OPERATOR, dated=True))
    tail = store.read(lambda tx: shadow(tx, [LADDER], START + timedelta(days=17), None, OPERATOR, dated=True))
    done = store.run(lambda tx: rerate_cards(tx, [LADDER], OPERATOR)).effect
    assert done is not None and done.sums.equals(said.sums)
    kept = pl.concat(store.read(lambda tx: list(tx.rerating.ended(["mu"], [], START + timedelta(days=17), None))))
    assert kept["cost_micro"].sum() == tail.after_micro and 0 < len(kept) < 120
    assert broken(store) == [] and store.lake.differences() == []


def test_lots_of_any_size_make_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerating, "LOT", 7)
    keep_runs(store, *jobs(4, 100))
    bill(store, "user2", START + timedelta(days=30))
    draft = card(random.Random(9))
    said = store.read(lambda tx: shadow(tx, [draft], draft.valid_from, None, OPERATOR, dated=True))
    done = store.run(lambda tx: rerate_cards(tx, [draft], OPERATOR)).effect
    assert done is not None and done.sums.equals(said.sums)
    assert broken(store) == [] and store.lake.differences() == []
