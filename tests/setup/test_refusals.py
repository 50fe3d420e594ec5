"""What cannot be done is one sentence on stderr and an exit code, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Corehours
from tests.programs import Programs


@pytest.mark.parametrize("variable, value, words", [
    ("DATABASE_URL", "postgresql://nobody:secret-word@127.0.0.1:1/none", "The database does not answer"),
    ("DATABASE_URL", "nonsense", "DATABASE_URL must look like postgresql://"),
    ("COREHOURS_ENV", "production", "production needs"),
    ("COREHOURS_ENV", "staging", "COREHOURS_ENV"),
    ("COREHOURS_TIME_ZONE", "Mars/Base", "COREHOURS_TIME_ZONE: Mars/Base is no time zone"),
    ("COREHOURS_TAX_PPM", "seven", "COREHOURS_TAX_PPM"),
])
def test_a_wrong_setting_is_told_by_its_name(corehours: Corehours, variable: str, value: str, words: str) -> None:
    more = {"COREHOURS_AUDIT_KEY": ""} if value == "production" else {}
    done = corehours("rates", "show", **{variable: value}, **more)
    assert done.returncode == 1
    assert words in done.stderr and len(done.stderr.splitlines()) == 1
    assert "secret-word" not in done.stderr


def test_a_home_that_cannot_be_made(corehours: Corehours, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = corehours("up", COREHOURS_HOME=str(tmp_path / "file" / "home"))
    assert done.returncode == 1
    assert "set COREHOURS_HOME" in done.stderr and len(done.stderr.splitlines()) == 1


def test_an_unknown_command_names_the_nearest(corehours: Corehours) -> None:
    done = corehours("recipts")
    assert done.returncode == 2
    assert done.stderr.startswith("There is no command recipts. Did you mean receipts?")


def test_an_empty_variable_is_as_good_as_none(corehours: Corehours) -> None:
    """docker compose hands on empty ones."""
    assert corehours("rates", "show", COREHOURS_TAX_PPM="", COREHOURS_SLURMRESTD_URL="").returncode == 0


@pytest.mark.parametrize(("given", "words"), [
    ({"COREHOURS_STRIPE_SECRET_KEY": "sk_live_x", "COREHOURS_STRIPE_WEBHOOK_SECRET": "whsec_hidden"}, "is a live key"),
    ({"COREHOURS_PAYMENT_PROVIDER": "strype"}, "COREHOURS_PAYMENT_PROVIDER is 'strype'; known are"),
])
def test_a_sidecar_that_may_not_start_says_so_in_one_line(
        installation_env: dict[str, str], programs: Programs, given: dict[str, str], words: str) -> None:
    done = programs.run("webhooks", ["--port", "1"], {**installation_env, **given})
    assert done.returncode == 1 and words in done.stderr
    assert len(done.stderr.splitlines()) == 1 and "whsec_hidden" not in done.stderr and "sk_live_x" not in done.stderr
