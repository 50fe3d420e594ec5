"""Which payment providers are switched on: two variables each, and keys that fit the installation.

A live key in a test installation would move real money, a test key in production none at all: either is refused when a
process starts, before anybody is sent anywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_ADDRESS = re.compile(r"https?://[^/\s?#]+(/[^\s?#]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Switch:
    """The two settings that switch a provider on, and how its first one, the key, begins where money is real and where not."""

    settings: tuple[str, str]
    live_key: str
    test_key: str



SWITCHES = {
    "stripe": Switch(("stripe_secret_key", "stripe_webhook_secret"), live_key="(sk|rk)_live_.+", test_key="(sk|rk)_test_.+"),
    "paystack": Switch(("paystack_secret_key", "paystack_email"), live_key="sk_live_.+", test_key="sk_test_.+"),
    "omise": Switch(("omise_secret_key", "omise_webhook_secret"), live_key="skey_(?!test_).+", test_key="skey_test_.+"),
}


class ProviderSettings(BaseSettings):
    """The settings of payment providers. Secrets that sign webhooks may be several, by comma, while rotating."""

    model_config = SettingsConfigDict(env_prefix="COREHOURS_", frozen=True, extra="ignore", populate_by_name=True,
                                      env_ignore_empty=True, hide_input_in_errors=True)

    provider_seconds: float = Field(10, gt=0)       # how long a call to a provider may take

    stripe_secret_key: SecretStr | None = None      # sk_… or rk_…
    stripe_webhook_secret: SecretStr | None = None  # whsec_…
    stripe_account: str = ""                        # acct_…, where the endpoint hears of other accounts too
    stripe_url: str = "https://api.stripe.com"

    paystack_secret_key: SecretStr | None = None    # sk_…; it signs the webhooks too, the first one makes the calls
    paystack_email: str = ""                        # Paystack wants one for every payment: the site's own
    paystack_url: str = "https://api.paystack.co"

    omise_secret_key: SecretStr | None = None       # skey_…
    omise_webhook_secret: SecretStr | None = None   # base64, as the dashboard shows it
    omise_source: str = "promptpay"                 # truemoney, mobile_banking_scb …
    omise_url: str = "https://api.omise.co"

    @field_validator("stripe_url", "paystack_url", "omise_url")
    @classmethod
    def _an_api_address(cls, value: str) -> str:
        if not _ADDRESS.fullmatch(value):
            raise ValueError(f"{value} is no address of an API; one is https://api.example.org")
        return value.rstrip("/")

    @field_validator("paystack_email")
    @classmethod
    def _an_email(cls, value: str) -> str:
        if value and not re.fullmatch(r"[^\s@]+@[^\s@]+\.[^\s@]+", value):
            raise ValueError(f"{value} is no e-mail address")
        return value

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        for name, switch in SWITCHES.items():
            missing = [setting for setting in switch.settings if not getattr(self, setting)]
            if len(missing) == 1:
                raise ValueError(f"{name} needs both {_variables(switch)}: set COREHOURS_{missing[0].upper()} too, or neither")
        return self

    def switched_on(self) -> tuple[str, ...]:
        """The outside providers whose two variables are set."""
        return tuple(name for name, switch in SWITCHES.items() if all(getattr(self, setting) for setting in switch.settings))

    def words_of(self, name: str) -> tuple[str, ...]:
        """The words of a secret setting that may be several by comma."""
        given: SecretStr | None = getattr(self, name)
        return tuple(word.strip() for word in given.get_secret_value().split(",") if word.strip()) if given else ()


def _variables(switch: Switch) -> str:
    return " and ".join(f"COREHOURS_{setting.upper()}" for setting in switch.settings)


def what_switches_on(name: str) -> str:
    """The variables that a provider needs, in words; empty for one that needs none."""
    return _variables(SWITCHES[name]) if name in SWITCHES else ""


def unfit_key(name: str, keys: tuple[str, ...], live: bool) -> str:
    """Why the keys of provider `name` do not fit an installation that is `live` or not; empty when they do."""
    switch, variable = SWITCHES[name], f"COREHOURS_{SWITCHES[name].settings[0].upper()}"
    for key in keys:
        if re.fullmatch(switch.live_key if live else switch.test_key, key):
            continue
        if re.fullmatch(switch.test_key, key):
            return f"{variable} is a test key, and COREHOURS_ENV=production takes real payments: use the live key"
        if re.fullmatch(switch.live_key, key):
            return f"{variable} is a live key, and a development installation must not move real money: use the test key"
        return f"{variable} does not look like a secret key of {name.capitalize()}"
    return ""
