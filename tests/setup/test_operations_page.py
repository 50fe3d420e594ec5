"""README and docs/operations.md tell what there is, and nothing that is not."""

from __future__ import annotations

import re
from pathlib import Path

from data.settings import Settings
from ingest.sources.sacct import COLUMNS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_setting_is_on_the_page_and_no_other() -> None:
    told = set(re.findall(r"^\| `(COREHOURS_\w+|DATABASE_URL)`", PAGE, re.MULTILINE))
    real = {"DATABASE_URL" if name == "database_url" else f"COREHOURS_{name.upper()}" for name in Settings.model_fields}
    assert told == real


def test_the_readme_asks_sacct_for_the_columns_that_are_read() -> None:
    asked = re.search(r"-o (JobIDRaw.*?) >", README, re.DOTALL)
    assert asked
    assert tuple(re.sub(r"[\\\s]", "", asked[1]).split(",")) == COLUMNS


def test_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists() or target.startswith("docs/pictures/"), target


def test_commands_of_the_readme_exist() -> None:
    for name in re.findall(r"\./corehours ([a-z]+)", README + PAGE):
        assert (ROOT / "commands" / f"{name}.py").exists(), name
