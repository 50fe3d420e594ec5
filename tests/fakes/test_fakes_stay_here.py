"""The fakes are the tests' own: no room of the product imports them, and no image carries them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.test_house import imported

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("engine", "data", "ingest", "webhooks", "dashboard", "pages", "commands", "bench")


def test_no_room_names_them() -> None:
    for room in ROOMS[:-1]:
        for file in (ROOT / room).rglob("*.py"):
            assert "tests" not in imported(file), file


def test_a_running_sidecar_has_none_loaded(tmp_path: Path) -> None:
    """Every provider of the registry imported: nothing of tests/ came along, also where tests/ cannot be found."""
    code = ("import sys; sys.path.insert(0, '.')\nimport webhooks.app, webhooks.providers\n"
            "print([name for name in sys.modules if name.split('.')[0] == 'tests'])")
    for room in ROOMS[:-1]:
        (tmp_path / room).symlink_to(ROOT / room)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_the_image_leaves_them_out() -> None:
    assert "tests" in (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
