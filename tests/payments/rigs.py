"""Every provider with the company behind it, in the same words: what the contract test and the flows drive them by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

from data.settings import Settings
from engine.money import to_minor
from engine.payments import EventKind, Payment
from engine.ports import PaymentProvider
from tests.fakes import omise as fake_omise
from tests.fakes import paystack as fake_paystack
from tests.fakes import stripe as fake_stripe
from tests.fakes.company import Fault, Hook
from webhooks.providers import REGISTRY, dummy_company
from webhooks.providers.dummy import DummyProvider
from webhooks.providers.dummy_post import Delivery

BRIEFLY = 0.4                                   # how long a call may take that will not be answered
SILENT = {Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER, Fault.SLOW_AFTER}


class Rig(Protocol):
    """A provider and the company behind it."""

    provider: PaymentProvider
    dated: bool                                 # its signatures carry a time
    remembers: bool                             # it says again where a payment's page is
    refunds_fail: bool                          # a refund may fail after it succeeded
    tells_failure: bool                         # a webhook says that a payment came to nothing
    currency: str                               # one that it takes

    def pay(self, payment: Payment) -> None: ...
    def decline(self, payment: Payment) -> None: ...
    def refund_by_hand(self, payment: Payment, amount_minor: int) -> None: ...
    def settle_refunds(self) -> None: ...
    def refund_fails(self, number: int) -> None: ...
    def dispute(self, payment: Payment, won: bool) -> None: ...
    def break_(self, fault: Fault, method: str = "") -> None: ...
    def mend(self) -> None: ...
    def gone(self) -> None: ...
    def made(self, what: str) -> int: ...
    def hooks(self) -> list[Hook]: ...


@dataclass
class FakeRig:
    """What the rigs of all fakes share."""

    provider: PaymentProvider
    company: Any
    dated: bool = True
    remembers: bool = True
    refunds_fail: bool = True
    tells_failure: bool = True
    currency: str = "THB"

    def break_(self, fault: Fault, method: str = "") -> None:
        self.line().seconds = BRIEFLY if fault in SILENT else 10
        self.company.breaks(fault, method)

    def mend(self) -> None:
        self.line().seconds = 10
        self.company.mend()

    def line(self) -> Any:
        """What has the time limit of its calls."""
        return self.provider.api  # type: ignore[attr-defined]

    def gone(self) -> None:
        self.company.__exit__()

    def hooks(self) -> list[Hook]:
        sent: list[Hook] = self.company.sent
        return sent

    def settle_refunds(self) -> None:
        """Have the refunds that are under way arrive."""

    def sell_elsewhere(self, payment: Payment) -> None:
        """Its checkout was somebody else's: paid under their words instead of our reference, and given back in part."""
        raise NotImplementedError


class StripeRig(FakeRig):
    """Stripe."""

    company: fake_stripe.FakeStripe

    def line(self) -> Any:
        return self.provider.line  # type: ignore[attr-defined]

    def pay(self, payment: Payment) -> None:
        self.company.pay(self.session(payment)["id"])

    def decline(self, payment: Payment) -> None:
        self.company.expire(self.session(payment)["id"])

    def refund_by_hand(self, payment: Payment, amount_minor: int) -> None:
        self.company.refunded(self.charge(payment), amount_minor, {})

    def refund_fails(self, number: int) -> None:
        self.company.refund_fails(self.company.of("refund")[number])

    def dispute(self, payment: Payment, won: bool) -> None:
        self.company.close(self.company.dispute(self.charge(payment)), won)

    def sell_elsewhere(self, payment: Payment) -> None:
        session = self.session(payment)
        session |= {"client_reference_id": "Order #17 / 2026", "intent_metadata": {"reference": "Order #17 / 2026", "refund": "later?"}}
        self.company.refunded(self.company.objects[self.company.pay(session["id"])["latest_charge"]], 1000, session["intent_metadata"])

    def session(self, payment: Payment) -> dict[str, Any]:
        return next(one for one in self.company.of("checkout.session") if one["client_reference_id"] == payment.reference)

    def charge(self, payment: Payment) -> dict[str, Any]:
        return next(one for one in self.company.of("charge") if one["metadata"]["reference"] == payment.reference)

    def made(self, what: str) -> int:
        return len(self.company.of({"checkouts": "checkout.session", "refunds": "refund"}[what]))


@contextmanager
def stripe_rig(home: Path) -> Iterator[Rig]:
    with fake_stripe.FakeStripe() as company, patch("stripe._http_client.HTTPClient.INITIAL_DELAY", 0.01):
        assert isinstance(company, fake_stripe.FakeStripe)
        settings = Settings(home=home, stripe_secret_key=fake_stripe.KEY, stripe_webhook_secret=fake_stripe.SECRET,
                            stripe_url=company.url)
        yield StripeRig(REGISTRY["stripe"](settings), company)


class PaystackRig(FakeRig):
    """Paystack."""

    company: fake_paystack.FakePaystack

    def pay(self, payment: Payment) -> None:
        self.company.pay(self.transaction(payment))

    def decline(self, payment: Payment) -> None:
        """Nothing is told: the transaction is just called failed."""
        self.transaction(payment)["status"] = "failed"

    def refund_by_hand(self, payment: Payment, amount_minor: int) -> None:
        self.company.refunded(self.transaction(payment), amount_minor)

    def settle_refunds(self) -> None:
        self.company.settle()

    def refund_fails(self, number: int) -> None:
        self.company.refund_fails(self.company.refunds[number])

    def dispute(self, payment: Payment, won: bool) -> None:
        self.company.close(self.company.dispute(self.transaction(payment)), won)

    def sell_elsewhere(self, payment: Payment) -> None:
        transaction = self.transaction(payment)
        transaction["reference"] = "order-17=2026.b"
        self.company.pay(transaction)
        self.company.refunded(transaction, 1000)

    def transaction(self, payment: Payment) -> dict[str, Any]:
        found = self.company.transaction(payment.reference.replace("_", "-"))
        assert found
        return found

    def made(self, what: str) -> int:
        return len({"checkouts": self.company.transactions, "refunds": self.company.refunds}[what])


@contextmanager
def paystack_rig(home: Path) -> Iterator[Rig]:
    with fake_paystack.FakePaystack() as company:
        settings = Settings(home=home, paystack_secret_key=fake_paystack.KEY, paystack_email="billing@example.org",
                            paystack_url=company.url)
        yield PaystackRig(REGISTRY["paystack"](settings), company, dated=False, remembers=False, tells_failure=False, currency="NGN")


class OmiseRig(FakeRig):
    """Omise."""

    company: fake_omise.FakeOmise

    def pay(self, payment: Payment) -> None:
        self.company.pay(self.charge(payment))

    def decline(self, payment: Payment) -> None:
        self.company.expire(self.charge(payment))

    def refund_by_hand(self, payment: Payment, amount_minor: int) -> None:
        self.company.refunded(self.charge(payment), amount_minor, {})

    def refund_fails(self, number: int) -> None:
        raise NotImplementedError("a refund of Omise is done when it is made")

    def dispute(self, payment: Payment, won: bool) -> None:
        self.company.close(self.company.dispute(self.charge(payment)), won)

    def sell_elsewhere(self, payment: Payment) -> None:
        charge = self.charge(payment)
        charge["metadata"] = {"reference": "Order #17 / 2026", "refund": "later?"}
        self.company.pay(charge)
        self.company.refunded(charge, 1000, charge["metadata"])

    def charge(self, payment: Payment) -> dict[str, Any]:
        return next(one for one in self.company.charges if one["metadata"]["reference"] == payment.reference)

    def made(self, what: str) -> int:
        return len({"checkouts": self.company.charges, "refunds": self.company.refunds}[what])


@contextmanager
def omise_rig(home: Path) -> Iterator[Rig]:
    with fake_omise.FakeOmise() as company:
        settings = Settings(home=home, omise_secret_key=fake_omise.KEY, omise_webhook_secret=f"b2xkZXI=,{fake_omise.SECRET}",
                            omise_url=company.url)
        yield OmiseRig(REGISTRY["omise"](settings), company, refunds_fail=False)


class DummyRig:
    """The dummy and its company; whatever breaks on a line, it only knows as an answer that is lost."""

    dated = remembers = refunds_fail = tells_failure = True
    currency = "THB"

    def __init__(self, home: Path) -> None:
        self.provider = DummyProvider(Settings(home=home, dummy_webhook_secret="s3cret"))
        self.company = self.provider.company
        self.sent: list[Hook] = []
        self.company.send = self._keep
        with self.company.books.open() as held:
            held["refunds_end"] = "stay under way"

    def _keep(self, body: bytes) -> None:
        self.sent.append(Hook(self.provider.post.headers(Delivery(body)), body))

    def hooks(self) -> list[Hook]:
        return self.sent

    def pay(self, payment: Payment, told: EventKind = EventKind.SUCCEEDED) -> None:
        self._keep(self.company.pay(payment.reference, to_minor(payment.money), payment.currency, told=told))

    def decline(self, payment: Payment) -> None:
        self.pay(payment, EventKind.FAILED)

    def refund_by_hand(self, payment: Payment, amount_minor: int) -> None:
        self.company.refund(payment.reference, amount_minor)

    def settle_refunds(self) -> None:
        self.company.settle()

    def refund_fails(self, number: int) -> None:
        self.company.fail(list(self.company.books.read()["refunds"].values())[number]["object"])

    def dispute(self, payment: Payment, won: bool) -> None:
        self.company.close(self.company.dispute(payment.reference)["object"], won)

    def break_(self, fault: Fault, method: str = "") -> None:
        known = {str(one): one for one in dummy_company.Fault}
        self.company.breaks(known.get(fault, dummy_company.Fault.TIMEOUT_AFTER), calls=99, effects_only=method == "POST")

    def mend(self) -> None:
        self.company.breaks(None)

    def gone(self) -> None:
        self.company.breaks(dummy_company.Fault.GONE, calls=99)

    def made(self, what: str) -> int:
        return len(self.company.books.read()[what])


@contextmanager
def dummy_rig(home: Path) -> Iterator[Rig]:
    yield DummyRig(home)


RIGS: dict[str, Callable[[Path], Any]] = {"dummy": dummy_rig, "omise": omise_rig, "paystack": paystack_rig, "stripe": stripe_rig}
