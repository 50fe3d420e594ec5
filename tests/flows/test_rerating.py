"""A month is billed; then the price is cut back to its first day. What was issued stays, the next receipt gives it back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from commands.check import findings
from data.postgres.store import Store
from engine.errors import NotAllowed, NothingToBill, RateError
from engine.policy import OPERATOR
from engine.rate_text import cards_from_text
from engine.rates import RateCard
from engine.services.payers import set_tier
from engine.services.rates import publish_cards
from engine.services.receipts import create_receipt, void_receipt
from engine.services.rerating import Rerated, rerate_cards, shadow
from tests.conftest import Corehours
from tests.engine.usage_frames import ENDED, run
from tests.flows.examples import ALICE, FINANCE, LATER, bill, books, broken, keep_runs

DAY = 86_400
MONTH = datetime(2026, 9, 1, tzinfo=UTC)
CUT = """
tier: mu
currency: THB
valid_from: 2026-09-01
policy: used
rounding: per_job_minor
prices: {cpu: 1, gpu: 3, mem: 0.5}
note: GPUs were too dear
"""
# The golden run at mu: 4.20 core-hours at 1.00, 2 GPU-hours at 5.00, 28 GiB-hours at 0.50 = 28.20. With the GPU at 3.00: 24.20.
GOLDEN, CUT_BY = 28_200_000, 4_000_000


def cards(text: str = CUT, **changed: object) -> list[RateCard]:
    for key, value in changed.items():
        text = "\n".join(f"{key}: {value}" if line.startswith(f"{key}:") else line for line in text.splitlines())
    return cards_from_text(text)


def rerate(store: Store, drafts: list[RateCard]) -> Rerated:
    return store.run(lambda tx: rerate_cards(tx, drafts, OPERATOR), actor="operator")


def whole(store: Store) -> list[str]:
    """Everything `./corehours check` finds, the analytics copy and the audit chain included."""
    return [finding.name for finding in findings(store) if finding.violations]


def costs(store: Store) -> dict[str, tuple[str, int]]:
    rows = pl.concat(store.read(lambda tx: list(tx.rerating.ended(["mu", "gov"], [], None, None)))).sort("run_key")
    return {key: (card, cost) for key, card, cost in rows.select("run_key", "rate_card", "cost_micro").iter_rows()}


def test_a_price_cut_back_to_the_first_of_a_billed_month(store: Store) -> None:
    """Three jobs of September on alice's receipt, one unbilled: the shadow says −4.00 each, and so it comes."""
    keep_runs(store, run(1), run(2, end_at=ENDED + 60), run(3, end_at=ENDED - 40 * DAY))
    receipt = bill(store)
    keep_runs(store, run(4, end_at=ENDED + DAY))
    assert receipt.total_micro == 3 * GOLDEN

    said = store.read(lambda tx: shadow(tx, cards(), MONTH, None, FINANCE))
    assert (said.jobs, said.before_micro, said.after_micro) == (3, 3 * GOLDEN, 3 * (GOLDEN - CUT_BY))
    assert (said.total("receipted_jobs"), said.total("receipted_difference_micro")) == (2, -2 * CUT_BY)
    owed, lines = books(store), store.read(lambda tx: tx.receipts.lines(receipt.id))

    done = store.run(lambda tx: rerate_cards(tx, cards(), OPERATOR), actor="operator")

    assert done.effect is not None and done.effect.sums.equals(said.sums)
    assert [card.name for card in done.cards] == ["mu-v2"]
    assert books(store) == owed                                 # nothing issued moved, in the ledger or on paper
    assert store.read(lambda tx: tx.receipts.lines(receipt.id)).equals(lines)
    assert store.read(lambda tx: tx.receipts.get(receipt.id)) == receipt
    assert whole(store) == []

    following = bill(store)
    kinds = store.read(lambda tx: tx.receipts.lines(following.id)).select("job_id", "kind", "rate_card", "gpu_micro", "cost_micro").rows()
    assert kinds == [("1", "adjustment", "mu-v2", -CUT_BY, -CUT_BY), ("2", "adjustment", "mu-v2", -CUT_BY, -CUT_BY),
                     ("4", "usage", "mu-v2", 6_000_000, GOLDEN - CUT_BY)]
    assert following.total_micro == GOLDEN - CUT_BY - 2 * CUT_BY
    assert books(store)["receivable:alice"] == owed["receivable:alice"] + following.total_micro
    assert books(store)["income:gpu"] == owed["income:gpu"] + 6_000_000 - 2 * CUT_BY
    assert whole(store) == []


def test_doing_it_twice_changes_nothing(store: Store) -> None:
    keep_runs(store, run(1))
    bill(store)
    rerate(store, cards())
    first = (costs(store), store.read(lambda tx: (tx.rates.book(), tx.audit.head())))
    assert store.run(lambda tx: rerate_cards(tx, cards(), OPERATOR)).cards == ()
    assert (costs(store), store.read(lambda tx: (tx.rates.book(), tx.audit.head()))) == first


def test_a_correction_after_it_is_priced_by_the_new_card(store: Store) -> None:
    """Billed by v1, re-rated by v2, then the source takes one of two GPU-hours back: it is worth 3.00 now, not 5.00."""
    keep_runs(store, run(1))
    bill(store)
    rerate(store, cards())
    keep_runs(store, run(1, elapsed_seconds=3600))
    assert costs(store)["c/1/1789992800"] == ("mu-v2", GOLDEN - CUT_BY - 3_000_000)
    keep_runs(store, run(2))
    assert bill(store).total_micro == GOLDEN - CUT_BY - CUT_BY - 3_000_000
    assert whole(store) == []


def test_an_adjustment_for_each_of_two_re_ratings(store: Store) -> None:
    """Each is on a receipt of its own: the second is not mistaken for the first."""
    keep_runs(store, run(1))
    bill(store)
    rerate(store, cards())
    keep_runs(store, run(2))
    assert bill(store).total_micro == GOLDEN - CUT_BY - CUT_BY
    rerate(store, cards(valid_from="2026-09-02", prices="{cpu: 1, gpu: 2, mem: 0.5}"))
    keep_runs(store, run(3))
    second = bill(store)
    assert (second.lines, second.total_micro) == (3, GOLDEN - 6_000_000 - 2 * 2_000_000)
    assert whole(store) == []


def test_a_void_after_it_bills_the_new_price(store: Store) -> None:
    keep_runs(store, run(1))
    receipt = bill(store)
    rerate(store, cards())
    store.run(lambda tx: void_receipt(tx, receipt.id, "wrong address", OPERATOR))
    assert bill(store).total_micro == GOLDEN - CUT_BY
    assert whole(store) == []


def test_a_card_between_two_published_ones_ends_where_the_next_begins(store: Store) -> None:
    keep_runs(store, run(1), run(2, end_at=ENDED + 10 * DAY))
    store.run(lambda tx: publish_cards(tx, cards(valid_from=(MONTH + timedelta(days=25)).isoformat(), prices="{cpu: 9, gpu: 0, mem: 0}"),
                                       OPERATOR))
    rerate(store, cards())
    assert [card for card, _ in costs(store).values()] == ["mu-v3", "mu-v2"]
    assert whole(store) == []


def test_the_tier_a_job_was_billed_at_says_which_card_reaches_it(store: Store) -> None:
    """Billed at mu, then moved to gov: a cut of mu gives back, one of gov does not reach it."""
    keep_runs(store, run(1))
    bill(store)
    store.run(lambda tx: set_tier(tx, "alice", "gov", OPERATOR))
    assert store.read(lambda tx: shadow(tx, cards(tier="gov"), MONTH, None, OPERATOR)).jobs == 0
    assert store.read(lambda tx: shadow(tx, cards(), MONTH, None, OPERATOR)).difference_micro == -CUT_BY


def test_who_may(store: Store) -> None:
    """A finance person may look what it would do; prices are set by an admin."""
    keep_runs(store, run(1))
    assert store.read(lambda tx: shadow(tx, cards(), None, None, FINANCE)).jobs == 1
    with pytest.raises(NotAllowed):
        store.run(lambda tx: rerate_cards(tx, cards(), FINANCE))
    with pytest.raises(NotAllowed):
        store.read(lambda tx: shadow(tx, cards(), None, None, ALICE))


@pytest.mark.parametrize(("draft", "refused"), [
    (cards(currency="USD"), "Tier mu is billed in THB"),
    (cards() + cards(prices="{cpu: 2, gpu: 3, mem: 1}"), "Two cards of mu begin at 2026-09-01"),
    ([], "There is no card in it")])
def test_refused_as_a_whole(store: Store, draft: list[RateCard], refused: str) -> None:
    keep_runs(store, run(1))
    bill(store)
    before = (costs(store), store.read(lambda tx: tx.rates.book()))
    for attempt in (lambda: store.read(lambda tx: shadow(tx, draft, None, None, OPERATOR)), lambda: rerate(store, draft)):
        with pytest.raises(RateError, match=refused):
            attempt()
    assert (costs(store), store.read(lambda tx: tx.rates.book())) == before


def test_ordinary_publishing_still_refuses_what_is_billed(store: Store) -> None:
    keep_runs(store, run(1))
    bill(store)
    with pytest.raises(RateError, match="Receipts were issued"):
        store.run(lambda tx: publish_cards(tx, cards(), OPERATOR))


def test_what_is_only_given_back_waits_for_new_jobs(store: Store) -> None:
    keep_runs(store, run(1))
    bill(store)
    rerate(store, cards())
    with pytest.raises(NothingToBill, match=r"give back 4\.00 THB"):
        store.run(lambda tx: create_receipt(tx, "alice", LATER, OPERATOR))
    assert broken(store) == []


def test_on_the_command_line(store: Store, corehours: Corehours, tmp_path: Path) -> None:
    keep_runs(store, run(1), run(2, user_name="bob", account_name="chem", end_at=ENDED + 2 * DAY))
    bill(store)
    file = tmp_path / "cut.yaml"
    file.write_text(CUT)

    tried = json.loads(corehours("rates", "try", "--file", str(file), "-S", "2026-09-01", "-E", "2026-10-01", "--json").stdout)
    assert {name: tried[name] for name in ("currency", "since", "until", "jobs", "before_micro", "after_micro", "difference_micro",
                                           "receipted_difference_micro")} == {
        "currency": "THB", "since": "2026-09-01T00:00:00Z", "until": "2026-10-01T00:00:00Z", "jobs": 2, "before_micro": 2 * GOLDEN,
        "after_micro": 2 * (GOLDEN - CUT_BY), "difference_micro": -2 * CUT_BY, "receipted_difference_micro": -CUT_BY}
    assert [(row["day"], row["difference_micro"]) for row in tried["by_day"]] == [("2026-09-21", -CUT_BY), ("2026-09-23", -CUT_BY)]
    assert [row["account"] for row in tried["by_account"]] == ["chem", "physics"]
    assert [row["payer"] for row in tried["payers"]] == ["alice", "bob"]
    assert [row["tier"] for row in tried["by_tier"]] == ["mu"]

    done = json.loads(corehours("rates", "rerate", "--file", str(file), "--json").stdout)
    assert (done["cards"], done["difference_micro"], done["receipted_jobs"]) == (["mu-v2"], -2 * CUT_BY, 1)
    again = corehours("rates", "rerate", "--file", str(file))
    assert "Nothing was changed." in again.stdout
    assert "2 jobs, 0 with another price, 1 on receipts" in corehours("rates", "try", "--file", str(file)).stdout
