"""A payer's bank asks for money back: frozen while it is open, taken, given back, won or lost, in whichever order it is told."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from sqlalchemy.exc import IntegrityError

from engine.errors import IllegalMove
from engine.payments import EventKind, Payment, Step
from engine.policy import OPERATOR
from engine.refunds import BadRefund
from engine.services.wallets import assign_unapplied
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


def test_disputes_over_one_payment_are_over_no_more_than_it_brought(desk: Desk) -> None:
    """60.60 came; 40 are disputed. Another 20.60 can be, 20.61 cannot, until the first is won: somebody must look."""
    _receipt, payment = desk.paid()
    desk.hear(desk.word(LOST, payment, 4000, "dp_1"))
    refused = desk.hear(desk.word(OPENED, payment, 2061, "dp_2"))
    assert refused.step is Step.CONTRADICT and "of which 40.00 THB are disputed or lost already" in refused.why
    assert desk.hear(desk.word(OPENED, payment, 2060, "dp_3")).step is Step.BOOK
    desk.hear(desk.word(WON, payment, 4000, "dp_1"))
    assert desk.hear(desk.word(OPENED, payment, 2061, "dp_2")).step is Step.BOOK


def test_two_lost_disputes_take_from_the_wallet_what_the_payment_brought_there_and_no_more(desk: Desk) -> None:
    """100 came for 60.60: 39.40 went to the wallet, where another 100 lie. Two disputes of 50 are lost: the wallet pays 39.40."""
    receipt = desk.books.receipt_of("alice")
    payment = desk.books.payment_of(receipt)
    desk.hear(desk.came(payment, 10_000))
    desk.books.give("alice", "100.00")
    for name in ("dp_1", "dp_2"):
        desk.hear(desk.word(LOST, desk.now(payment), 5000, name))
    ledger = desk.books.ledger()
    assert (ledger["wallet:alice"], ledger["write_off:disputes"]) == (100 * THB, 60_600_000)
    assert desk.hear(desk.word(EventKind.REFUND_SUCCEEDED, desk.now(payment), 1, "re_1")).step is Step.CONTRADICT, "nothing is left"
    assert desk.hear(desk.word(EventKind.REFUND_FAILED, desk.now(payment), 1, "re_2")).step is Step.BOOK


def nobodys(desk: Desk) -> Payment:
    """100.00 that came for nobody."""
    unknown = replace(desk.books.payment_of(desk.books.receipt_of("alice")), reference="")
    desk.hear(desk.came(unknown, 10_000, money="ch_stranger"))
    return next(one for one in desk.store.read(lambda tx: tx.payments.all()) if one.status == "unapplied")


@pytest.mark.parametrize("word", [OPENED, LOST])
def test_disputed_money_of_nobody_stays_nobodys(desk: Desk, word: EventKind) -> None:
    """Neither finance nor the provider's own word gives it to alice, while the payer's bank asks for it or has got it."""
    kept = nobodys(desk)
    [asked] = [one for one in desk.store.read(lambda tx: tx.payments.all()) if one.status == "pending"]
    desk.hear(desk.word(word, kept, 10_000, "dp_1"))
    with pytest.raises(IllegalMove, match="or is disputed"):
        desk.store.run(lambda tx: assign_unapplied(tx, kept.reference, "alice", "she showed the slip", OPERATOR), actor="operator")
    told = desk.hear(desk.came(asked, 10_000, money="ch_stranger"))
    assert told.step is Step.NOTHING and "was given back or is disputed" in told.why
    with pytest.raises(IntegrityError, match="there is a dispute over payment"):
        desk.store.run(lambda tx: tx.payments.execute(
            "update payment set status = 'credited', wallet = 'alice', settled_at = now() where id = :id", id=kept.id))
    desk.hear(desk.word(WON, kept, 10_000, "dp_1"))
    assert desk.hear(desk.came(asked, 10_000, money="ch_stranger")).step is Step.SETTLE
    assert desk.books.ledger()["wallet:alice"] == 39_400_000


def test_money_of_nobody_that_was_given_back_stays_nobodys(desk: Desk) -> None:
    """Its reference turns up when it is on its way back already."""
    kept = nobodys(desk)
    [asked] = [one for one in desk.store.read(lambda tx: tx.payments.all()) if one.status == "pending"]
    desk.refund(kept.reference)
    assert desk.hear(desk.came(asked, 10_000, money="ch_stranger")).step is Step.NOTHING
    assert desk.ledger()["refund_pending:dummy"] == 100 and desk.books.payment_status(asked) == "pending"


def test_lost_while_its_money_was_on_its_way_back(desk: Desk) -> None:
    """100 of nobody are being given back when a dispute over them is lost: the second 100 are written off, and a word about
    another refund finds nothing left."""
    kept = nobodys(desk)
    desk.refund(kept.reference)
    desk.hear(desk.word(LOST, kept, 10_000, "dp_1"))
    assert desk.books.ledger()["write_off:disputes"] == 100 * THB
    assert desk.hear(desk.word(EventKind.REFUND_FAILED, kept, 5000, "re_there")).step is Step.BOOK
    assert desk.hear(desk.word(EventKind.REFUND_SUCCEEDED, kept, 5000, "re_more")).step is Step.WAIT


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
