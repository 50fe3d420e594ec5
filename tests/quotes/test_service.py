"""Quotes over the books: the payer's tier, what they used this month, what they owe, and whose prices one may ask for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from data.postgres.store import PostgresTransaction, Store
from engine.errors import NotAllowed
from engine.policy import OPERATOR
from engine.rates import DEFAULT_CARDS, Price, RateCard, Step, flat_prices
from engine.sbatch import Request
from engine.services.payers import set_tier
from engine.services.quotes import Quoted, make_quote
from engine.services.rates import publish_cards
from tests.engine.usage_frames import ENDED, run
from tests.flows.examples import ALICE, AUDITOR, BOB, keep_runs

ASKED = Request(cpus=8, mem_mib=0, seconds=10 * 3600)
GOV = next(card for card in DEFAULT_CARDS if card.tier == "gov")


def quoted(store: Store, asked: Request = ASKED, by: object = OPERATOR, payer: str = "", tier: str = "") -> Quoted:
    return store.read(lambda tx: make_quote(tx, asked, by, payer, tier))     # type: ignore[arg-type]


def publish(store: Store, card: RateCard) -> None:
    """Publish `card` as the newest of its line, valid from an hour ago."""
    def work(tx: PostgresTransaction) -> None:
        publish_cards(tx, [replace(card, version=0, valid_from=(tx.now - timedelta(hours=1)).replace(microsecond=0))], OPERATOR)
    store.run(work)


def ran(store: Store, core_hours: int, **more: object) -> None:
    """alice's job of so many core-hours, ended just now."""
    now = int(store.read(lambda tx: tx.now).timestamp())
    keep_runs(store, run(7, run_key="c/7/now", submit_at=now - 3600, start_at=now - 3600, end_at=now - 1, elapsed_seconds=3599,
                         cpu_used_core_seconds=core_hours * 3600, alloc_gpus=0, mem_used_mib_seconds=0, **more))


def test_a_payer_is_priced_at_their_tier_and_a_stranger_at_the_default(store: Store) -> None:
    keep_runs(store, run(1))
    assert quoted(store, payer="alice").quote.total_micro == quoted(store, payer="nobody-yet").quote.total_micro == 80_000_000
    store.run(lambda tx: set_tier(tx, "alice", "gov", OPERATOR), actor="operator")
    assert quoted(store, payer="alice").quote.total_micro == quoted(store, tier="gov").quote.total_micro == 240_000_000


def test_what_alice_used_of_her_quota_this_month_is_not_free_again(store: Store) -> None:
    """100 core-hours are free a month: 60 are used, of 80 more 40 cost 1.00 each."""
    publish(store, replace(GOV, tier="mu", prices=(Price("cpu", (Step(0, 0), Step(100, 1_000_000))), *flat_prices(gpu=0, mem=0))))
    assert quoted(store, payer="alice").quote.total_micro == 0
    ran(store, 60)
    made = quoted(store, payer="alice")
    assert made.quote.total_micro == 40_000_000 and "60 used before it in its month" in made.quote.steps[0].detail
    assert quoted(store, payer="bob").quote.total_micro == 0 == quoted(store).quote.total_micro


def test_a_quote_of_another_month_sees_that_months_use(store: Store) -> None:
    """60 of September's free 100 were used: a job of September sees them from when they were used; one of next month does not."""
    store.run(lambda tx: publish_cards(tx, [replace(GOV, tier="mu", version=0, valid_from=datetime(2026, 9, 1, tzinfo=UTC), prices=(
        Price("cpu", (Step(0, 0), Step(100, 1_000_000))), *flat_prices(gpu=0, mem=0)))], OPERATOR))
    keep_runs(store, run(1, cpu_used_core_seconds=60 * 3600))
    ended = datetime.fromtimestamp(ENDED, UTC)

    def notes(begin: datetime) -> tuple[int, str]:
        made = quoted(store, replace(ASKED, begin=begin), payer="alice").quote
        return made.total_micro, made.notes[-1]
    assert notes(ended) == (40_000_000, "Of September 2026 what had ended before it is counted.")
    assert notes(ended - timedelta(hours=10, seconds=1)) == (0, "Of September 2026 what had ended before it is counted.")
    assert notes(ended + timedelta(days=10)) == (0, "Of October 2026 what had ended before it is counted.")
    total, note = notes(store.read(lambda tx: tx.now) + timedelta(days=40))
    assert total == 0 and note.endswith("which begins with nothing used: what is used of it before this job is not known yet.")
    assert quoted(store).quote.notes[-1].startswith("Nothing is counted as used before it in")


def test_what_is_owed_stands_beside_and_no_balance_is_made_up(store: Store) -> None:
    ran(store, 5)
    owing = quoted(store, payer="alice").owing
    assert owing and (dict(owing.open_receipts), dict(owing.unbilled), owing.balance) == ({}, {"THB": 5_000_000}, None)
    assert quoted(store).owing is None


def test_ones_own_prices_are_everybodys_others_are_for_who_sees_all(store: Store) -> None:
    assert quoted(store, by=ALICE, payer="alice", tier="mu").quote.tier == "mu"
    with pytest.raises(NotAllowed):
        quoted(store, by=BOB, payer="alice")
    with pytest.raises(NotAllowed):
        quoted(store, by=ALICE, payer="alice", tier="gov")
    assert quoted(store, by=AUDITOR, payer="alice", tier="gov").quote.tier == "gov"


def test_a_projects_own_prices_are_for_those_who_compute_in_it(store: Store) -> None:
    publish(store, replace(GOV, tier="", project="physics", prices=flat_prices(cpu=0, gpu=0, mem=0)))
    asked = replace(ASKED, account="physics")
    with pytest.raises(NotAllowed, match="for those who compute in it"):
        quoted(store, asked, by=BOB, payer="bob")
    assert quoted(store, asked, by=replace(BOB, projects=("physics",)), payer="bob").quote.card.name == "project:physics-v1"
    ran(store, 1)
    assert quoted(store, asked, by=ALICE, payer="alice").quote.total_micro == 0
    assert quoted(store, asked).quote.total_micro == 0
