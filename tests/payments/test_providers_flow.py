"""A receipt paid and refunded through each real adapter, its company on loopback and a sidecar in between: webhooks come
shuffled and three times each, and what is confirmed is asked of the company."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from pydantic import SecretStr

from data.postgres.store import Store
from engine.money import Money
from engine.payments import Payment
from engine.policy import OPERATOR
from engine.services.refunds import request_refund
from tests.fakes import omise, stripe
from tests.fakes.company import Fault
from tests.payments.conftest import Books, SidecarThread, wait_until
from tests.payments.rigs import RIGS, FakeRig


@pytest.fixture(params=[pytest.param("omise", marks=pytest.mark.long), "stripe"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FakeRig]:
    """Those that take Thai baht, which these receipts are in."""
    with RIGS[request.param](tmp_path) as made:
        yield made


@pytest.fixture
def sidecar(rig: FakeRig, heir: SidecarThread) -> SidecarThread:
    """A sidecar with that provider alone, settled as two variables would."""
    secrets = {"stripe": (stripe.KEY, stripe.SECRET), "omise": (omise.KEY, omise.SECRET)}
    name = rig.provider.name
    knobs = {f"{name}_secret_key": SecretStr(secrets[name][0]), f"{name}_webhook_secret": SecretStr(secrets[name][1]),
             f"{name}_url": rig.company.url, "payment_provider": name}
    return heir.start(**knobs)


def test_paid_once_and_refunded_once(rig: FakeRig, sidecar: SidecarThread, store: Store, books: Books) -> None:
    receipt = books.receipt_of("alice")
    theirs = Store(store.engine, store.settings.model_copy(update={"payment_provider": rig.provider.name}))
    payment = Books(theirs).payment_of(receipt)
    led = requests.get(f"{sidecar.url}/pay/{payment.reference}", timeout=20, allow_redirects=False)
    assert led.status_code == 303 and rig.provider.name in led.headers["location"]
    rig.pay(payment)
    deliver(rig, sidecar)
    wait_until(lambda: books.status(receipt) == "paid" and books.drained(), "paid")
    name = rig.provider.name
    assert books.ledger() == {f"clearing:{name}": 60_600_000, "income:cpu": 60_600_000}
    rig.break_(Fault.ERROR_AFTER, "POST")
    rig.company.fault_calls = 1
    store.run(lambda tx: request_refund(tx, payment.reference, Money(10_000_000, "THB"), "the job was lost", OPERATOR), actor="operator")
    wait_until(lambda: states(store, payment) in (["succeeded"], ["submitted"]), "asked for, though its first answer was lost")
    deliver(rig, sidecar)
    wait_until(lambda: states(store, payment) == ["succeeded"] and books.drained(), "told")
    assert rig.made("refunds") == 1
    assert books.ledger() == {f"clearing:{name}": 50_600_000, "income:cpu": 50_600_000}


def deliver(rig: FakeRig, sidecar: SidecarThread) -> None:
    """Everything that was ever sent, three times, in any order: each is taken."""
    answers = rig.company.deliver(f"{sidecar.url}/webhooks/{rig.provider.name}", copies=3, shuffled=random.Random(7))
    assert set(answers) == {200}


def states(store: Store, payment: Payment) -> list[str]:
    return [str(one.status) for one in store.read(lambda tx: tx.refunds.of_payment(payment.id))]
