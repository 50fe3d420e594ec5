"""A card says what a month costs at least. What a payer's usage is short of it stands on a receipt once the month is over;
what comes late moves it by adjustments, and a month never costs less than its minimum, nor more than that and its usage.
"""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from data.postgres.store import Store
from engine.errors import NothingToBill, RateError
from engine.policy import OPERATOR
from engine.rate_text import cards_from_text
from engine.receipts import Receipt
from engine.services.commitments import month_standing, wrong_lines
from engine.services.payers import set_tier
from engine.services.rates import publish_text
from engine.services.receipts import payers_to_bill, preview_receipt, void_receipt
from engine.services.rerating import rerate_cards
from tests.engine.usage_frames import ENDED, run
from tests.flows.examples import ALICE, bill, books, broken, keep_runs

BAHT = 1_000_000
OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
CARD = """
tier: mu
currency: THB
valid_from: 2026-09-01
policy: used
rounding: per_job_minor
prices: {cpu: 1, gpu: 0, mem: 0}
commitment: 100
"""


def publish(store: Store, text: str = CARD) -> None:
    store.run(lambda tx: publish_text(tx, text, OPERATOR), actor="operator")


def job(number: int, baht: int, ended: int = ENDED, **told: object) -> dict[str, object]:
    """A run that costs so many baht."""
    return run(number, cpu_used_core_seconds=baht * 3600, end_at=ended, start_at=ended - 7200, **told)


def lines(store: Store, receipt: Receipt) -> list[tuple[object, ...]]:
    """Kind and baht of a receipt's lines."""
    rows = store.read(lambda tx: tx.receipts.lines(receipt.id)).select("kind", "job_id", "cost_micro").rows()
    return [(kind, job_id, micro / BAHT) for kind, job_id, micro in rows]


def sound(store: Store) -> bool:
    return broken(store) == [] and store.read(wrong_lines) == []


def test_a_months_shortfall_stands_beside_its_usage(store: Store) -> None:
    """Sixty of a hundred: forty more, earned as income of its own."""
    publish(store)
    keep_runs(store, job(1, 60))
    receipt = bill(store, before=OCTOBER)
    assert lines(store, receipt) == [("commitment", None, 40), ("usage", "1", 60)]
    assert receipt.total_micro == 100 * BAHT
    assert books(store) == {"receivable:alice": 100 * BAHT, "income:cpu": 60 * BAHT, "income:commitment": 40 * BAHT}
    assert sound(store)
    with pytest.raises(NothingToBill):
        bill(store, before=OCTOBER)


def test_a_month_that_is_not_over_owes_its_usage_only(store: Store) -> None:
    """Neither up to a day within it, nor when it lies ahead of the clock."""
    publish(store)
    keep_runs(store, job(1, 60))
    assert lines(store, bill(store, before=OCTOBER - timedelta(seconds=1))) == [("usage", "1", 60)]
    assert lines(store, bill(store, before=OCTOBER)) == [("commitment", None, 40)]
    now = int(store.read(lambda tx: tx.now).timestamp())
    keep_runs(store, job(2, 10, now - 60))
    assert lines(store, bill(store, before=datetime.fromtimestamp(now, UTC) + timedelta(days=90))) == [("usage", "2", 10)]


def test_preview_and_everybody_know_of_it(store: Store) -> None:
    publish(store)
    keep_runs(store, job(1, 60))
    bill(store, before=OCTOBER - timedelta(days=1))
    assert store.read(lambda tx: payers_to_bill(tx, OCTOBER - timedelta(days=1))) == []
    assert store.read(lambda tx: payers_to_bill(tx, OCTOBER)) == ["alice"]
    assert store.read(lambda tx: preview_receipt(tx, "alice", OCTOBER, ALICE)).total_micro == 40 * BAHT
    assert bill(store, before=OCTOBER).total_micro == 40 * BAHT


def test_a_late_job_takes_its_part_off_again(store: Store) -> None:
    """Twenty-five more of September: they count towards what was paid. Fifty more reach beyond the minimum by 35."""
    publish(store)
    keep_runs(store, job(1, 60))
    first = bill(store, before=OCTOBER)
    keep_runs(store, job(2, 25, ENDED + 60))
    second = bill(store, before=NOVEMBER)
    assert lines(store, second) == [("adjustment", None, -25), ("usage", "2", 25)]
    keep_runs(store, job(3, 50, ENDED + 120))
    third = bill(store, before=NOVEMBER)
    assert lines(store, third) == [("adjustment", None, -15), ("usage", "3", 50)]
    assert [receipt.total_micro for receipt in (first, second, third)] == [100 * BAHT, 0, 35 * BAHT]
    assert lines(store, first) == [("commitment", None, 40), ("usage", "1", 60)]
    assert sound(store)


def test_a_correction_downwards_is_made_up_for_by_the_minimum(store: Store) -> None:
    publish(store)
    keep_runs(store, job(1, 60))
    bill(store, before=OCTOBER)
    keep_runs(store, job(1, 45))
    assert lines(store, bill(store, before=NOVEMBER)) == [("adjustment", None, 15), ("adjustment", "1", -15)]
    assert sound(store)


def test_a_void_frees_the_month(store: Store) -> None:
    publish(store)
    keep_runs(store, job(1, 60))
    first = bill(store, before=OCTOBER)
    store.run(lambda tx: void_receipt(tx, first.id, "wrong payer", OPERATOR), actor="operator")
    assert books(store) == {}
    again = bill(store, before=OCTOBER)
    assert lines(store, again) == lines(store, first)
    assert sound(store)


def test_a_void_between_two_is_made_good_by_the_next(store: Store) -> None:
    """Sixty and fifty need no minimum any more; the receipt that said so is void, so the next one says it again."""
    publish(store)
    keep_runs(store, job(1, 60))
    bill(store, before=OCTOBER)
    keep_runs(store, job(2, 50, ENDED + 60))
    second = bill(store, before=OCTOBER)
    assert lines(store, second) == [("adjustment", None, -40), ("usage", "2", 50)]
    keep_runs(store, job(3, 10, ENDED + 120))
    assert lines(store, bill(store, before=OCTOBER)) == [("usage", "3", 10)]
    store.run(lambda tx: void_receipt(tx, second.id, "wrong month", OPERATOR), actor="operator")
    assert sound(store)
    assert lines(store, bill(store, before=OCTOBER)) == [("adjustment", None, -40), ("usage", "2", 50)]
    assert sum_of(store) == 120 * BAHT
    assert sound(store)


def sum_of(store: Store) -> int:
    """All that live lines bill."""
    return int(store.read(lambda tx: tx.connection.execute(sa.text(
        "select coalesce(sum(cost_micro), 0) from receipt_line where live")).scalar_one()))


def test_cards_count_for_their_days_and_the_last_month_of_a_card_is_prorated(store: Store) -> None:
    """From 11 September: 100 × 20/30 = 66.67. From 16 October 200: 100 × 15/31 + 200 × 16/31 = 151.61."""
    publish(store, CARD.replace("2026-09-01", "2026-09-11"))
    publish(store, CARD.replace("2026-09-01", "2026-10-16").replace("100", "200"))
    keep_runs(store, job(1, 10), job(2, 10, ENDED + 20 * 86_400))
    receipt = bill(store, before=NOVEMBER)
    found = store.read(lambda tx: tx.commitments.lines("alice"))
    assert [(line.of.month, line.minimum_micro, line.cost_micro) for line in found] == [
        (date(2026, 9, 1), 66_670_000, 56_670_000), (date(2026, 10, 1), 151_610_000, 141_610_000)]
    assert [(name, days) for name, days, _ in found[1].shares] == [("mu-v2", 15), ("mu-v3", 16)]
    assert receipt.total_micro == (66_670_000 + 151_610_000)
    assert sound(store)


def test_a_month_without_usage_owes_nothing_unless_the_card_says_so(store: Store) -> None:
    publish(store)
    keep_runs(store, job(1, 0, elapsed_seconds=0))                 # cancelled before it ran: nothing was used
    assert lines(store, bill(store, before=NOVEMBER)) == [("usage", "1", 0)]
    now = store.read(lambda tx: tx.now)
    first = (now.replace(day=1) - timedelta(days=1)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    publish(store, CARD.replace("2026-09-01", first.isoformat()).replace("commitment: 100", "commitment: {amount: 100, unused: true}"))
    with store.engine.begin() as connection:
        connection.execute(sa.text("update payer set created_at = :at"), {"at": first})
    assert lines(store, bill(store, before=now)) == [("commitment", None, 100)]
    assert sound(store)


def test_a_tiers_minimum_is_owed_by_those_who_are_of_it(store: Store) -> None:
    """What is unbilled is priced at the tier of now, and so is the minimum; what is billed stays."""
    publish(store)
    keep_runs(store, job(1, 60))
    store.run(lambda tx: set_tier(tx, "alice", "gov", OPERATOR), actor="operator")
    receipt = bill(store, before=NOVEMBER)
    assert [kind for kind, *_ in lines(store, receipt)] == ["usage"]
    store.run(lambda tx: set_tier(tx, "alice", "mu", OPERATOR), actor="operator")
    keep_runs(store, job(2, 60, ENDED + 60))
    assert [kind for kind, *_ in lines(store, bill(store, before=NOVEMBER))] == ["commitment", "usage"]
    store.run(lambda tx: set_tier(tx, "alice", "gov", OPERATOR), actor="operator")
    with pytest.raises(NothingToBill):
        bill(store, before=NOVEMBER)
    assert sound(store)


def test_a_card_that_reaches_into_a_billed_month_is_refused_but_re_rating_may(store: Store) -> None:
    publish(store)
    keep_runs(store, job(1, 60))
    bill(store, before=OCTOBER)
    late = CARD.replace("2026-09-01", "2026-09-25").replace("100", "130")
    with pytest.raises(RateError, match="In line 4, valid_from: The minimum of September 2026 stands on receipts"):
        publish(store, late)
    store.run(lambda tx: rerate_cards(tx, cards_from_text(CARD.replace("100", "130")), OPERATOR), actor="operator")
    assert lines(store, bill(store, before=OCTOBER)) == [("adjustment", None, 30)]
    store.run(lambda tx: rerate_cards(tx, cards_from_text(CARD.replace("commitment: 100", "").replace("cpu: 1", "cpu: 2")), OPERATOR),
              actor="operator")
    with pytest.raises(NothingToBill, match=r"Corrections give back 10\.00 THB"):
        bill(store, before=OCTOBER)                 # 60 more for the job, 70 less without a minimum
    assert sound(store)


def test_the_month_says_where_it_stands(store: Store) -> None:
    publish(store)
    keep_runs(store, job(1, 60))
    bill(store, before=OCTOBER)
    keep_runs(store, job(2, 25, ENDED + 60))
    [standing] = store.read(lambda tx: month_standing(tx, "alice", date(2026, 9, 1), ALICE))
    due = standing.due
    assert (due.minimum.micro, due.used_micro, due.due_micro, due.owed_micro) == (100 * BAHT, 85 * BAHT, 15 * BAHT, -25 * BAHT)
    assert [(line.kind, line.cost_micro) for line in standing.lines] == [("commitment", 40 * BAHT)]


def test_the_database_refuses_a_second_line_and_a_line_that_does_not_add_up(store: Store) -> None:
    publish(store)
    keep_runs(store, job(1, 60))
    bill(store, before=OCTOBER)
    copied = ("insert into receipt_line (receipt_id, revision, kind, rate_card, policy, cpu_core_seconds, gpu_seconds, mem_mib_seconds,"
              " cpu_micro, gpu_micro, mem_micro, rounding_micro, commitment_micro, cost_micro, payer, card_line, month, minimum_micro,"
              " used_micro, before_micro, shares) select receipt_id, {revision}, kind, rate_card, policy, 0, 0, 0, 0, 0, 0, 0,"
              " {micro}, {micro}, {payer}, card_line, month, minimum_micro, used_micro, before_micro, shares from receipt_line"
              " where month is not null")
    for given, name in (({"revision": "2", "micro": "commitment_micro", "payer": "payer"}, "one_live_commitment_a_month"),
                        ({"revision": "2", "micro": "commitment_micro + 1", "payer": "payer"}, "shortfall_of_a_month"),
                        ({"revision": "2", "micro": "commitment_micro", "payer": "'bob'"}, "foreign key")):
        with pytest.raises(sa.exc.IntegrityError, match=name), store.engine.begin() as connection:
            connection.execute(sa.text(copied.format(**given)))


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=pytest.mark.long) if seed > 1 else seed for seed in range(6)])
def test_whatever_comes_in_whatever_order_a_month_costs_its_usage_or_its_minimum(store: Store, seed: int) -> None:
    """Jobs, corrections, receipts and voids in any order: in the end live lines bill the greater of the two, month by month."""
    dice = random.Random(seed)
    publish(store)
    jobs: dict[int, tuple[int, int]] = {}
    issued: list[Receipt] = []
    for step in range(14):
        number = dice.choice([step, *jobs])
        jobs[number] = (dice.randint(0, 90), dice.choice([ENDED, ENDED + 20 * 86_400]) + number)
        keep_runs(store, job(number, *jobs[number]))
        if dice.random() < 0.5:
            try:
                issued.append(bill(store, before=dice.choice([OCTOBER, NOVEMBER])))
            except NothingToBill:
                pass
        if issued and dice.random() < 0.3:
            one = issued.pop(dice.randrange(len(issued)))
            if one.total_micro:
                store.run(lambda tx: void_receipt(tx, one.id, "try", OPERATOR), actor="operator")   # noqa: B023
        assert sound(store)
    keep_runs(store, job(99, 500, ENDED + 99), job(98, 500, ENDED + 20 * 86_400 + 98))      # more than all that is to be given back
    bill(store, before=NOVEMBER)
    used = [sum(baht for baht, ended in jobs.values() if (ended < ENDED + 10 * 86_400) == september) + 500 for september in (True, False)]
    assert sum_of(store) == sum(max(100, baht) for baht in used) * BAHT
    assert sound(store)
