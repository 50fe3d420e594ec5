"""A fresh copy of this house in a folder that only its owner may enter: one command and it serves."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.postgres.server import Server
from tests.setup.running import up

ROOT = Path(__file__).resolve().parents[2]
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COREHOURS_"))}


@pytest.fixture
def clone() -> Iterator[Path]:
    """What git knows of this work tree and nothing else, in a folder of mode 0700."""
    with tempfile.TemporaryDirectory(prefix="ch-") as folder:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
        if listed.returncode:
            pytest.skip("this is no git work tree")
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (Path(folder) / "c" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, Path(folder) / "c" / name)
        assert oct(Path(folder).stat().st_mode)[-3:] == "700"
        yield Path(folder) / "c"


@pytest.mark.long
def test_up_from_nothing(clone: Path, tmp_path: Path) -> None:
    """Libraries, database, tables, pages; as root too, whose Postgres runs as somebody who may not enter the folder."""
    home = clone / "var"
    with up([clone / "corehours"], home, tmp_path / "first", "--empty", environment=PLAIN) as first:
        said = first.wait_for("Ctrl-C stops everything.", 400)
        assert "Preparing Corehours" in said
        with urllib.request.urlopen(f"http://127.0.0.1:{first.port}/", timeout=30) as page:
            assert page.status == 200
        assert str(Server(home).data) in Path(f"/proc/{Server(home).processes()[0]}/cmdline").read_text()
        assert first.interrupt() == 0
    begun = time.monotonic()
    with up([clone / "corehours"], home, tmp_path / "second", "--empty", environment=PLAIN) as second:
        assert "Preparing" not in second.wait_for("Ready in")
        print(f"second start: {time.monotonic() - begun:.1f} s")
