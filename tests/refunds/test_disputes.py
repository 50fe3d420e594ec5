"""A payer's bank asks for money back: frozen while it is open, taken, given back, won or lost, in whichever order it is told."""

from __future__ import annotations

from itertools import permutations

import pytest

from engine.payments import EventKind, Payment, Step
from engine.refunds import BadRefund
from tests.refunds.conftest import THB, Desk, changed, spend

OPENED, WITHDRAWN, REINSTATED = EventKind.DISPUTE_OPENED, EventKind.DISPUTE_WITHDRAWN, EventKind.DISPUTE_REINSTATED
WON, LOST = EventKind.DISPUTE_WON, EventKind.DISPUTE_LOST
PAID = {"clearing:dummy": 60_600_000, "income:cpu": 60_600_000}


def credited(desk: Desk, payer: str = "alice", baht: int = 100) -> Payment:
    """Money that is in the payer's wallet: it came for a receipt that was paid otherwise."""
    _, paid = desk.paid(payer)
    desk.hear(desk.came(paid, baht * 100, money="ch_more"))
    return next(one for one in desk.store.read(lambda tx: tx.payments.all()) if one.status == "credited")


def frozen(desk: Desk, owner: str = "alice") -> int:
    return desk.store.read(lambda tx: tx.disputes.frozen_micro(owner, "THB")) // THB


def states(desk: Desk, payment: Payment) -> list[tuple[str, bool, bool]]:
    """(status, withdrawn, reinstated) of each dispute."""
    return [(str(one.status), one.withdrawn_at is not None, one.reinstated_at is not None)
            for one in desk.store.read(lambda tx: tx.disputes.of_payment(payment.id))]


def test_a_dispute_over_a_receipt_is_lost(desk: Desk) -> None:
    """Opened: flagged. Withdrawn: the provider has 60.60 less. Lost: written off. The receipt was paid, and says so."""
    receipt, payment = desk.paid()
    desk.hear(desk.word(OPENED, payment, 6060, "dp_1", why="fraudulent"))
    assert desk.ledger() == PAID and states(desk, payment) == [("open", False, False)]
    with pytest.raises(BadRefund, match="There is a dispute over"):
        desk.refund(receipt.number)
    desk.hear(desk.word(WITHDRAWN, payment, 6060, "dp_1"))
    assert desk.ledger() == {"dispute:dummy": 60_600_000, "income:cpu": 60_600_000}
    desk.hear(desk.word(LOST, payment, 6060, "dp_1"))
    assert desk.ledger() == {"write_off:disputes": 60_600_000, "income:cpu": 60_600_000}
    assert desk.books.status(receipt) == "paid"
    with pytest.raises(BadRefund, match="There is a dispute over"):
        desk.refund(receipt.number)


@pytest.mark.parametrize("told", [(OPENED, LOST), (LOST,), (OPENED, LOST, WITHDRAWN), (LOST, WITHDRAWN, OPENED)])
def test_what_is_lost_was_taken_whoever_says_so(desk: Desk, told: tuple[EventKind, ...]) -> None:
    """Some providers never say apart that they took the money, some say it late: it is gone once."""
    _, payment = desk.paid()
    for kind in told:
        desk.hear(desk.word(kind, payment, 6060, "dp_1"))
    assert desk.ledger() == {"write_off:disputes": 60_600_000, "income:cpu": 60_600_000}
    assert states(desk, payment) == [("lost", True, False)]


def test_a_dispute_over_a_receipt_is_won(desk: Desk) -> None:
    receipt, payment = desk.paid()
    for kind in (OPENED, WITHDRAWN, WON, REINSTATED):
        desk.hear(desk.word(kind, payment, 6060, "dp_1"))
    assert desk.ledger() == PAID and states(desk, payment) == [("won", True, True)]
    desk.refund(receipt.number)


def test_money_in_a_wallet_is_frozen_while_it_is_disputed(desk: Desk) -> None:
    payment = credited(desk)
    desk.hear(desk.word(OPENED, payment, 10_000, "dp_1"))
    assert frozen(desk) == 100 and desk.books.ledger()["wallet:alice"] == 100 * THB
    desk.hear(desk.word(WON, payment, 10_000, "dp_1"))
    assert frozen(desk) == 0 and desk.books.ledger()["wallet:alice"] == 100 * THB


@pytest.mark.parametrize("spent", [0, 30, 100])
def test_a_lost_dispute_takes_the_wallet_as_far_as_it_goes(desk: Desk, spent: int) -> None:
    """Never below its floor; the rest is written off."""
    payment = credited(desk)
    if spent:
        spend(desk, "alice", spent * THB)
    for kind in (OPENED, WITHDRAWN, LOST):
        desk.hear(desk.word(kind, payment, 10_000, "dp_1"))
    ledger = desk.books.ledger()
    assert ledger.get("write_off:disputes", 0) == spent * THB and "wallet:alice" not in ledger and "dispute:dummy" not in ledger
    assert frozen(desk) == 0


@pytest.mark.parametrize("order", list(permutations((OPENED, WITHDRAWN, LOST))), ids=lambda order: "-".join(kind[8:] for kind in order))
def test_the_order_of_words_does_not_matter(desk: Desk, order: tuple[EventKind, ...]) -> None:
    """Each twice; the same end."""
    _receipt, payment = desk.paid()
    for kind in order:
        assert desk.hear(desk.word(kind, payment, 6060, "dp_1")).step in (Step.BOOK, Step.NOTHING)
        assert desk.hear(desk.word(kind, payment, 6060, "dp_1")).step is Step.NOTHING
    assert desk.ledger() == {"write_off:disputes": 60_600_000, "income:cpu": 60_600_000}
    assert states(desk, payment) == [("lost", True, False)]


def test_a_lost_dispute_may_be_overturned(desk: Desk) -> None:
    payment = credited(desk)
    for kind in (OPENED, WITHDRAWN, LOST, REINSTATED, WON):
        desk.hear(desk.word(kind, payment, 10_000, "dp_1"))
    assert desk.books.ledger()["wallet:alice"] == 100 * THB and "dispute:dummy" not in desk.books.ledger()
    assert desk.hear(desk.word(LOST, payment, 10_000, "dp_1")).step is Step.NOTHING


def test_words_that_contradict_the_books_change_nothing(desk: Desk) -> None:
    _receipt, payment = desk.paid()
    desk.hear(desk.word(OPENED, payment, 1000, "dp_1"))
    for wrong in (desk.word(WITHDRAWN, payment, 1001, "dp_1"), desk.word(OPENED, payment, 6061, "dp_2"),
                  changed(desk.word(OPENED, payment, 1000, "dp_3"), currency="USD")):
        assert desk.hear(wrong).step is Step.CONTRADICT
    assert desk.hear(changed(desk.word(LOST, payment, 1000, "dp_1"), livemode=True)).step is Step.IGNORE
    assert desk.ledger() == PAID and states(desk, payment) == [("open", False, False)]


def test_the_database_itself_guards_disputes(desk: Desk) -> None:
    _receipt, payment = desk.paid()
    for kind in (OPENED, WITHDRAWN, WON):
        desk.hear(desk.word(kind, payment, 6060, "dp_1"))
    desk.hear(desk.word(REINSTATED, payment, 6060, "dp_1"))
    for sql in ("update dispute set amount_micro = 1", "delete from dispute", "truncate dispute", "update dispute set withdrawn_at = null",
                "update dispute set status = 'lost'"):
        with pytest.raises(Exception, match=r"never changes|written once|does not go"):
            desk.store.run(lambda tx, sql=sql: tx.disputes.execute(sql))  # type: ignore[misc]
