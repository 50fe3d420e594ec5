"""The rating function over the copy, on DuckDB, polars and Spark: the totals Postgres has, to the micro-unit."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from data.analytics import spark as spark_engine
from data.analytics.files import Facts, facts_of
from data.analytics.rated import KEYS, TOTAL_SCHEMA, by_duckdb, by_polars
from data.analytics.spark import by_spark
from data.postgres.store import Store
from engine.errors import RateError
from engine.policy import OPERATOR
from engine.rate_frames import Book, book_of
from engine.rate_text import cards_to_text
from engine.rates import Modifier, Policy, Price, RateCard, Rounding, Step, flat_prices
from engine.rating import rate
from engine.services.payers import set_tier
from engine.usage import USAGE_SCHEMA, Asked
from ingest.keep import keep
from tests.conftest import Corehours
from tests.usage.frames import NOON, batch, run

DAY = 86_400
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)


def card(tier: str, policy: Policy, *prices: Price, **more: Any) -> RateCard:
    """A card in THB, valid for all of this."""
    return RateCard(**{"tier": tier, "version": 1, "currency": "THB", "valid_from": JANUARY, "policy": policy,
                       "rounding": Rounding.PER_JOB_MINOR, "prices": prices} | more)


FLAT = [card(tier, Policy.USED, *flat_prices(cpu=3_210_000, gpu=10_000_000, mem=999_999)) for tier in ("mu", "gov")]
FULL = [
    card("mu", Policy.ALLOCATED, Price("cpu", (Step(0, 0), Step(20, 3_000_000))),
         Price("gpu", (Step(0, 10_000_000),)), Price("gpu", (Step(0, 25_000_000),), "a100"),
         Price("mem", (Step(0, 1_000_000), Step(100, 500_000, 7_000_000))), time_zone="Asia/Bangkok",
         modifiers=(Modifier("peak", 1_200_000, hours=(18 * 60, 23 * 60)), Modifier("weekend", 1_100_000, weekdays=frozenset({5, 6})))),
    card("gov", Policy.MAX_OF, *flat_prices(cpu=3_333_333, gpu=10_000_000, mem=1_000_000), rounding=Rounding.PER_RECEIPT_MINOR),
    card("", Policy.ALLOCATED, *flat_prices(cpu=1_000_000, gpu=1_000_000, mem=1_000_000), project="project3",
         valid_from=datetime(2026, 10, 1, tzinfo=UTC)),
]


def some_runs(count: int, seed: int = 5) -> list[dict[str, object]]:
    """Runs of three months, by several payers and accounts, with typed and untyped GPUs."""
    rng = random.Random(seed)
    rows = []
    for job in range(count):
        end, elapsed = NOON - rng.randrange(80 * DAY), rng.randrange(3 * DAY)
        cpus, gpus, mem = rng.randrange(1, 65), rng.randrange(5), rng.randrange(1, 2**18)
        text = f"billing={cpus},cpu={cpus},{rng.choice(['gres/gpu:a100', 'gres/gpu:h100', 'gres/gpu'])}={gpus},mem={mem}M,node=1"
        rows.append(run(job, user_name=f"user{rng.randrange(9)}", account_name=f"project{rng.randrange(5)}",
                        start_at=end - elapsed, end_at=end, submit_at=end - elapsed - rng.choice([-600, 0, 900]),
                        elapsed_seconds=elapsed, alloc_tres=text, alloc_cpus=cpus, alloc_gpus=gpus,
                        alloc_mem_mib=mem, cpu_used_core_seconds=rng.randrange(cpus * elapsed + 1),
                        mem_used_mib_seconds=rng.randrange(mem * elapsed + 1)))
    return rows


@pytest.fixture
def filled(store: Store) -> Store:
    """A store whose copy has small and large batches, corrections, and payers who changed their tier."""
    rows = some_runs(400)
    keep(store, batch(*rows[:380]))
    keep(store, batch(*rows[380:388]))                      # so few that DuckLake keeps them in its catalog
    corrected = [row | {"cpu_used_core_seconds": row["cpu_used_core_seconds"] + 1, "elapsed_seconds": row["elapsed_seconds"] + 60}  # type: ignore[operator]
                 for row in rows[:40]]
    keep(store, batch(*corrected, *rows[388:]))
    keep(store, batch(*(row | {"alloc_cpus": 3} for row in corrected[:10])))
    for payer in ("user1", "user2"):
        store.run(lambda tx, payer=payer: set_tier(tx, payer, "gov", OPERATOR))
    assert store.lake.differences() == []
    return store


def in_postgres(store: Store) -> pl.DataFrame:
    """TOTAL_SCHEMA of what is stored."""
    with store.engine.connect() as connection:
        rows = connection.execute(sa.text(
            "select to_char(end_at at time zone 'UTC', 'YYYY-MM') as month, tier, trim(currency) as currency, count(*) as jobs,"
            " sum(cost_micro)::bigint as stored_micro, sum(cost_micro)::bigint as cost_micro"
            " from usage_record where ended group by 1, 2, 3 order by 1, 2, 3")).all()
    return pl.DataFrame([tuple(row) for row in rows], schema=TOTAL_SCHEMA, orient="row")


def by_hand(store: Store, book: Book) -> pl.DataFrame:
    """What `rate` makes of the records in Postgres."""
    rows = store.read(lambda tx: tx.usage.listed(Asked())).filter("ended")
    rated = rate(rows.select(*USAGE_SCHEMA, "payer", "tier"), book)
    months = rated.with_columns(month=pl.from_epoch("end_at").dt.strftime("%Y-%m"))
    return months.group_by(KEYS).agg(jobs=pl.len().cast(pl.Int64), cost_micro=pl.col("cost_micro").sum()).sort(KEYS)


def on(engine: str, request: pytest.FixtureRequest) -> Callable[[Store, Facts, Book], pl.DataFrame]:
    """The pricing of one engine."""
    if engine == "spark":
        spark = request.getfixturevalue("spark")
        return lambda store, facts, book: by_spark(spark, store.settings, facts, book)
    by: Any = {"duckdb": by_duckdb, "polars": by_polars}[engine]
    return lambda store, facts, book: by(store.lake, facts, book)


ENGINES = ["duckdb", "polars", pytest.param("spark", marks=pytest.mark.spark)]


@pytest.mark.parametrize("engine", ENGINES)
def test_by_the_book_it_is_what_postgres_has(filled: Store, engine: str, request: pytest.FixtureRequest) -> None:
    facts = facts_of(filled.lake)
    assert facts.jobs == 400 and facts.corrected
    found = on(engine, request)(filled, facts, book_of(filled.read(lambda tx: tx.rates.book())))
    assert found.equals(in_postgres(filled))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("draft", [FLAT, FULL], ids=["flat", "full"])
def test_a_draft_costs_the_same_on_every_engine(filled: Store, engine: str, draft: list[RateCard], request: pytest.FixtureRequest) -> None:
    """The second has factors, a free quota, steps, a GPU model, the dearest meter only, and a project of its own."""
    book = book_of(draft)
    found = on(engine, request)(filled, facts_of(filled.lake), book)
    assert found.drop("stored_micro").equals(by_hand(filled, book))
    assert found.drop("cost_micro").equals(in_postgres(filled).drop("cost_micro"))


@pytest.mark.parametrize("engine", ENGINES)
def test_only_what_ended_in_a_span(filled: Store, engine: str, request: pytest.FixtureRequest) -> None:
    """A month's ladder is climbed from the month's first day, whichever day is asked for."""
    since, until = datetime(2026, 10, 13, 7, 30, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
    ended = filled.read(lambda tx: tx.usage.listed(Asked(since, until))).filter("ended")
    book = book_of(FULL)
    found = on(engine, request)(filled, facts_of(filled.lake, since, until, whole_months=True), book)
    assert 0 < found["jobs"].sum() == len(ended)
    assert found["stored_micro"].sum() == ended["cost_micro"].sum()
    rated = rate(filled.read(lambda tx: tx.usage.listed(Asked())).filter("ended").select(*USAGE_SCHEMA, "payer", "tier"), book)
    assert found["cost_micro"].sum() == rated.filter(pl.col("run_key").is_in(ended["run_key"].implode()))["cost_micro"].sum()


@pytest.mark.parametrize("engine", ENGINES)
def test_runs_without_a_card_are_told(filled: Store, engine: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(RateError, match="runs have no card"):
        on(engine, request)(filled, facts_of(filled.lake), book_of(FLAT[:1]))


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_yet_costs_nothing(store: Store, engine: str, request: pytest.FixtureRequest) -> None:
    assert store.lake.differences() == []
    assert on(engine, request)(store, facts_of(store.lake), book_of(FLAT)).is_empty()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_lake_in_a_bucket_is_priced_as_one_in_a_folder(remote: Store, engine: str, request: pytest.FixtureRequest) -> None:
    """Spark's workers read the bucket by pyarrow: no jar of Hadoop's is there."""
    rows = some_runs(60)
    keep(remote, batch(*rows))
    keep(remote, batch(*(row | {"alloc_cpus": 3} for row in rows[:5])))
    facts = facts_of(remote.lake)
    assert facts.files and all(file.startswith("s3://") for file in facts.files)
    found = on(engine, request)(remote, facts, book_of(FULL))
    assert found.drop("stored_micro").equals(by_hand(remote, book_of(FULL)))
    assert found.drop("cost_micro").equals(in_postgres(remote).drop("cost_micro"))


def test_the_command_prices_by_the_book_and_by_a_draft(filled: Store, corehours: Corehours, tmp_path: Path) -> None:
    stored = in_postgres(filled)
    told = json.loads(corehours("analytics", "rate", "--json").stdout)
    assert (told["jobs"], told["cost_micro"], told["stored_micro"]) == (400, stored["cost_micro"].sum(), stored["cost_micro"].sum())
    draft = tmp_path / "draft.yaml"
    draft.write_text(cards_to_text([replace(FLAT[0], version=0)]))
    done = corehours("analytics", "rate", "--json", "--engine", "polars", "--file", str(draft))
    assert done.returncode == 0, done.stderr
    drafted = json.loads(done.stdout)
    gov = [row["cost_micro"] for row in drafted["rows"] if row["tier"] == "gov"]
    assert gov == stored.filter(tier="gov")["cost_micro"].to_list()
    assert drafted["cost_micro"] != drafted["stored_micro"] == told["stored_micro"]
    assert "As rated" in corehours("analytics", "rate").stdout


def test_without_spark_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_engine.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(spark_engine.NoSpark, match=r"requirements-spark\.txt"):
        spark_engine.session()
