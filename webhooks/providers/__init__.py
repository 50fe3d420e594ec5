"""Payment providers by name. Adding one = one new file here, one line in the registry, its fake and its rig in tests."""

from __future__ import annotations

from collections.abc import Callable

from data.settings import Settings
from engine.ports import PaymentProvider
from webhooks.providers.bank_qr import BankQrProvider
from webhooks.providers.dummy import DummyProvider
from webhooks.providers.omise import OmiseProvider
from webhooks.providers.paystack import PaystackProvider
from webhooks.providers.stripe import StripeProvider

REGISTRY: dict[str, Callable[[Settings], PaymentProvider]] = {
    "bank_qr": BankQrProvider,
    "dummy": DummyProvider,
    "omise": OmiseProvider,
    "paystack": PaystackProvider,
    "stripe": StripeProvider,
}


def load_providers(settings: Settings) -> dict[str, PaymentProvider]:
    """The providers of this installation by name, the first offered first; none where payments are switched off."""
    for name in settings.payment_providers:
        if name not in REGISTRY:
            raise ValueError(f"COREHOURS_PAYMENT_PROVIDER is {name!r}; known are {', '.join(sorted(REGISTRY))}.")
    return {name: REGISTRY[name](settings) for name in settings.payment_providers}
