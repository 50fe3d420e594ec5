"""Payment providers by name. Adding one = one new file here, one line in the registry, its samples in tests."""

from __future__ import annotations

from collections.abc import Callable

from data.settings import Settings
from engine.ports import PaymentProvider
from webhooks.providers.dummy import DummyProvider

REGISTRY: dict[str, Callable[[Settings], PaymentProvider]] = {
    "dummy": DummyProvider,
}


def load_providers(settings: Settings) -> dict[str, PaymentProvider]:
    """The providers of this installation by name: the one that the settings choose, or none."""
    name = settings.payment_provider
    if not name:
        return {}
    if name not in REGISTRY:
        raise ValueError(f"COREHOURS_PAYMENT_PROVIDER is {name!r}; known are {', '.join(sorted(REGISTRY))}.")
    return {name: REGISTRY[name](settings)}
