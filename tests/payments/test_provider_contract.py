"""One contract, run against every provider: each method of the port against the company behind it, and each way a call goes wrong.

What must hold whatever breaks: the outcome never claims more than is known, and nothing is ever done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from engine.payments import BadEvent, BadSignature, EventKind, Outcome, Payment, PaymentStatus, ProviderEvent, ProviderTrouble
from engine.refunds import RefundOrder, RefundStatus
from tests.fakes.company import Fault
from tests.payments.rigs import RIGS, FakeRig, Rig, StripeRig

BACK = "http://localhost:8501/receipt?id=rcpt_1"
_numbers = count(1)
NOTHING_DONE = {Fault.TOO_MANY, Fault.KEY_REFUSED}


@pytest.fixture(params=sorted(RIGS))
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Each provider with its company."""
    with RIGS[request.param](tmp_path) as made:
        yield made


def payment_at(rig: Rig, amount_micro: int = 60_600_000) -> Payment:
    """A payment of 60.60 that was just started."""
    now = datetime.now(UTC)
    return Payment(id="pay_1", reference=f"TXN_{next(_numbers):016}", receipt_id="rcpt_1", provider=rig.provider.name, livemode=False,
                   amount_micro=amount_micro, currency=rig.currency, status=PaymentStatus.PENDING, provider_ref=None, checkout_url=None,
                   created_by="alice", created_at=now, expires_at=now + timedelta(minutes=20), settled_at=None)


def begun(rig: Rig) -> Payment:
    """A payment whose checkout was made."""
    payment = payment_at(rig)
    made = rig.provider.checkout(payment, BACK)
    return replace(payment, provider_ref=made.provider_ref, checkout_url=made.url)


def heard(rig: Rig) -> list[ProviderEvent]:
    """Every webhook sent so far, read at the door, confirmed with the company; those that matter to the books."""
    read = [rig.provider.read_event(hook.headers, hook.body, datetime.now(UTC)) for hook in rig.hooks()]
    return [rig.provider.confirm(event) for event in read if event.kind is not EventKind.OTHER]


def paid(rig: Rig) -> tuple[Payment, ProviderEvent]:
    """A payment that was paid, and what its webhook says."""
    payment = begun(rig)
    rig.pay(payment)
    return payment, heard(rig)[-1]


def order_of(payment: Payment, money: str, amount_minor: int = 6060) -> RefundOrder:
    """Give that much of it back."""
    number = next(_numbers)
    return RefundOrder(id=f"rfnd_{number}", reference=payment.reference, money=money, amount_minor=amount_minor, currency=payment.currency,
                       key=f"refund:rfnd_{number}", reason="the job was lost")


# what it says


def test_a_payment_is_told_under_our_reference_and_one_name_of_its_money(rig: Rig) -> None:
    payment, event = paid(rig)
    came = [one for one in heard(rig) if one.kind is EventKind.SUCCEEDED]
    assert {(one.reference, str(one.amount), one.livemode, one.provider) for one in came} == {
        (payment.reference, f"60.60 {rig.currency}", False, rig.provider.name)}
    assert {one.money for one in came} == {event.money} != {""}, "however many events speak of it"
    assert len({one.key for one in came}) == len(came), "each event has a key of its own"
    assert [rig.provider.parse_event(hook.body) for hook in rig.hooks()], "the worker reads what the door read"


def test_looking_up_says_what_the_webhook_says(rig: Rig) -> None:
    payment = begun(rig)
    assert rig.provider.look_up(payment) is None, "nobody has paid yet"
    rig.pay(payment)
    found, told = rig.provider.look_up(payment), heard(rig)[-1]
    assert found is not None
    assert (found.kind, found.reference, found.money, found.amount) == (EventKind.SUCCEEDED, payment.reference, told.money, told.amount)
    lost = rig.provider.look_up(replace(payment, provider_ref=None, checkout_url=None))
    assert lost is not None and lost.money == told.money, "found by our reference alone, when its page was never kept"
    assert rig.provider.look_up(payment_at(rig)) is None, "a payment it never heard of"


def test_a_payment_that_came_to_nothing(rig: Rig) -> None:
    payment = begun(rig)
    rig.decline(payment)
    assert [event.kind for event in heard(rig)] == [EventKind.FAILED] * rig.tells_failure
    found = rig.provider.look_up(payment)
    assert found is not None and (found.kind, found.reference) == (EventKind.FAILED, payment.reference)


def test_a_refund_in_parts_is_told_by_our_own_id(rig: Rig) -> None:
    payment, event = paid(rig)
    first, second = order_of(payment, event.money, 1000), order_of(payment, event.money, 5060)
    assert rig.provider.find_refund(first) is None
    answers = {order.id: rig.provider.refund(order) for order in (first, second)}
    assert answers[first.id].provider_ref != answers[second.id].provider_ref
    for order in (first, second):
        found = rig.provider.find_refund(order)
        assert found is not None and found.provider_ref == answers[order.id].provider_ref
        told = [one for one in heard(rig) if one.refund == order.id]
        assert told and {(one.object, one.amount_minor, one.money, one.reference) for one in told} == {
            (found.provider_ref, order.amount_minor, event.money, payment.reference)}
    assert rig.provider.find_refund(first) != rig.provider.find_refund(second)


def test_a_refund_that_ends_well_or_not(rig: Rig) -> None:
    payment, event = paid(rig)
    order = order_of(payment, event.money)
    assert rig.provider.refund(order).status in (RefundStatus.SUBMITTED, RefundStatus.SUCCEEDED)
    rig.settle_refunds()
    found = rig.provider.find_refund(order)
    assert found is not None and found.status is RefundStatus.SUCCEEDED
    assert heard(rig)[-1].kind is EventKind.REFUND_SUCCEEDED
    if rig.refunds_fail:
        rig.refund_fails(0)
        found = rig.provider.find_refund(order)
        assert found is not None and found.status is RefundStatus.FAILED and found.why
        assert (heard(rig)[-1].kind, heard(rig)[-1].refund) == (EventKind.REFUND_FAILED, order.id)


def test_a_refund_made_at_the_companys_own_dashboard(rig: Rig) -> None:
    payment, event = paid(rig)
    rig.refund_by_hand(payment, 1000)
    rig.settle_refunds()
    told = heard(rig)[-1]
    assert (told.kind, told.amount_minor, told.money, told.refund) == (EventKind.REFUND_SUCCEEDED, 1000, event.money, "")
    assert told.object


def test_more_than_was_paid_is_refused(rig: Rig) -> None:
    payment, event = paid(rig)
    with pytest.raises(ProviderTrouble) as trouble:
        rig.provider.refund(order_of(payment, event.money, 6061))
    assert trouble.value.outcome is Outcome.REFUSED
    assert rig.made("refunds") == 0


@pytest.mark.parametrize("won", [True, False], ids=["won", "lost"])
def test_a_dispute_is_opened_and_closed(rig: Rig, won: bool) -> None:
    payment, event = paid(rig)
    rig.dispute(payment, won)
    told = [one for one in heard(rig) if one.kind.startswith("dispute.")]
    assert told[0].kind is EventKind.DISPUTE_OPENED
    assert told[-1].kind is (EventKind.DISPUTE_WON if won else EventKind.DISPUTE_LOST)
    assert {(one.money, one.amount_minor, one.currency) for one in told} == {(event.money, 6060, rig.currency)}
    assert len({one.object for one in told}) == 1 and told[0].object
    back = sum(one.kind is EventKind.DISPUTE_REINSTATED for one in told)
    assert sum(one.kind is EventKind.DISPUTE_WITHDRAWN for one in told) >= back


def test_its_own_books_tell_the_same_story(rig: Rig) -> None:
    """Three payments, one refunded in part, one disputed and lost: what moved adds up, whatever the account's currency and fees."""
    begin = datetime.now(UTC) - timedelta(seconds=1)
    payments = [paid(rig)[0] for _ in range(3)]
    event = next(one for one in heard(rig) if one.reference == payments[0].reference)
    rig.provider.refund(order_of(payments[0], event.money, 1000))
    rig.settle_refunds()
    rig.dispute(payments[1], won=False)
    until = datetime.now(UTC) + timedelta(seconds=2)
    moved = rig.provider.movements(begin, until)
    assert sorted(one.amount_minor for one in moved) == [-6060, -1000, 6060, 6060, 6060]
    assert {one.currency for one in moved} == {rig.currency} and all(begin <= one.at < until for one in moved)
    assert {one.reference for one in moved if one.amount_minor > 0} == {payment.reference for payment in payments}
    assert all((one.object == one.money) == (one.amount_minor > 0) for one in moved), "what moved it is named, a payment is itself"
    assert {one.money for one in moved if one.amount_minor in (1000, -1000)} == {event.money}
    assert rig.provider.movements(begin - timedelta(days=2), begin - timedelta(days=1)) == []


def test_what_somebody_else_sells_through_the_same_account_is_read_too(rig: Rig) -> None:
    """A shop of the same university uses the account, with words of its own where ours write a reference. Its money is nobody's
    here, and in sight; refused or unread, it would hide every other movement of its day."""
    if not isinstance(rig, FakeRig):
        pytest.skip("the dummy company sells for nobody else")
    begin = datetime.now(UTC) - timedelta(seconds=1)
    rig.sell_elsewhere(begun(rig))
    rig.settle_refunds()
    told = heard(rig)
    assert {one.kind for one in told} >= {EventKind.SUCCEEDED, EventKind.REFUND_SUCCEEDED}
    assert len({one.money for one in told}) == 1 and not any(one.reference.startswith("TXN_") or one.refund for one in told)
    until = datetime.now(UTC) + timedelta(seconds=2)
    assert sorted(one.amount_minor for one in rig.provider.movements(begin, until)) == [-1000, 6060]
    if isinstance(rig, StripeRig):
        for one in rig.company.objects.values():
            one["currency"] = "sek"
        assert {one.currency for one in rig.provider.movements(begin, until)} == {"SEK"}, "not ours, and no reason to read no other"


@pytest.mark.parametrize("name", ["omise", "paystack"])
def test_a_list_that_grows_while_it_is_read_tells_each_movement_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are counted from the newest: whoever pays between two of them pushes the last of one onto the next."""
    monkeypatch.setattr(f"webhooks.providers.{name}.PAGE", 2)
    with RIGS[name](tmp_path) as rig:
        begin, api = datetime.now(UTC) - timedelta(seconds=1), rig.provider.api  # type: ignore[attr-defined]
        payments, get, pages = [paid(rig)[0] for _ in range(4)], api.get, count()

        def growing(path: str, **query: str | int) -> dict[str, object]:
            answer: dict[str, object] = get(path, **query)
            if path in ("/charges", "/transaction") and next(pages) == 0:
                paid(rig)
            return answer
        monkeypatch.setattr(api, "get", growing)
        told = [one.reference for one in rig.provider.movements(begin, datetime.now(UTC) + timedelta(seconds=2))]
        assert len(set(told)) == len(told) and {payment.reference for payment in payments} <= set(told)


# what it refuses


def test_anything_but_its_own_signature_is_refused(rig: Rig) -> None:
    paid(rig)
    hook = rig.hooks()[-1]
    names = [name for name in hook.headers if "signature" in name and "timestamp" not in name]
    assert names
    wrong: list[tuple[dict[str, str], bytes]] = [({}, hook.body), (hook.headers, hook.body + b" "), (hook.headers, b"")]
    for name in names:
        value = hook.headers[name]
        other = value[:-1] + ("0" if value[-1] != "0" else "1")
        wrong += [(hook.headers | {name: other}, hook.body), ({f"x-{name}": value}, hook.body), (hook.headers | {name: ""}, hook.body),
                  (hook.headers | {name: "é" * 64}, hook.body), (hook.headers | {name: value[:-1]}, hook.body)]
    for headers, body in wrong:
        with pytest.raises(BadSignature):
            rig.provider.read_event(headers, body, datetime.now(UTC))
    with pytest.raises(BadEvent):
        rig.provider.parse_event(b"{}")


def test_an_event_is_fresh_for_five_minutes_either_way_where_it_has_a_time(rig: Rig) -> None:
    paid(rig)
    hook, now = rig.hooks()[-1], datetime.now(UTC)
    for seconds in (-295, 295):
        rig.provider.read_event(hook.headers, hook.body, now + timedelta(seconds=seconds))
    if rig.dated:
        for seconds in (-306, 306, 86_400, -86_400):
            with pytest.raises(BadSignature) as refusal:
                rig.provider.read_event(hook.headers, hook.body, now + timedelta(seconds=seconds))
            assert refusal.value.counted == "stale"


# what breaks


def test_stripe_offers_the_payer_no_other_currency(tmp_path: Path) -> None:
    """Where the account's dashboard localizes prices, a payer abroad would pay, dispute and get back something else than was asked."""
    with RIGS["stripe"](tmp_path) as rig:
        begun(rig)
        [session] = cast(StripeRig, rig).company.of("checkout.session")
        assert (session["amount_total"], session["currency"], session["adaptive_pricing"]) == (6060, "thb", {"enabled": "false"})


def test_a_checkout_asked_for_twice_is_made_once(rig: Rig) -> None:
    payment = payment_at(rig)
    first = rig.provider.checkout(payment, BACK)
    assert first.url.startswith("http") and first.provider_ref
    try:
        assert rig.provider.checkout(payment, BACK) == first
    except ProviderTrouble as trouble:          # one that tells no one where its page was, but makes no second
        assert trouble.outcome is Outcome.REFUSED and not rig.remembers
    assert rig.made("checkouts") == 1


@pytest.mark.parametrize("fault", sorted(Fault))
def test_a_checkout_that_went_wrong_is_never_made_twice(rig: Rig, fault: Fault) -> None:
    payment = payment_at(rig)
    rig.break_(fault, "POST")
    with pytest.raises(ProviderTrouble) as trouble:
        rig.provider.checkout(payment, BACK)
    assert trouble.value.outcome in honest(fault)
    rig.mend()
    try:
        rig.provider.checkout(payment, BACK)
    except ProviderTrouble as again:
        assert again.outcome is not Outcome.NOT_DONE
    assert rig.made("checkouts") <= 1


@pytest.mark.parametrize("fault", sorted(Fault))
def test_a_refund_that_went_wrong_gives_back_once(rig: Rig, fault: Fault) -> None:
    """The way the outbox goes: ask, and when nobody knows, ask again under the same key, else look."""
    payment, event = paid(rig)
    order = order_of(payment, event.money)
    rig.break_(fault, "POST")
    with pytest.raises(ProviderTrouble) as trouble:
        rig.provider.refund(order)
    assert trouble.value.outcome in honest(fault)
    if fault is Fault.TOO_MANY:
        assert trouble.value.retry_after_seconds == 7
    rig.mend()
    if trouble.value.outcome is not Outcome.REFUSED:
        found = rig.provider.find_refund(order) or asked_again(rig, order)
        assert found is None or found.provider_ref
    assert rig.made("refunds") <= 1


@pytest.mark.parametrize("fault", sorted(Fault))
@pytest.mark.parametrize("question", ["look_up", "find_refund", "movements"])
def test_a_question_that_went_wrong_can_be_asked_again(rig: Rig, question: str, fault: Fault) -> None:
    """Questions have no effect: not answered means not done, and the next answer is right."""
    payment, event = paid(rig)
    order = order_of(payment, event.money)
    rig.provider.refund(order)
    ask: dict[str, Callable[[], Any]] = {
        "look_up": lambda: rig.provider.look_up(payment), "find_refund": lambda: rig.provider.find_refund(order),
        "movements": lambda: rig.provider.movements(datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(seconds=2))}
    rig.break_(fault)
    with pytest.raises(ProviderTrouble) as trouble:
        ask[question]()
    assert trouble.value.outcome is (Outcome.REFUSED if fault is Fault.NO else Outcome.NOT_DONE)
    rig.mend()
    assert ask[question]()


def test_a_company_that_is_not_there_did_nothing(rig: Rig) -> None:
    payment, event = paid(rig)
    rig.gone()
    with pytest.raises(ProviderTrouble) as trouble:
        rig.provider.refund(order_of(payment, event.money))
    assert trouble.value.outcome is Outcome.NOT_DONE


def honest(fault: Fault) -> set[Outcome]:
    """What may be said of a call with an effect: NOT_DONE only where the company said so itself."""
    if fault is Fault.NO:
        return {Outcome.REFUSED}
    return {Outcome.NOT_DONE} if fault in NOTHING_DONE else {Outcome.UNKNOWN}


def asked_again(rig: Rig, order: RefundOrder) -> Any:
    """The same order once more; a company that keeps an error under the key says it again."""
    try:
        return rig.provider.refund(order)
    except ProviderTrouble as again:
        assert again.outcome is Outcome.UNKNOWN
        return None
