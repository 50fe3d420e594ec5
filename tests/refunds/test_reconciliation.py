"""A provider's day beside ours: what is missing here is applied, what only one side knows is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from data.postgres.shelves.reconciliation import Run
from data.postgres.store import PostgresTransaction
from engine.errors import NotAllowed
from engine.payments import Checkout, EventKind, Movement, Outcome, Payment, ProviderEvent, ProviderTrouble
from engine.policy import OPERATOR
from engine.reconciliation import DayNotOver, DaySpan, Entry, compare
from engine.services.payments import expire_payment, keep_checkout
from engine.services.reconciliation import may_reconcile
from engine.users import Person, Role
from tests.conftest import Corehours
from tests.refunds.conftest import Desk, changed
from webhooks import late_payments, reconciler
from webhooks.reconciler import due_days, reconcile

SPAN = DaySpan.of(date(2026, 11, 20), ZoneInfo("Asia/Bangkok"))
NOON = datetime(2026, 11, 20, 5, tzinfo=UTC)
MINOR = {"THB": 10_000}


def entry(name: str, baht: int, at: datetime = NOON) -> Entry:
    return Entry("payment", name, "TXN_1", baht * 1_000_000, "THB", at)


def moved(name: str, baht: int, at: datetime = NOON) -> tuple[str, Movement]:
    return name, Movement(name, name, "TXN_1", baht * 100, "THB", at)


def test_a_day_is_the_sites() -> None:
    assert SPAN.start.astimezone(UTC) == datetime(2026, 11, 19, 17, tzinfo=UTC) and SPAN.has(SPAN.start) and not SPAN.has(SPAN.end)


def test_two_sides_that_know_the_same_match() -> None:
    found = compare(SPAN, [entry("ch_1", 100), entry("re_1", -30)], [moved("ch_1", 100), moved("re_1", -30)], MINOR)
    assert found.outcome == "matched" and found.lines == ()
    [day] = found.sums
    assert (day.ours_micro, day.theirs_micro, day.movements) == (70_000_000, 70_000_000, 2)


@pytest.mark.parametrize("late", [timedelta(days=1), timedelta(days=3, hours=20), timedelta(days=30)])
def test_a_webhook_that_came_late_is_no_difference(late: timedelta) -> None:
    assert compare(SPAN, [entry("ch_1", 100, NOON + late)], [moved("ch_1", 100)], MINOR).lines == ()


def test_and_on_the_day_it_came_it_is_no_difference_either() -> None:
    """Theirs four days before at most: webhooks are tried for three."""
    assert compare(SPAN, [entry("ch_1", 100)], [moved("ch_1", 100, NOON - timedelta(days=3))], MINOR).lines == ()


def test_an_old_refund_that_came_back_today() -> None:
    ours = [entry("re_1", -30, NOON - timedelta(days=40)), entry("re_1", 30)]
    assert compare(SPAN, ours, [moved("re_1", 30)], MINOR).lines == ()


def test_what_only_one_side_knows_and_what_differs() -> None:
    found = compare(SPAN, [entry("ch_1", 100), entry("ch_2", 50)], [moved("ch_1", 90), moved("ch_3", 70), moved("re_9", -5)], MINOR)
    assert [(line.name, line.ours_micro, line.theirs_micro, line.difference_micro, line.note) for line in found.lines] == [
        ("ch_1", 100_000_000, 90_000_000, -10_000_000, "both sides know it, with other amounts"),
        ("ch_2", 50_000_000, None, -50_000_000, "only our books know it"),
        ("ch_3", None, 70_000_000, 70_000_000, "it came, and our books do not know it"),
        ("re_9", None, -5_000_000, -5_000_000, "it left, and our books do not know why: a refund or dispute made there")]
    [day] = found.sums
    assert (day.ours_micro, day.theirs_micro) == (150_000_000, 155_000_000)


@dataclass
class Books:
    """A provider's own books."""

    name: str = "dummy"
    lines: list[Movement] = field(default_factory=list)
    away: bool = False
    ends: dict[str, EventKind] = field(default_factory=dict)        # what became of a payment, by our reference

    def look_up(self, payment: Payment) -> ProviderEvent | None:
        kind = self.ends.get(payment.reference)
        return kind and ProviderEvent("dummy", "looked-up", kind, False, payment.reference, f"ch_{payment.reference}",
                                      payment.amount_micro // 10_000, payment.currency)

    def movements(self, since: datetime, until: datetime) -> Sequence[Movement]:
        if self.away:
            raise ProviderTrouble("no answer in 10 s", Outcome.NOT_DONE)
        return [line for line in self.lines if since <= line.at < until]


def today(desk: Desk) -> date:
    return desk.store.read(lambda tx: tx.now).date()


def charge(payment: Payment, minor: int = 6060) -> Movement:
    money = f"ch_{payment.reference}"
    return Movement(money, money, payment.reference, minor, "THB", datetime.now(UTC))


def run(desk: Desk, theirs: Books) -> Run:
    """Today, though it is not over: the clock is not the test's."""
    return reconcile(desk.store, theirs, today(desk), "finn")  # type: ignore[arg-type]


def test_a_day_that_matches(desk: Desk) -> None:
    _, payment = desk.paid()
    refund = desk.refund(payment.reference, "10.00")
    desk.hear(desk.word(EventKind.REFUND_SUCCEEDED, payment, 1000, "re_1", refund.id))
    theirs = Books(lines=[charge(payment), Movement(f"ch_{payment.reference}", "re_1", payment.reference, -1000, "THB", datetime.now(UTC))])
    found = run(desk, theirs)
    assert (found.outcome, found.movements, found.applied, found.lines, found.ran_by) == ("matched", 2, 0, (), "finn")
    assert [(one.currency, one.ours_micro, one.theirs_micro) for one in found.sums] == [("THB", 50_600_000, 50_600_000)]


def test_a_success_that_was_never_told_is_applied(desk: Desk) -> None:
    """The webhook was lost for good. The receipt is paid all the same, once, and the day matches."""
    receipt = desk.books.receipt_of("alice")
    payment = desk.books.payment_of(receipt)
    theirs = Books(lines=[charge(payment)])
    assert [(run(desk, theirs).applied, desk.books.status(receipt)) for _ in range(2)] == [(1, "paid"), (0, "paid")]
    assert run(desk, theirs).outcome == "matched" and desk.ledger() == {"clearing:dummy": 60_600_000, "income:cpu": 60_600_000}
    assert desk.hear(desk.came(payment)).step == "duplicate", "should the webhook come after all"


def test_money_nobody_asked_for_is_kept_as_unapplied(desk: Desk) -> None:
    found = run(desk, Books(lines=[Movement("ch_x", "ch_x", "", 500, "THB", datetime.now(UTC))]))
    assert (found.applied, found.outcome) == (1, "matched") and desk.ledger() == {"clearing:dummy": 5, "unapplied:dummy": 5}


def test_a_refund_and_a_dispute_whose_end_was_never_told(desk: Desk) -> None:
    _, payment = desk.paid()
    desk.refund(payment.reference, "10.00")
    desk.submit()
    name = str(desk.refunds(payment)[0][1])
    desk.hear(desk.word(EventKind.DISPUTE_OPENED, payment, 2000, "dp_1"))
    now, money = datetime.now(UTC), f"ch_{payment.reference}"
    left = [Movement(money, name, "", -1000, "THB", now), Movement(money, "dp_1", "", -2000, "THB", now)]
    found = run(desk, Books(lines=[charge(payment), *left]))
    assert (found.applied, found.outcome) == (2, "matched")
    assert desk.refunds(payment) == [("succeeded", name, 10_000_000)] and desk.ledger()["dispute:dummy"] == 20


def test_a_refund_that_came_back_is_not_taken_for_a_payment(desk: Desk) -> None:
    """Neither payment nor refund was ever told here, and the provider lists the newest first: the payment is what the payer paid."""
    receipt = desk.books.receipt_of("alice")
    payment = desk.books.payment_of(receipt)
    back = replace(charge(payment, 1000), object="re_1")
    found = run(desk, Books(lines=[back, replace(back, amount_minor=-1000), charge(payment)]))
    assert (found.applied, desk.books.status(receipt)) == (1, "paid") and desk.ledger()["clearing:dummy"] == 60_600_000


def test_a_refund_that_failed_before_it_arrived_leaves_no_difference(desk: Desk) -> None:
    """The provider's books show it leave and come back, ours never said that it arrived: on both sides nothing moved."""
    _, payment = desk.paid()
    refund = desk.refund(payment.reference, "10.00")
    desk.hear(desk.word(EventKind.REFUND_FAILED, payment, 1000, "re_1", refund.id))
    left = replace(charge(payment, -1000), object="re_1")
    found = run(desk, Books(lines=[charge(payment), left, replace(left, amount_minor=1000)]))
    assert (found.outcome, found.lines) == ("matched", ())


def test_what_is_sold_for_other_money_is_named_and_hides_nothing(desk: Desk) -> None:
    """A shop on the same account takes Swedish kronor, which these books cannot hold."""
    _, payment = desk.paid()
    found = run(desk, Books(lines=[charge(payment), Movement("ch_se", "ch_se", "", 9900, "SEK", datetime.now(UTC))]))
    assert (found.outcome, found.movements, found.applied) == ("matched", 1, 0)
    assert found.note == "Not compared, in currencies that these books do not know: 1 in SEK."


def test_what_left_without_a_word_is_named_not_guessed(desk: Desk) -> None:
    _, payment = desk.paid()
    found = run(desk, Books(lines=[charge(payment), replace(charge(payment, -500), object="re_secret")]))
    assert found.outcome == "differs" and [(line.name, line.theirs_micro) for line in found.lines] == [("re_secret", -5_000_000)]


def test_a_provider_that_does_not_tell(desk: Desk) -> None:
    found = run(desk, Books(away=True))
    assert found.outcome == "failed" and "no answer in 10 s" in found.note


def test_yesterday_is_due_until_it_was_looked_at(desk: Desk) -> None:
    yesterday = today(desk) - timedelta(days=1)

    def due() -> list[date]:
        return desk.store.read(lambda tx: due_days(tx, "dummy"))
    assert due() == [yesterday]
    reconcile(desk.store, Books(away=True), yesterday, "worker")  # type: ignore[arg-type]
    assert due() == [yesterday], "it did not tell: asked again"
    reconciler.reconcile_due(desk.store, {"dummy": Books()})  # type: ignore[dict-item]
    assert due() == [] and len(desk.store.read(lambda tx: tx.reconciliation.latest())) == 1


def test_days_on_which_no_sidecar_ran_are_made_up_for(desk: Desk) -> None:
    """From Thursday to Monday nothing ran: a payment of Friday, whose webhooks have given up by now, is not left out."""
    days = [today(desk) - timedelta(days=back) for back in range(1, 6)]
    reconcile(desk.store, Books(), days[-1], "worker")  # type: ignore[arg-type]
    assert desk.store.read(lambda tx: due_days(tx, "dummy")) == days[:-1]


def test_money_that_is_long_on_its_way_is_asked_after(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three bank debits, and no word of their ends ever came: one bounced, which no day's movements tell, one arrived, one is still
    on its way. The receipt of the first can be paid again."""
    receipts = [desk.books.receipt_of(payer) for payer in ("alice", "bob", "carol")]
    payments = [desk.books.payment_of(receipt) for receipt in receipts]
    for payment in payments:
        desk.hear(changed(desk.came(payment), kind=EventKind.PROCESSING))
    theirs = Books(ends=dict(zip([payment.reference for payment in payments], (EventKind.FAILED, EventKind.SUCCEEDED), strict=False)))
    reconciler.reconcile_due(desk.store, {"dummy": theirs})  # type: ignore[dict-item]
    assert {str(desk.now(payment).status) for payment in payments} == {"processing"}, "its webhook has an hour to come"
    monkeypatch.setattr(late_payments, "ON_ITS_WAY", timedelta(0))
    reconciler.reconcile_due(desk.store, {"dummy": theirs})  # type: ignore[dict-item]
    assert [str(desk.now(payment).status) for payment in payments] == ["failed", "succeeded", "processing"]
    assert desk.books.payment_of(receipts[0]).reference != payments[0].reference


def test_a_checkout_whose_time_has_run_out_is_asked_after(desk: Desk) -> None:
    """The payer paid in time and the webhook was lost: the receipt is paid within a quarter of an hour, not after the day's
    comparison. Whoever never went to the provider is not asked after."""
    receipts = [desk.books.receipt_of(payer) for payer in ("alice", "bob")]
    payments = [desk.books.payment_of(receipt) for receipt in receipts]
    desk.store.run(lambda tx: keep_checkout(tx, payments[0], Checkout("https://pay.example/1", "cs_1")))
    desk.store.run(lambda tx: [expire_payment(tx, desk.now(payment)) for payment in payments])
    late_payments.ask_what_became(desk.store, Books(ends={one.reference: EventKind.SUCCEEDED for one in payments}))  # type: ignore[arg-type]
    assert [desk.books.status(receipt) for receipt in receipts] == ["paid", "pending"]


def test_a_day_that_differs_is_looked_at_again(desk: Desk) -> None:
    yesterday, at = today(desk) - timedelta(days=1), datetime.now(UTC) - timedelta(days=1)
    found = reconcile(desk.store, Books(lines=[Movement("ch_9", "re_9", "", -5, "THB", at)]), yesterday, "worker")  # type: ignore[arg-type]
    assert found.outcome == "differs" and desk.store.read(lambda tx: due_days(tx, "dummy")) == []

    def later(tx: PostgresTransaction) -> None:
        tx.refunds.execute("alter table reconciliation_run disable trigger write_once")
        tx.refunds.execute("update reconciliation_run set ran_at = ran_at - interval '7 hours'")
        tx.refunds.execute("alter table reconciliation_run enable trigger write_once")
    desk.store.run(later)
    assert desk.store.read(lambda tx: due_days(tx, "dummy")) == [yesterday]


def test_who_may_and_which_day(desk: Desk) -> None:
    with pytest.raises(DayNotOver, match="is not over"):
        desk.store.read(lambda tx: may_reconcile(tx, today(desk), OPERATOR))
    with pytest.raises(NotAllowed):
        desk.store.read(lambda tx: may_reconcile(tx, today(desk) - timedelta(days=1), Person(1, "audra", Role.AUDITOR, "")))


def test_the_command(desk: Desk, corehours: Corehours) -> None:
    assert "is not over" in corehours("reconcile", "dummy", today(desk).isoformat()).stderr
    assert corehours("reconcile", "dummy", "someday").stderr.endswith("'someday' is no day such as 2026-11-21.\n")
    assert "No provider 'strype' is set up here" in corehours("reconcile", "strype").stderr
    found = json.loads(corehours("reconcile", "dummy", "--json").stdout or "{}")
    assert found.get("outcome", "") in ("matched", "failed", "differs", "")
