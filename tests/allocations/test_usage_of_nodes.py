"""What allocations used becomes usage like any other's, at what was charged, and is never billed or priced again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from data.node_usage import keep_node_usage
from data.ssh_keys import new_key_pair
from data.what_if import tried
from engine.allocations import Allocation
from engine.errors import NothingToBill
from engine.explained import Reason
from engine.policy import OPERATOR
from engine.rates import Policy, Price, RateCard, Rounding, Step, flat_prices
from engine.services.allocations import release_allocation, request_allocation
from engine.services.explain import disagreeing, explain_job
from engine.services.payers import set_tier
from engine.services.project_wallets import open_project_wallet
from engine.services.receipts import create_receipt
from engine.services.rerating import rerate_cards, shadow
from engine.users import Person
from engine.wallets import PROJECT
from tests.allocations.conftest import Lab
from tests.allocations.hands import Hands

LATER = datetime(2027, 6, 1, tzinfo=UTC)
CHARGED = 5401 * 20_000_000 // 3600


@pytest.fixture
def over(lab: Lab) -> tuple[Lab, Person, Allocation]:
    """alice had four GPUs for 5,401 seconds at 20 THB an hour: 30.005555 THB."""
    hands = Hands(lab, lab.provisioner)
    lab.node("gpu-1")
    alice = lab.person("alice", "100")
    taken = lab.request(alice, "gpu-1")
    hands.try_once()
    began = lab.see(taken).active_at
    assert began is not None
    lab.later(began, seconds=5401)
    lab.run(lambda tx: release_allocation(tx, taken.id, alice))
    assert keep_node_usage(lab.store) == 0, "it is not released yet"
    hands.try_once()
    return lab, alice, lab.see(taken)


def usage(lab: Lab) -> list[tuple[object, ...]]:
    """All that is known."""
    with lab.store.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(
            "select run_key, user_name, account_name, payer, partition_name, alloc_tres, alloc_gpus, elapsed_seconds, gpu_seconds,"
            " cost_micro, billed_micro, settled from usage_record order by 1"))]


def test_it_is_kept_once_at_what_was_charged(over: tuple[Lab, Person, Allocation]) -> None:
    lab, _, taken = over
    assert [keep_node_usage(lab.store) for _ in range(2)] == [1, 0]
    assert usage(lab) == [(f"nodes-main/{taken.id}", "alice", "alice", "alice", "a100", "gres/gpu:a100=4", 4, 5401, 4 * 5401,
                           CHARGED, CHARGED, True)]
    assert lab.store.lake.differences() == [] and lab.broken() == {}


def test_no_receipt_takes_it_and_nothing_prices_it_again(over: tuple[Lab, Person, Allocation]) -> None:
    """Another tier, a new card, pricing everything again: it stays what it was."""
    lab, _, taken = over
    keep_node_usage(lab.store)
    before = usage(lab)
    with pytest.raises(NothingToBill):
        lab.run(lambda tx: create_receipt(tx, "alice", LATER, OPERATOR))
    lab.run(lambda tx: set_tier(tx, "alice", "private", OPERATOR, "she moved away"))
    assert taken.active_at is not None
    draft = RateCard("mu", 0, "THB", taken.active_at - timedelta(days=1), Policy.ALLOCATED, Rounding.PER_JOB_MINOR,
                     flat_prices(cpu=9_000_000, gpu=9_000_000, mem=9_000_000))
    copied, books = (tried(lab.store, [draft], None, None, OPERATOR),
                     lab.store.read(lambda tx: shadow(tx, [draft], None, None, OPERATOR)))
    assert copied.sums.equals(books.sums) and copied.sums["jobs"].sum() == 0
    lab.run(lambda tx: rerate_cards(tx, [draft], OPERATOR, "a card was wrong"))
    assert usage(lab) == before and lab.broken() == {}


def test_its_explanation_says_who_paid_it(over: tuple[Lab, Person, Allocation]) -> None:
    lab, alice, taken = over
    keep_node_usage(lab.store)
    [found] = lab.store.read(lambda tx: explain_job(tx, taken.id, alice)).runs
    assert [because.reason for because in found.reasons] == [Reason.PAID_AS_IT_RAN]
    assert found.reasons[0].sentence == f"It was paid from the wallet of alice as it ran, allocation {taken.id}: no receipt takes it."
    assert not found.disagrees and found.run.cost_micro == sum(factor.part.amount_micro for factor in found.explanation.factors) == CHARGED
    assert lab.store.read(disagreeing) == []


def test_the_database_says_no_as_well(over: tuple[Lab, Person, Allocation]) -> None:
    lab, _, _ = over
    keep_node_usage(lab.store)
    with pytest.raises(sa.exc.DBAPIError, match="paid as it ran never changes"), lab.store.engine.begin() as connection:
        connection.execute(sa.text("update usage_record set billed_micro = null"))


def test_a_node_that_a_project_paid_is_its_project_s_usage(lab: Lab) -> None:
    """Its lead sees it among the project's; a card of the project, which counts the month, is not tried on it either."""
    hands = Hands(lab, lab.provisioner)
    lab.node("gpu-1")
    alice = lab.person("alice")
    lab.run(lambda tx: open_project_wallet(tx, "bio", "alice", OPERATOR))
    lab.fill(f"{PROJECT}bio", "100")
    asked = lab.run(lambda tx: request_allocation(tx, "gpu-1", new_key_pair().public.line, f"{PROJECT}bio", alice, "form"))
    hands.try_once()
    began = lab.see(asked).active_at
    assert began is not None
    lab.later(began, minutes=6)
    lab.run(lambda tx: release_allocation(tx, asked.id, alice))
    hands.try_once()
    assert keep_node_usage(lab.store) == 1
    [row] = usage(lab)
    assert row[1:4] == ("alice", "bio", "alice") and row[9:] == (2_000_000, 2_000_000, True)
    draft = RateCard("", 0, "THB", began - timedelta(days=1), Policy.ALLOCATED, Rounding.PER_JOB_MINOR,
                     (Price("cpu", (Step(0, 0),)), Price("gpu", (Step(0, 0), Step(1, 9_000_000))), Price("mem", (Step(0, 0),))),
                     project="bio")
    copied, books = (tried(lab.store, [draft], None, None, OPERATOR),
                     lab.store.read(lambda tx: shadow(tx, [draft], None, None, OPERATOR)))
    assert copied.sums.equals(books.sums) and copied.sums["jobs"].sum() == 0
    assert lab.store.lake.differences() == [] and lab.broken() == {}
