"""One contract for every provider in the registry, and what is particular to signatures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from data.settings import Settings
from engine.errors import DomainError, NotFound
from engine.payments import BadEvent, BadSignature, EventKind, Payment, PaymentStatus
from engine.ports import PaymentProvider
from tests.payments.conftest import event
from webhooks.providers import REGISTRY, load_providers, signing
from webhooks.providers.dummy import SIGNATURE_HEADER, DummyProvider

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PAYMENT = Payment(id="pay_1", reference="TXN_0123456789ABCDEF", receipt_id="rcpt_1", provider="dummy", livemode=False,
                  amount_micro=60_600_000, currency="THB", status=PaymentStatus.PENDING, provider_ref=None, checkout_url=None,
                  created_by="alice", created_at=NOW, expires_at=NOW + timedelta(minutes=20), settled_at=None)


@dataclass(frozen=True)
class Pen:
    """How to write a provider's webhooks: the body of a success, and its headers at a time."""

    success: bytes
    headers: Callable[[bytes, datetime], dict[str, str]]


def dummy_headers(body: bytes, at: datetime) -> dict[str, str]:
    return {SIGNATURE_HEADER: signing.header("s3cret", int(at.timestamp()), body)}


PENS = {"dummy": Pen(event(PAYMENT.reference, id="evt_1"), dummy_headers)}


@pytest.fixture(params=["dummy"])
def provider(request: pytest.FixtureRequest, tmp_path: Path) -> PaymentProvider:
    """Each provider of the registry."""
    return REGISTRY[request.param](Settings(home=tmp_path, dummy_webhook_secret="s3cret"))


def test_a_signed_success_is_read(provider: PaymentProvider) -> None:
    pen = PENS[provider.name]
    read = provider.read_event(pen.headers(pen.success, NOW), pen.success, NOW)
    assert (read.provider, read.kind, read.livemode) == (provider.name, EventKind.SUCCEEDED, False)
    assert (read.reference, str(read.amount)) == (PAYMENT.reference, "60.60 THB")
    assert read.key and read.money
    assert provider.parse_event(pen.success) == read, "the worker reads what the door read"


def test_anything_else_is_refused(provider: PaymentProvider) -> None:
    pen = PENS[provider.name]
    right = pen.headers(pen.success, NOW)
    for headers, body in [({}, pen.success), (right, pen.success + b" "), (right, b""),
                          ({name: value[:-1] + "0" if value[-1] != "0" else value[:-1] + "1" for name, value in right.items()},
                           pen.success)]:
        with pytest.raises(BadSignature):
            provider.read_event(headers, body, NOW)
    with pytest.raises(BadEvent):
        provider.parse_event(b"{}")


def test_an_event_is_fresh_for_five_minutes_either_way(provider: PaymentProvider) -> None:
    pen = PENS[provider.name]
    for minutes in (-5, 5):
        provider.read_event(pen.headers(pen.success, NOW), pen.success, NOW + timedelta(minutes=minutes))
    for seconds in (-301, 301, 86_400):
        with pytest.raises(BadSignature):
            provider.read_event(pen.headers(pen.success, NOW), pen.success, NOW + timedelta(seconds=seconds))


def test_a_checkout_asked_for_twice_is_the_same(provider: PaymentProvider) -> None:
    first, second = (provider.checkout(PAYMENT, "http://localhost/receipt") for _ in range(2))
    assert first == second and first.url.startswith("http") and first.provider_ref


def test_the_dummy_does_not_exist_in_production(tmp_path: Path) -> None:
    """Neither by the settings, nor where somebody went around them."""
    with pytest.raises(ValueError, match="dummy payment provider does not run in production"):
        Settings(env="production", database_url="postgresql://x", audit_key="k" * 32, payment_provider="dummy")
    around = Settings(home=tmp_path, dummy_webhook_secret="s3cret").model_copy(update={"env": "production"})
    with pytest.raises(ValueError, match="dummy payment provider does not run in production"):
        load_providers(around)
    assert load_providers(around.model_copy(update={"payment_provider": ""})) == {}
    with pytest.raises(ValueError, match="known are bank_qr, dummy"):
        load_providers(around.model_copy(update={"payment_provider": "strype"}))


def test_a_checkout_token_cannot_be_written_by_hand(tmp_path: Path) -> None:
    dummy = DummyProvider(Settings(home=tmp_path, dummy_webhook_secret="s3cret"))
    token = dummy.checkout(PAYMENT, "http://localhost/receipt").url.split("token=")[1]
    assert dummy.order(token).amount_minor == 6060
    for wrong in ("", "x", token[:-1], token.replace(token[5], "A" if token[5] != "A" else "B", 1)):
        with pytest.raises(NotFound):
            dummy.order(wrong)


@given(some.text(max_size=300))
def test_no_header_breaks_the_reader(header: str) -> None:
    """Whatever a stranger writes is a bad signature, never a crash."""
    with pytest.raises(BadSignature):
        signing.verify(header, b"body", ["s3cret"], NOW)


@given(some.integers(0, 10**13), some.lists(some.text("0123456789abcdefABCDEF ,=tv1", max_size=70), max_size=12))
def test_no_near_miss_is_taken(at: int, parts: list[str]) -> None:
    with pytest.raises(BadSignature):
        signing.verify(",".join([f"t={at}", *(f"v1={part}" for part in parts)]), b"body", ["s3cret"], NOW)


@given(some.binary(max_size=200), some.integers(-300, 300),
       some.lists(some.text(min_size=1, max_size=20), min_size=1, max_size=4), some.data())
def test_a_right_signature_is_taken_whichever_secret_made_it(
        body: bytes, shift: int, secrets: list[str], data: some.DataObject) -> None:
    secret = data.draw(some.sampled_from(secrets))
    header = signing.header(secret, int(NOW.timestamp()) + shift, body)
    signing.verify(header, body, secrets, NOW)
    with pytest.raises(BadSignature):
        signing.verify(header, body + b"x", secrets, NOW)


@given(some.binary(max_size=200))
def test_no_body_breaks_the_parser(body: bytes) -> None:
    try:
        read = REGISTRY["dummy"](Settings(dummy_webhook_secret="s3cret")).parse_event(body)
    except DomainError as refusal:
        assert isinstance(refusal, BadEvent)
    else:
        assert read.amount.micro > 0
