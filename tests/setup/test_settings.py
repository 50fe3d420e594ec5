"""Settings: what may be missing in development may not in production, and no secret is ever a default."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from data.settings import Settings

PRODUCTION = {"env": "production", "database_url": "postgresql://x", "audit_key": "0123456789abcdef", "payment_provider": "none"}


@pytest.mark.parametrize(("change", "sentence"), [
    ({"database_url": None}, "production needs DATABASE_URL"),
    ({"audit_key": None}, "production needs COREHOURS_AUDIT_KEY"),
    ({"audit_key": ""}, "production needs COREHOURS_AUDIT_KEY"),
    ({"audit_key": "secret"}, "needs at least 16 characters"),
    ({"payment_provider": "dummy"}, "the dummy payment provider does not run in production"),
    ({"lake": "gs://corehours/lake"}, "gs://corehours/lake is neither a folder nor a bucket"),
    ({"s3_endpoint": "s3.example.org"}, "s3.example.org is no address of an S3 service"),
    ({"topup_minimum": "-1"}, "-1 is below zero"),
    ({"topup_amounts": "100, much"}, "much' is not an amount"),
    ({"topup_maximum": "10"}, "10 is less than COREHOURS_TOPUP_MINIMUM, 20"),
    ({"adjustment_limit": "1e3"}, "'1e3' is not an amount"),
    ({"time_zone": "Asia/Atlantis"}, "Asia/Atlantis is no time zone"),
])
def test_production_refuses(change: dict[str, object], sentence: str) -> None:
    assert not Settings(**PRODUCTION).development
    with pytest.raises(ValidationError, match=sentence):
        Settings(**PRODUCTION | change)


def test_no_provider_is_a_choice() -> None:
    assert Settings(**PRODUCTION).payment_provider == ""


def test_a_made_up_secret_is_kept_and_private(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    made = settings.secret("audit_key")
    assert len(made) == 64
    assert Settings(home=tmp_path).secret("audit_key") == made
    assert (tmp_path / "secrets" / "audit_key").stat().st_mode & 0o777 == 0o600


def test_production_makes_no_secret_up(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="production needs COREHOURS_DUMMY_WEBHOOK_SECRET"):
        Settings(**PRODUCTION | {"home": tmp_path}).secret("dummy_webhook_secret")


def test_secrets_do_not_show_in_words() -> None:
    assert "0123456789abcdef" not in repr(Settings(**PRODUCTION)) + str(Settings(**PRODUCTION))


STRIPE = {"stripe_secret_key": "sk_test_1", "stripe_webhook_secret": "whsec_1"}
OMISE = {"omise_secret_key": "skey_test_1", "omise_webhook_secret": "c2VjcmV0"}
PAYSTACK = {"paystack_secret_key": "sk_test_2", "paystack_email": "billing@example.org"}


def test_two_variables_switch_a_provider_on() -> None:
    """The first offered is the one that is named, else the first that is set; the dummy only where nothing else is."""
    assert Settings().payment_providers == ("dummy",)
    assert Settings(**STRIPE).payment_providers == ("stripe",)
    assert Settings(**STRIPE | OMISE | PAYSTACK, payment_provider="omise").payment_providers == ("omise", "stripe", "paystack")
    assert Settings(**STRIPE, payment_provider="dummy").payment_providers == ("dummy", "stripe")
    assert Settings(**STRIPE, payment_provider="none").payment_providers == ()
    assert Settings(**PRODUCTION | {"payment_provider": "auto"}).payment_providers == ()
    live = {"stripe_secret_key": "rk_live_1", "stripe_webhook_secret": "whsec_1"}
    assert Settings(**{**PRODUCTION, "payment_provider": "auto"} | live).payment_provider == "stripe"


@pytest.mark.parametrize(("given", "sentence"), [
    ({"stripe_secret_key": "sk_test_1"}, "set COREHOURS_STRIPE_WEBHOOK_SECRET too, or neither"),
    ({"payment_provider": "omise"}, "_PROVIDER is omise: set COREHOURS_OMISE_SECRET_KEY and COREHOURS_OMISE_WEBHOOK_SECRET"),
    (STRIPE | {"stripe_secret_key": "sk_live_1"}, "COREHOURS_STRIPE_SECRET_KEY is a live key, and a development installation"),
    (OMISE | {"omise_secret_key": "skey_5abc"}, "COREHOURS_OMISE_SECRET_KEY is a live key"),
    (PAYSTACK | {"paystack_secret_key": "sk_test_2,sk_live_1"}, "COREHOURS_PAYSTACK_SECRET_KEY is a live key"),
    (PRODUCTION | STRIPE, "COREHOURS_STRIPE_SECRET_KEY is a test key, and COREHOURS_ENV=production takes real payments"),
    (STRIPE | {"stripe_secret_key": "pk_test_1"}, "COREHOURS_STRIPE_SECRET_KEY does not look like a secret key of Stripe"),
    (PAYSTACK | {"paystack_email": "nobody"}, "nobody is no e-mail address"),
    ({"omise_url": "api.omise.co"}, "api.omise.co is no address of an API"),
])
def test_providers_that_do_not_fit_are_refused(given: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence) as refusal:
        Settings(**given)
    assert "whsec_1" not in str(refusal.value) and "c2VjcmV0" not in str(refusal.value)
