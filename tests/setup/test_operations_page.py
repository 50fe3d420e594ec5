"""docs/operations.md tells every knob there is, and none that is not."""

from __future__ import annotations

import re
from pathlib import Path

from data.settings import Settings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_setting_is_on_the_page_and_no_other() -> None:
    told = set(re.findall(r"^\| `(COREHOURS_\w+|DATABASE_URL)`", PAGE, re.MULTILINE))
    real = {"DATABASE_URL" if name == "database_url" else f"COREHOURS_{name.upper()}" for name in Settings.model_fields}
    assert told == real
