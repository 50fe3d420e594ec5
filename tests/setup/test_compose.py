"""docker-compose.yml: whole, without a default secret, and every variable it hands on is one we know."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from data.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
FILLED = {"POSTGRES_PASSWORD": "0123", "COREHOURS_AUDIT_KEY": "4567",
          "COREHOURS_DASHBOARD_URL": "https://a.example", "COREHOURS_SIDECAR_URL": "https://b.example"}


def compose(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`docker compose WORDS`, or the older docker-compose; skips where there is neither."""
    for program in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(program[0]) and not subprocess.run([*program, "version"], capture_output=True).returncode:
            return subprocess.run([*program, "-f", ROOT / "docker-compose.yml", *words], capture_output=True, text=True,
                                  env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables}, cwd="/")
    pytest.skip("docker compose is not installed here")


def test_filled_in_it_is_valid() -> None:
    done = compose("config", **FILLED)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == {"postgres", "migrate", "dashboard", "sidecar", "ingest"}


@pytest.mark.parametrize("missing", FILLED)
def test_without_a_secret_it_is_refused(missing: str) -> None:
    done = compose("config", "-q", **{name: value for name, value in FILLED.items() if name != missing})
    assert done.returncode != 0 and "set it in .env" in done.stderr


def test_every_variable_is_one_of_ours() -> None:
    known = {f"COREHOURS_{name.upper()}" for name in Settings.model_fields} | {"DATABASE_URL"}
    handed = {name for service in ("dashboard", "ingest") for name in COMPOSE["services"][service]["environment"]}
    assert handed <= known


def test_only_the_two_front_doors_are_published() -> None:
    published = {name for name, service in COMPOSE["services"].items() if "ports" in service}
    assert published == {"dashboard", "sidecar"}


def test_the_image_runs_as_an_ordinary_user() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert lines.index("USER corehours") > max(number for number, line in enumerate(lines) if line.startswith("COPY"))
