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
    Payment,
    PaymentStatus,
    ProviderEvent,
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
                created_at=NOW, expires_at=NOW + timedelta(minutes=20), settled_at=None)
CAME = ProviderEvent(provider="dummy", key="evt_1", kind=EventKind.SUCCEEDED, livemode=False, reference="TXN_1", money="TXN_1",
                     amount_minor=6060, currency="THB")
FAILED = replace(CAME, kind=EventKind.FAILED)


def asked(status: str) -> Payment:
    return replace(ASKED, status=PaymentStatus(status))


@pytest.mark.parametrize(("event", "payment", "receipt", "step"), [
    (CAME, ASKED, PENDING, Step.SETTLE),
    (CAME, asked("failed"), PENDING, Step.SETTLE),
    (CAME, asked("expired"), PENDING, Step.SETTLE),
    (CAME, asked("succeeded"), PAID, Step.NOTHING),
    (CAME, asked("unapplied"), PAID, Step.NOTHING),
    (CAME, asked("reverted"), PENDING, Step.NOTHING),
    (CAME, ASKED, PAID, Step.KEEP),
    (CAME, ASKED, VOID, Step.KEEP),
    (CAME, ASKED, ReceiptStatus.REFUNDED, Step.KEEP),
    (replace(CAME, amount_minor=6059), ASKED, PENDING, Step.KEEP_FOREIGN),
    (replace(CAME, amount_minor=6061), asked("succeeded"), PAID, Step.KEEP_FOREIGN),
    (replace(CAME, currency="USD"), ASKED, PENDING, Step.KEEP_FOREIGN),
    (FAILED, ASKED, PENDING, Step.FAIL),
    (replace(FAILED, amount_minor=1), ASKED, PENDING, Step.FAIL),
    (FAILED, asked("succeeded"), PAID, Step.NOTHING),
    (FAILED, asked("expired"), PENDING, Step.NOTHING),
    (replace(CAME, livemode=True), ASKED, PENDING, Step.IGNORE),
    (CAME, None, None, Step.KEEP_FOREIGN),
    (FAILED, None, None, Step.IGNORE),
])
def test_what_follows(event: ProviderEvent, payment: Payment | None, receipt: ReceiptStatus | None, step: Step) -> None:
    assert decide(event, payment, receipt, live=False, patient=False).step is step


def test_what_is_unknown_is_waited_for_while_there_is_patience() -> None:
    assert decide(CAME, None, None, live=False, patient=True).step is Step.WAIT
    assert decide(FAILED, None, None, live=False, patient=True).step is Step.WAIT


def test_what_succeeded_never_fails_or_expires() -> None:
    assert MOVES[PaymentStatus.SUCCEEDED] == {PaymentStatus.REVERTED}
    check_move("TXN_1", PaymentStatus.EXPIRED, PaymentStatus.SUCCEEDED)
    with pytest.raises(IllegalMove, match="Payment TXN_1 is succeeded and cannot become failed"):
        check_move("TXN_1", PaymentStatus.SUCCEEDED, PaymentStatus.FAILED)


def test_a_currency_nobody_knows_is_no_amount() -> None:
    with pytest.raises(MoneyError):
        decide(replace(CAME, currency="XXX"), ASKED, PENDING, live=False, patient=False)


@pytest.mark.parametrize("body", [b"1", b"[1]", b'{"a":1,"a":1}', b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":1.0}', b'{"a":1e2}',
                                  b"\xff", b"\xef\xbb\xbf{}", b"{}x", b"[" * 9_999, b'{"a":' * 9_999,
                                  b'{"a":' + b"1" * 5_000 + b"}"])
def test_json_is_read_strictly(body: bytes) -> None:
    with pytest.raises(BadEvent):
        strict_json(body)
    assert strict_json(b' {"a": {"b": [1, null, true, "\\u00e9"]}} ') == {"a": {"b": [1, None, True, "é"]}}
