"""The decision with literals: what we asked for, what the provider says, what follows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.errors import IllegalMove, MoneyError
from engine.payments import (
    MOVES,
    BadEvent,
    EventKind,
    Known,
    Payment,
    PaymentStatus,
    ProviderEvent,
    Purpose,
    Step,
    check_move,
    decide,
    strict_json,
)
from engine.receipts import ReceiptStatus

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PENDING, PAID, VOID = ReceiptStatus.PENDING, ReceiptStatus.PAID, ReceiptStatus.VOID
ASKED = Payment(id="pay_1", reference="TXN_1", receipt_id="rcpt_1", provider="dummy", livemode=False, amount_micro=60_600_000,
                currency="THB", status=PaymentStatus.PENDING, provider_ref=None, checkout_url=None, created_by="alice",
                created_at=NOW, expires_at=NOW + timedelta(minutes=20), settled_at=None, wallet="alice")
TOPUP = replace(ASKED, purpose=Purpose.TOPUP, receipt_id=None)
CAME = ProviderEvent(provider="dummy", key="evt_1", kind=EventKind.SUCCEEDED, livemode=False, reference="TXN_1", money="TXN_1",
                     amount_minor=6060, currency="THB")
FAILED = replace(CAME, kind=EventKind.FAILED)
PROCESSING = replace(CAME, kind=EventKind.PROCESSING)


def asked(status: str) -> Payment:
    return replace(ASKED, status=PaymentStatus(status))


def holding(status: str, micro: int = 60_600_000) -> Payment:
    """A payment that has the event's money."""
    return replace(ASKED, status=PaymentStatus(status), money_ref="TXN_1", received_micro=micro)


@pytest.mark.parametrize(("event", "payment", "receipt", "step"), [
    (CAME, ASKED, PENDING, Step.SETTLE),
    (CAME, asked("processing"), PENDING, Step.SETTLE),
    (CAME, asked("failed"), PENDING, Step.SETTLE),
    (CAME, asked("expired"), PENDING, Step.SETTLE),
    (CAME, ASKED, PAID, Step.CREDIT),
    (CAME, ASKED, VOID, Step.CREDIT),
    (CAME, ASKED, ReceiptStatus.REFUNDED, Step.CREDIT),
    (CAME, asked("reverted"), PENDING, Step.SETTLE),
    (replace(CAME, amount_minor=6059), ASKED, PENDING, Step.CREDIT),
    (replace(CAME, amount_minor=6061), ASKED, PENDING, Step.SETTLE),
    (replace(CAME, amount_minor=6061), asked("succeeded"), PAID, Step.CREDIT),
    (replace(CAME, currency="USD"), ASKED, PENDING, Step.KEEP),
    (CAME, replace(ASKED, wallet=""), PENDING, Step.KEEP),
    (CAME, TOPUP, None, Step.SETTLE),
    (replace(CAME, amount_minor=1), TOPUP, None, Step.SETTLE),
    (replace(CAME, currency="USD"), TOPUP, None, Step.KEEP),
    (PROCESSING, ASKED, PENDING, Step.PROCESS),
    (PROCESSING, asked("expired"), PENDING, Step.PROCESS),
    (PROCESSING, asked("processing"), PENDING, Step.NOTHING),
    (PROCESSING, asked("failed"), PENDING, Step.NOTHING),
    (PROCESSING, asked("succeeded"), PAID, Step.NOTHING),
    (PROCESSING, None, None, Step.IGNORE),
    (FAILED, ASKED, PENDING, Step.FAIL),
    (FAILED, asked("processing"), PENDING, Step.FAIL),
    (replace(FAILED, amount_minor=1), ASKED, PENDING, Step.FAIL),
    (FAILED, asked("succeeded"), PAID, Step.NOTHING),
    (FAILED, asked("expired"), PENDING, Step.NOTHING),
    (replace(CAME, livemode=True), ASKED, PENDING, Step.IGNORE),
    (replace(CAME, kind=EventKind.OTHER), ASKED, PENDING, Step.IGNORE),
    (CAME, None, None, Step.KEEP),
    (FAILED, None, None, Step.IGNORE),
])
def test_what_follows(event: ProviderEvent, payment: Payment | None, receipt: ReceiptStatus | None, step: Step) -> None:
    assert decide(event, Known(payment, receipt), live=False, patient=False).step is step


@pytest.mark.parametrize(("holder", "payment", "step"), [
    (holding("succeeded"), holding("succeeded"), Step.NOTHING),
    (holding("credited"), holding("credited"), Step.NOTHING),
    (holding("unapplied"), None, Step.NOTHING),
    (holding("succeeded", 60_590_000), holding("succeeded", 60_590_000), Step.CONTRADICT),
    (holding("unapplied", 1), None, Step.CONTRADICT),
    (replace(holding("unapplied"), id="pay_0"), ASKED, Step.SETTLE),
    (replace(holding("unapplied"), id="pay_0"), replace(ASKED, currency="USD"), Step.KEEP),
])
def test_the_same_money_is_taken_once(holder: Payment, payment: Payment | None, step: Step) -> None:
    """At most it is known now whose it is; told with another amount, somebody must look."""
    assert decide(CAME, Known(payment, PENDING, holder), live=False, patient=True).step is step


def test_what_is_unknown_is_waited_for_while_there_is_patience() -> None:
    for event in (CAME, FAILED, PROCESSING):
        assert decide(event, Known(), live=False, patient=True).step is Step.WAIT


def test_a_payment_says_what_its_money_became() -> None:
    over = replace(holding("succeeded", 70_000_000))
    assert (over.settled_micro, over.credited_micro) == (60_600_000, 9_400_000)
    assert (holding("credited").settled_micro, holding("credited").credited_micro) == (0, 60_600_000)
    filled = replace(TOPUP, status=PaymentStatus.SUCCEEDED, received_micro=60_600_000)
    assert (filled.settled_micro, filled.credited_micro) == (0, 60_600_000)
    assert (holding("unapplied").settled_micro, holding("unapplied").credited_micro) == (0, 0)
    assert asked("processing").open(NOW + timedelta(days=3)) and not ASKED.open(NOW + timedelta(minutes=20))


def test_what_succeeded_never_fails_or_expires() -> None:
    assert MOVES[PaymentStatus.SUCCEEDED] == {PaymentStatus.REVERTED}
    check_move("TXN_1", PaymentStatus.EXPIRED, PaymentStatus.SUCCEEDED)
    with pytest.raises(IllegalMove, match="Payment TXN_1 is succeeded and cannot become failed"):
        check_move("TXN_1", PaymentStatus.SUCCEEDED, PaymentStatus.FAILED)


def test_a_currency_nobody_knows_is_no_amount() -> None:
    with pytest.raises(MoneyError):
        decide(replace(CAME, currency="XXX"), Known(), live=False, patient=False)


@pytest.mark.parametrize("body", [b"1", b"[1]", b'{"a":1,"a":1}', b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":1.0}', b'{"a":1e2}',
                                  b"\xff", b"\xef\xbb\xbf{}", b"{}x", b"[" * 9_999, b'{"a":' * 9_999,
                                  b'{"a":' + b"1" * 5_000 + b"}"])
def test_json_is_read_strictly(body: bytes) -> None:
    with pytest.raises(BadEvent):
        strict_json(body)
    assert strict_json(b' {"a": {"b": [1, null, true, "\\u00e9"]}} ') == {"a": {"b": [1, None, True, "é"]}}
