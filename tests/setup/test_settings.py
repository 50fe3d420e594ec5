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
