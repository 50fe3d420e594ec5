"""Quotes over the books: the payer's tier, what they used this month, what they owe, and whose prices one may ask for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from data.postgres.store import PostgresTransaction, Store
from engine.errors import NotAllowed
from engine.money import Money
from engine.policy import OPERATOR
from engine.quote_words import cover_words
from engine.rates import DEFAULT_CARDS, Price, RateCard, Step, flat_prices
from engine.sbatch import Request
from engine.services import users
from engine.services.adjustments import request_adjustment
from engine.services.payers import set_tier
from engine.services.project_wallets import open_project_wallet
from engine.services.quotes import Quoted, make_quote
from engine.services.rates import publish_cards
from engine.users import Role
from engine.wallets import Cover, Wallet
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


def test_what_is_owed_stands_beside(store: Store) -> None:
    ran(store, 5)
    owing = quoted(store, payer="alice").owing
    assert owing and (dict(owing.open_receipts), dict(owing.unbilled)) == ({}, {"THB": 5_000_000})
    assert quoted(store).owing is None and quoted(store).wallets == ()


def give(store: Store, owner: str, micro: int, currency: str = "THB") -> None:
    """Put money into a wallet by hand."""
    store.run(lambda tx: request_adjustment(tx, owner, Money(micro, currency), "to begin with", OPERATOR), actor="operator")


def wallets(made: Quoted) -> list[tuple[str, int, int, int, int]]:
    """Whose, what is available, what the quote would leave, what is missing, and what with all that is owed."""
    return [(one.wallet.owner, one.wallet.available_micro, one.left_micro, one.missing_micro, one.missing_with_owed_micro)
            for one in (standing.cover for standing in made.wallets)]


def test_the_wallet_covers_the_quote_or_it_is_told_what_is_missing_and_where_to_add_it(store: Store) -> None:
    """The job costs 80.00, and 5.00 are owed already: 79.99 are a satang short, 80.00 are enough for the quote alone."""
    ran(store, 5)
    assert wallets(quoted(store, payer="alice")) == [("alice", 0, 0, 80_000_000, 85_000_000)]
    give(store, "alice", 79_990_000)
    made = quoted(store, by=ALICE, payer="alice")
    assert wallets(made) == [("alice", 79_990_000, 0, 10_000, 5_010_000)] and not made.wallets[0].cover.covers
    assert made.wallets[0].top_up.endswith("/top-up?owner=alice")
    give(store, "alice", 10_000)
    made = quoted(store, by=ALICE, payer="alice")
    assert wallets(made) == [("alice", 80_000_000, 0, 0, 5_000_000)] and made.wallets[0].cover.covers
    assert cover_words(made.wallets[0].cover) == ("80.00 THB available now; the quote would leave 0.00 THB;"
                                                  " with what is owed already 5.00 THB missing.")
    give(store, "alice", 20_000_000)
    assert wallets(quoted(store, payer="alice")) == [("alice", 100_000_000, 20_000_000, 0, 0)]


def test_money_that_a_bank_asks_back_covers_nothing() -> None:
    cover = Cover(Wallet("alice", "THB", 100_000_000, frozen_micro=60_000_000), 80_000_000)
    assert not cover.covers and cover.missing_micro == 40_000_000
    assert cover_words(cover) == "40.00 THB available now, 60.00 THB frozen; 40.00 THB missing."


def test_a_projects_wallet_stands_beside_ones_own_for_those_who_share_it(store: Store) -> None:
    """bob leads a project with a wallet; alice, who does not share it, sees hers alone."""
    bob = store.run(lambda tx: users.add(tx, "bob", Role.RESEARCHER, "no password", "bob", by=OPERATOR), actor="operator")
    store.run(lambda tx: open_project_wallet(tx, "ai-lab", "bob", OPERATOR), actor="operator")
    give(store, "project:ai-lab", 500_000_000)
    his = [("bob", 0, 0, 80_000_000, 80_000_000), ("project:ai-lab", 500_000_000, 420_000_000, 0, 0)]
    assert wallets(quoted(store, by=bob, payer="bob")) == wallets(quoted(store, payer="bob")) == his
    assert [name for name, *_ in wallets(quoted(store, by=replace(ALICE, id=99), payer="alice"))] == ["alice"]


def test_a_wallet_of_another_currency_covers_nothing_and_cannot_be_filled_with_it(store: Store) -> None:
    """alice pays in THB; a quote of a tier in JPY asks for whole yen."""
    publish(store, replace(GOV, tier="visitor", currency="JPY"))
    keep_runs(store, run(1))
    give(store, "alice", 80_000_000)
    made = quoted(store, payer="alice", tier="visitor")
    assert wallets(made) == [("alice", 0, 0, 240_000_000, 240_000_000)] and made.wallets[0].top_up == ""
    assert cover_words(made.wallets[0].cover) == "0 JPY available now; 240 JPY missing."


def test_who_may_only_look_is_sent_to_no_wallet(store: Store) -> None:
    keep_runs(store, run(1))
    assert [one.top_up for one in quoted(store, by=AUDITOR, payer="alice").wallets] == [""]


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
