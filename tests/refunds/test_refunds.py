"""Money on its way back: asked for here, told by the provider, or both at once; each refund once, and the ledger after it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.exc import IntegrityError

from data.postgres.store import PostgresTransaction
from engine.errors import DomainError, IllegalMove, NotAllowed
from engine.money import Money
from engine.payments import EventKind, Step
from engine.policy import OPERATOR
from engine.refunds import BadRefund, RefundAnswer, RefundOrder, RefundStatus
from engine.services.receipts import mark_paid, revert_paid
from engine.services.refunds import request_refund
from engine.services.wallets import assign_unapplied, pay_from_wallet, start_topup
from engine.users import Person, Role
from tests.refunds.conftest import Desk, Till, changed, spend

SUBMITTED, SUCCEEDED, FAILED = EventKind.REFUND_SUBMITTED, EventKind.REFUND_SUCCEEDED, EventKind.REFUND_FAILED
PAID = {"clearing:dummy": 60_600_000, "income:cpu": 60_600_000}


def test_a_receipt_is_refunded_in_full(desk: Desk) -> None:
    """Requested, submitted, arrived: 60.60 THB leave the income, wait, and leave the provider."""
    receipt, payment = desk.paid()
    assert desk.ledger() == PAID
    refund = desk.refund(receipt.number)
    assert desk.ledger() == {"clearing:dummy": 60_600_000, "refund_pending:dummy": 60_600_000}
    assert desk.refunds(payment) == [("requested", None, 60_600_000)] and desk.books.status(receipt) == "paid"
    desk.submit()
    [(status, name, _)] = desk.refunds(payment)
    assert (status, desk.till.asked) == ("submitted", [f"refund:{refund.id}"])
    decision = desk.hear(desk.word(SUCCEEDED, payment, 6060, str(name), refund.id))
    assert str(decision.step) == "booked" and decision.why == f"refund {refund.id} of 60.60 THB succeeded"
    assert desk.ledger() == {} and desk.books.status(receipt) == "refunded"
    assert desk.refunds(payment) == [("succeeded", name, 60_600_000)]


def test_a_part_of_a_receipt_leaves_it_paid(desk: Desk) -> None:
    receipt, payment = desk.paid()
    for amount in ("20.20", "20.20", "20.20"):
        assert desk.books.status(receipt) == "paid"
        refund = desk.refund(payment.reference, amount)
        desk.hear(desk.word(SUCCEEDED, payment, 2020, f"re_of_{refund.id}", refund.id))
    assert desk.books.status(receipt) == "refunded" and desk.ledger() == {}
    with pytest.raises(BadRefund, match="Nothing of this payment is left to give back"):
        desk.refund(payment.reference)


def test_a_refund_that_arrived_may_still_come_back(desk: Desk) -> None:
    """The card was closed: the income is ours again, the receipt paid, and the money can be given back another time."""
    receipt, payment = desk.paid()
    refund = desk.refund(receipt.number)
    desk.hear(desk.word(SUCCEEDED, payment, 6060, "re_1", refund.id))
    assert desk.books.status(receipt) == "refunded"
    desk.hear(desk.word(FAILED, payment, 6060, "re_1", refund.id, why="lost_or_stolen_card"))
    assert desk.ledger() == PAID and desk.books.status(receipt) == "paid"
    assert desk.refunds(payment) == [("failed", "re_1", 60_600_000)]
    again = desk.refund(receipt.number)
    desk.hear(desk.word(SUCCEEDED, payment, 6060, "re_2", again.id))
    assert desk.ledger() == {} and desk.books.status(receipt) == "refunded"


def test_words_in_any_order_and_many_times_make_one_refund(desk: Desk) -> None:
    receipt, payment = desk.paid()
    refund = desk.refund(receipt.number)
    desk.submit()
    name = str(desk.refunds(payment)[0][1])
    words = [desk.word(kind, payment, 6060, name, refund.id) for kind in (SUCCEEDED, SUBMITTED, SUCCEEDED, SUBMITTED)]
    assert [str(desk.hear(word).step) for word in words] == ["booked", "duplicate", "duplicate", "duplicate"]
    assert desk.refunds(payment) == [("succeeded", name, 60_600_000)] and desk.ledger() == {}


@pytest.mark.parametrize("repeats_our_id", [True, False])
def test_a_webhook_that_overtakes_the_answer_makes_one_refund(desk: Desk, till: Till, repeats_our_id: bool) -> None:
    """The provider's word comes while its answer is still on the way. Where it does not repeat our id, the word waits for
    the answer, which names the refund."""
    receipt, payment = desk.paid()
    refund = desk.refund(receipt.number)
    heard = []

    def overtake(order: RefundOrder, answer: RefundAnswer) -> None:
        event = desk.word(SUCCEEDED, payment, order.amount_minor, answer.provider_ref, order.id if repeats_our_id else "")
        heard.append(event)
        assert desk.hear(event).step is (Step.BOOK if repeats_our_id else Step.WAIT)
    till.meanwhile = overtake
    desk.submit()
    assert desk.hear(changed(heard[0])).step is (Step.NOTHING if repeats_our_id else Step.BOOK)
    assert desk.refunds(payment) == [("succeeded", till.made[f"refund:{refund.id}"].provider_ref, 60_600_000)]
    assert desk.ledger() == {}


@pytest.mark.parametrize(("lose", "found"), [("before", False), ("after", True)])
def test_a_lost_answer_is_looked_for_before_it_is_asked_again(desk: Desk, till: Till, lose: str, found: bool) -> None:
    """Nobody knows whether it was done. The second time the provider is asked whether it knows it, and only then for it."""
    receipt, payment = desk.paid()
    refund = desk.refund(receipt.number)
    till.lose = lose
    desk.submit()
    assert desk.refunds(payment) == [("requested", None, 60_600_000)] and till.looked == 0
    till.lose = ""
    desk.submit()
    assert till.looked == 1 and len(till.asked) == (1 if found else 2) and len(set(till.asked)) == 1
    assert desk.refunds(payment) == [("submitted", till.made[f"refund:{refund.id}"].provider_ref, 60_600_000)]
    assert len(till.made) == 1


def test_a_refund_that_the_provider_refuses_gives_the_income_back(desk: Desk, till: Till) -> None:
    receipt, payment = desk.paid()
    desk.refund(receipt.number)
    till.refuse = "the charge is too old"
    desk.submit()
    assert desk.refunds(payment) == [("failed", None, 60_600_000)] and desk.ledger() == PAID
    [job] = [job for job in desk.store.read(lambda tx: tx.outbox.newest()) if job.kind == "refund.submit"]
    assert (job.state, job.outcome) == ("done", "failed at dummy: the charge is too old")


def test_refused_and_done_all_the_same(desk: Desk, till: Till) -> None:
    """It was said to be refused; then its arrival is told. The money is gone, so it is booked."""
    receipt, payment = desk.paid()
    refund = desk.refund(receipt.number)
    till.refuse = "try later"
    desk.submit()
    desk.hear(desk.word(SUCCEEDED, payment, 6060, "re_9", refund.id))
    assert desk.refunds(payment) == [("failed", None, 60_600_000), ("succeeded", "re_9", 60_600_000)]
    assert desk.ledger() == {} and desk.books.status(receipt) == "refunded"


def test_a_refund_made_at_the_provider_is_taken_over(desk: Desk) -> None:
    """Somebody pressed the button over there: the same postings, made when it is told, and only once."""
    receipt, payment = desk.paid()
    assert desk.hear(desk.word(SUBMITTED, payment, 2020, "re_there")).step is Step.BOOK
    assert desk.ledger() == {"clearing:dummy": 60_600_000, "income:cpu": 40_400_000, "refund_pending:dummy": 20_200_000}
    assert desk.hear(desk.word(SUBMITTED, payment, 2020, "re_there")).step is Step.NOTHING
    desk.hear(desk.word(SUCCEEDED, payment, 2020, "re_there"))
    assert desk.ledger() == {"clearing:dummy": 40_400_000, "income:cpu": 40_400_000}
    assert desk.hear(desk.word(SUCCEEDED, payment, 4040, "re_other")).step is Step.BOOK
    assert desk.ledger() == {} and desk.books.status(receipt) == "refunded"
    [first, _] = desk.store.read(lambda tx: tx.refunds.of_payment(payment.id))
    assert (first.origin, first.reason, first.requested_by) == ("provider", "made at dummy", "worker")


def test_both_at_once_one_of_them_must_fail(desk: Desk, till: Till) -> None:
    """Requested here in full, made over there in full a moment before: its word waits until ours was refused."""
    receipt, payment = desk.paid()
    desk.refund(receipt.number)
    there = desk.word(SUCCEEDED, payment, 6060, "re_there")
    assert desk.hear(there).step is Step.WAIT
    till.refuse = "it was given back already"
    desk.submit()
    assert desk.hear(changed(there)).step is Step.BOOK
    assert desk.refunds(payment) == [("failed", None, 60_600_000), ("succeeded", "re_there", 60_600_000)]


def test_a_failure_that_comes_before_its_success_counts(desk: Desk) -> None:
    receipt, payment = desk.paid()
    desk.hear(desk.word(FAILED, payment, 6060, "re_there", why="expired_card"))
    assert desk.hear(desk.word(SUCCEEDED, payment, 6060, "re_there")).step is Step.NOTHING
    assert desk.ledger() == PAID and desk.books.status(receipt) == "paid"


def test_words_that_contradict_the_books_change_nothing(desk: Desk) -> None:
    """More than was paid; another amount than was asked for; another currency; another name for the same refund."""
    receipt, payment = desk.paid()
    refund = desk.refund(receipt.number, "10.00")
    desk.hear(desk.word(SUBMITTED, payment, 1000, "re_1", refund.id))
    before = desk.ledger()
    for wrong in (desk.word(SUCCEEDED, payment, 1001, "re_1", refund.id), desk.word(SUCCEEDED, payment, 1000, "re_2", refund.id),
                  changed(desk.word(SUCCEEDED, payment, 1000, "re_1", refund.id), currency="USD")):
        assert desk.hear(wrong).step is Step.CONTRADICT
    desk.hear(desk.word(SUCCEEDED, payment, 1000, "re_1", refund.id))
    assert desk.hear(desk.word(SUCCEEDED, payment, 5061, "re_3")).step is Step.CONTRADICT
    assert before["refund_pending:dummy"] == 10 and desk.ledger() == {"clearing:dummy": 50_600_000, "income:cpu": 50_600_000}


def test_twenty_refunds_at_once_never_exceed_the_payment(desk: Desk) -> None:
    """Twenty times 7.00 of 60.60: eight of them, whoever comes first."""
    receipt, payment = desk.paid()

    def ask(_: int) -> str:
        try:
            return str(desk.refund(receipt.number, "7.00").status)
        except BadRefund as refusal:
            return refusal.sentence
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))
    assert answers.count("requested") == 8
    assert answers.count("This refund cannot be made. 7.00 THB is more than the 4.60 THB that are left of this payment.") == 12
    assert sum(micro for _, _, micro in desk.refunds(payment)) == 56_000_000
    assert desk.ledger()["refund_pending:dummy"] == 56


def test_the_database_itself_says_no(desk: Desk) -> None:
    """Past the service: a second full refund, a changed amount, a deleted row, an unapplied payment that is used after all."""
    receipt, payment = desk.paid()
    refund = desk.refund(receipt.number, "60.00")
    with pytest.raises(IntegrityError, match="are more than the 60600000 micro THB that came"):
        desk.store.run(lambda tx: tx.refunds.execute(
            "insert into refund select id || 'x', payment_id, provider, livemode, amount_micro, currency, status, from_receipt_micro,"
            " from_wallet_micro, from_unapplied_micro, from_write_off_micro, null, origin, reason, why, null, requested_by, now(), null,"
            " null from refund"))
    for sql in ("update refund set amount_micro = 1", "delete from refund", "truncate refund cascade",
                "update refund set status = 'succeeded', settled_at = now(); update refund set status = 'requested', settled_at = null"):
        with pytest.raises(Exception, match=r"never changes|written once|does not go"):
            desk.store.run(lambda tx, sql=sql: tx.refunds.execute(sql))  # type: ignore[misc]
    with pytest.raises(IntegrityError, match="given back in part or whole"):
        desk.store.run(lambda tx: tx.payments.execute("update payment set status = 'reverted' where id = :id", id=payment.id))
    assert desk.refunds(payment) == [("requested", None, refund.amount_micro)]


def test_one_pressing_of_the_button_is_one_refund(desk: Desk) -> None:
    receipt, payment = desk.paid()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: desk.refund(receipt.number, "10.00", key="form1"), range(8)))
    assert len(set(made)) == len(desk.refunds(payment)) == 1
    assert desk.refund(payment.reference, None, key="form1") == made[0]


def test_a_button_that_was_pressed_does_not_stand_for_another_refund(desk: Desk) -> None:
    """Somebody whose page went away after the press fills the same form in for somebody else: it must not look done."""
    _, payment = desk.paid("alice")
    _, other = desk.paid("bob")
    desk.refund(payment.reference, "10.00", key="form1")
    for name, amount in ((other.reference, "10.00"), (payment.reference, "20.00")):
        with pytest.raises(BadRefund, match="open it anew"):
            desk.refund(name, amount, key="form1")
    assert desk.refunds(other) == []


def test_who_may_and_why(desk: Desk) -> None:
    receipt, _ = desk.paid()
    for role in (Role.RESEARCHER, Role.AUDITOR):
        with pytest.raises(NotAllowed):
            desk.store.run(lambda tx, role=role: request_refund(  # type: ignore[misc]
                tx, receipt.number, None, "because I can do it", Person(7, "somebody", role, "alice")))
    with pytest.raises(BadRefund, match="reason of at least 10"):
        desk.store.run(lambda tx: request_refund(tx, receipt.number, None, "why not ", OPERATOR))
    pending = desk.books.receipt_of("bob")
    with pytest.raises(BadRefund, match="is pending: no payment of it can be given back"):
        desk.refund(pending.number)
    with pytest.raises(DomainError, match="No payment and no receipt"):
        desk.refund("TXN_0123456789ABCDEF")


def test_what_was_paid_by_hand_is_given_back_by_hand(desk: Desk) -> None:
    """Nobody outside is asked: it is done when it is written down. Then the settlement cannot be taken back as a mistake."""
    receipt = desk.books.receipt_of("alice")
    desk.store.run(lambda tx: mark_paid(tx, receipt.id, "cash at the desk", OPERATOR), actor="operator")
    assert desk.refund(receipt.number, "10.00").status is RefundStatus.SUCCEEDED
    assert desk.ledger() == {"clearing:manual": 50_600_000, "income:cpu": 50_600_000}
    with pytest.raises(DomainError, match="was given back in part"):
        desk.store.run(lambda tx: revert_paid(tx, receipt.id, "it was somebody else's", OPERATOR), actor="operator")


def test_a_receipt_that_was_given_back_is_not_paid_in_cash(desk: Desk) -> None:
    """All of it is back: nothing is owed. A sentence says so, not the database."""
    receipt, payment = desk.paid()
    refund = desk.refund(receipt.number)
    desk.hear(desk.word(SUCCEEDED, payment, 6060, "re_1", refund.id))
    with pytest.raises(IllegalMove, match="is refunded: there is nothing to pay"):
        desk.store.run(lambda tx: mark_paid(tx, receipt.id, "cash at the desk", OPERATOR), actor="operator")


def test_a_refund_that_failed_in_another_currency_is_a_contradiction(desk: Desk) -> None:
    """And not an error of the database on which the inbox tries its eight times."""
    _, payment = desk.paid()
    assert desk.hear(changed(desk.word(EventKind.REFUND_FAILED, payment, 1000, "re_1"), currency="EUR")).step is Step.CONTRADICT


def test_more_than_was_asked_comes_back_from_the_wallet_first(desk: Desk) -> None:
    """100 came for 60.60: 39.40 are in alice's wallet, and go first."""
    receipt = desk.books.receipt_of("alice")
    payment = desk.books.payment_of(receipt)
    desk.hear(desk.came(payment, 10_000))
    assert desk.ledger() == {"clearing:dummy": 100, "income:cpu": 60_600_000, "wallet:alice": 39_400_000}
    first = desk.refund(payment.reference, "50.00")
    assert (first.from_wallet_micro, first.from_receipt_micro) == (39_400_000, 10_600_000)
    assert desk.ledger() == {"clearing:dummy": 100, "income:cpu": 50, "refund_pending:dummy": 50}


def test_what_the_wallet_has_spent_is_not_given_back(desk: Desk) -> None:
    """It was 39.40 too much and was spent since. Asked here: refused. Made at the provider: it is gone, and written off."""
    receipt = desk.books.receipt_of("alice")
    payment = desk.books.payment_of(receipt)
    desk.hear(desk.came(payment, 10_000))
    spend(desk, "alice", 30_000_000)
    with pytest.raises(BadRefund, match=r"30\.00 THB of it are not in the wallet of alice any more"):
        desk.refund(payment.reference)
    desk.hear(desk.word(SUCCEEDED, payment, 10_000, "re_there"))
    [refund] = desk.store.read(lambda tx: tx.refunds.of_payment(payment.id))
    assert (refund.from_wallet_micro, refund.from_receipt_micro, refund.from_write_off_micro) == (9_400_000, 60_600_000, 30_000_000)
    assert desk.books.ledger()["write_off:refunds"] == 30_000_000 and "wallet:alice" not in desk.ledger()


def test_what_is_being_spent_at_this_moment_is_not_given_back(desk: Desk) -> None:
    """The payer pays a receipt from the wallet while finance gives the top-up back: who comes second hears it in a sentence."""
    money, bill = Money(60_600_000, "THB"), desk.books.receipt_of("alice")
    payment = desk.store.run(lambda tx: start_topup(tx, "alice", money, OPERATOR), actor="operator").payment
    desk.hear(desk.came(payment))
    paying, answered = threading.Event(), threading.Event()

    def pay(tx: PostgresTransaction) -> None:
        pay_from_wallet(tx, bill.id, "alice", OPERATOR)
        paying.set()
        answered.wait(1)
    with ThreadPoolExecutor(1) as other:
        paid = other.submit(desk.store.run, pay, "operator")
        paying.wait(10)
        with pytest.raises(BadRefund, match="are not in the wallet of alice any more"):
            desk.refund(payment.reference)
        paid.result(10)
    assert desk.ledger() == {"clearing:dummy": 60_600_000, "income:cpu": 60_600_000}


def test_money_of_nobody_can_be_given_back(desk: Desk) -> None:
    """60.60 USD came for a receipt in THB: kept, given back, and then nobody's any more."""
    receipt = desk.books.receipt_of("alice")
    asked = desk.books.payment_of(receipt)
    desk.hear(changed(desk.came(asked), currency="USD"))
    kept = next(one for one in desk.store.read(lambda tx: tx.payments.all()) if one.status == "unapplied")
    refund = desk.store.run(lambda tx: request_refund(tx, kept.reference, None, "the wrong currency", OPERATOR), actor="operator")
    assert refund.money == Money(60_600_000, "USD") and refund.from_unapplied_micro == 60_600_000
    desk.submit()
    assert desk.ledger()["refund_pending:dummy"] == 60_600_000 and "unapplied:dummy" not in desk.ledger()
    with pytest.raises(IllegalMove, match="was given back in part or whole"):
        desk.store.run(lambda tx: assign_unapplied(tx, kept.reference, "alice", "it is hers, she says", OPERATOR), actor="operator")
    with pytest.raises(IntegrityError, match="given back in part or whole"):
        desk.store.run(lambda tx: tx.payments.execute(
            "update payment set status = 'credited', wallet = 'bob', settled_at = now() where id = :id", id=kept.id))


def test_a_refund_that_speaks_before_its_money_came_waits_for_it(desk: Desk) -> None:
    """See test_events for the inbox; here: nothing is booked, and nothing is lost."""
    receipt = desk.books.receipt_of("alice")
    payment = desk.books.payment_of(receipt)
    event = desk.word(SUCCEEDED, payment, 6060, "re_1")
    assert desk.hear(event).step is Step.ORPHAN and desk.refunds(payment) == []
    desk.hear(desk.came(payment))
    assert desk.hear(event).step is Step.BOOK and desk.books.status(receipt) == "refunded"


def test_a_till_that_is_away_is_asked_later(desk: Desk, till: Till) -> None:
    receipt, payment = desk.paid()
    desk.refund(receipt.number)
    till.lose = "before"
    desk.submit(3)
    [job] = [job for job in desk.store.read(lambda tx: tx.outbox.newest()) if job.kind == "refund.submit"]
    assert (job.state, job.attempts, till.looked) == ("queued", 3, 2) and "no answer" in job.outcome
    assert desk.refunds(payment) == [("requested", None, 60_600_000)]


def test_what_the_finance_page_says_the_provider_holds(desk: Desk) -> None:
    """Paid, given back in part and disputed in part: clearing = paid + unapplied all along."""
    _, payment = desk.paid()
    refund = desk.refund(payment.reference, "10.00")
    words = [desk.word(SUCCEEDED, payment, 1000, "re_1", refund.id), desk.word(EventKind.DISPUTE_WITHDRAWN, payment, 2000, "dp_1")]
    for word in words:
        desk.hear(word)
        [row] = desk.store.read(lambda tx: tx.finance_reads.providers("THB").to_dicts())
        assert row["clearing_micro"] == row["paid_micro"] + row["unapplied_micro"] == desk.books.ledger()["clearing:dummy"]
    assert (row["payments"], row["clearing_micro"]) == (1, 30_600_000)
