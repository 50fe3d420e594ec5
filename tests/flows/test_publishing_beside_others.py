"""A card is published while somebody bills, voids or changes a tier: each job ends with the price of one of the orders."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

import pytest

from data.postgres.store import PostgresTransaction, Store
from engine.policy import OPERATOR
from engine.rate_text import cards_from_text
from engine.rates import RateCard
from engine.services import rates
from engine.services.payers import set_tier
from engine.services.receipts import void_receipt
from tests.engine.usage_frames import run
from tests.flows.examples import bill, broken, keep_runs

MOMENT = 0.5                    # seconds in which the other would be done if nothing held it back


def card(tier: str) -> list[RateCard]:
    return cards_from_text(f"tier: {tier}\ncurrency: THB\nvalid_from: 2026-09-01\npolicy: used\nrounding: per_job_minor\n"
                           "prices: {cpu: 2, gpu: 2, mem: 2}")


def publish_beside(store: Store, tier: str, deed: Callable[[], object]) -> None:
    """Publish, and begin `deed` before that is committed."""
    other = Thread(target=deed)

    def publish(tx: PostgresTransaction) -> None:
        rates.publish_cards(tx, card(tier), OPERATOR)
        other.start()
        other.join(MOMENT)
    store.run(publish)
    other.join()


def test_a_receipt_asks_the_price_of_the_card_that_was_checked_against_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The publisher has looked that nothing is billed since valid_from; a receipt made right then waits for the card."""
    keep_runs(store, run())
    other, check = Thread(target=lambda: bill(store)), rates._check_not_billed

    def checked(tx: PostgresTransaction, new: RateCard) -> None:
        check(tx, new)
        other.start()
        other.join(MOMENT)
    monkeypatch.setattr(rates, "_check_not_billed", checked)
    store.run(lambda tx: rates.publish_cards(tx, card("mu"), OPERATOR))
    other.join()
    [receipt] = store.read(lambda tx: tx.receipts.all())
    assert store.read(lambda tx: tx.receipts.lines(receipt.id))["rate_card"].to_list() == ["mu-v2"]
    assert broken(store) == []


def test_a_payer_who_comes_to_the_tier_meanwhile_pays_the_new_card(store: Store) -> None:
    keep_runs(store, run())
    publish_beside(store, "gov", lambda: store.run(lambda tx: set_tier(tx, "alice", "gov", OPERATOR)))
    assert broken(store) == []


def test_jobs_that_a_void_frees_meanwhile_pay_the_new_card(store: Store) -> None:
    keep_runs(store, run())
    receipt = bill(store)
    store.run(lambda tx: set_tier(tx, "alice", "gov", OPERATOR))
    publish_beside(store, "gov", lambda: store.run(lambda tx: void_receipt(tx, receipt.id, "moved", OPERATOR)))
    assert broken(store) == []
