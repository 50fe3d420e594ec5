"""The script at the root: makes its environment once and whole, from anywhere, and says in a sentence why it cannot."""

from __future__ import annotations

import http.server
import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {"PIP_NO_INDEX": "1"}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A house as small as can be: the real script, no libraries, one command that tells its Python."""
    (tmp_path / "commands").mkdir()
    shutil.copy(ROOT / "corehours", tmp_path / "corehours")
    shutil.copy(ROOT / "commands" / "__main__.py", tmp_path / "commands" / "__main__.py")
    (tmp_path / "commands" / "__init__.py").write_text("")
    (tmp_path / "commands" / "refusals.py").write_text("from contextlib import nullcontext as told\n")
    (tmp_path / "commands" / "where.py").write_text(
        "import os, sys\nHELP = 'tell where this runs'\ndef configure(parser): pass\n"
        "def run(args):\n    print(sys.executable, os.getcwd())\n")
    (tmp_path / "requirements.txt").write_text("# none\n")
    (tmp_path / "requirements-dev.txt").write_text("# none\n")
    return tmp_path


def corehours(house: Path, *words: str, cwd: Path | str = "/") -> subprocess.CompletedProcess[str]:
    return subprocess.run([house / "corehours", *words], cwd=cwd, env=PLAIN, capture_output=True, text=True, timeout=120)


def test_help_needs_no_environment_and_tells_every_command(house: Path) -> None:
    told = corehours(house, "--help")
    assert "where  tell where this runs" in told.stdout
    assert not (house / ".venv").exists()


def test_every_command_of_this_house_is_told() -> None:
    told = corehours(ROOT, "--help").stdout
    for name in ("up", "test", "migrate"):
        assert f"  {name} " in told


def test_the_environment_is_made_once_then_used(house: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Through a symlink and from another folder, which stays the current one."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "link").symlink_to(house / "corehours")
    (elsewhere / "commands.py").write_text("raise SystemExit('not this one')\n")
    first = subprocess.run([elsewhere / "link", "where"], cwd=elsewhere, env=PLAIN, capture_output=True, text=True)
    assert first.stdout.split() == [str(house / ".venv/bin/python"), str(elsewhere)]
    assert "Preparing" in first.stderr
    made = (house / ".venv" / "made-by-corehours").stat().st_mtime_ns
    assert corehours(house, "where").stderr == ""
    assert (house / ".venv" / "made-by-corehours").stat().st_mtime_ns == made


@pytest.mark.long
def test_after_kill_9_in_the_middle_it_is_made_anew(house: Path) -> None:
    making = subprocess.Popen([house / "corehours", "where"], env=PLAIN, start_new_session=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (house / ".venv" / "bin" / "python").exists():
        time.sleep(0.01)
    os.killpg(making.pid, signal.SIGKILL)
    making.wait()
    again = corehours(house, "where")
    assert "Preparing" in again.stderr and again.returncode == 0


@pytest.mark.long
def test_three_at_once_make_it_once(house: Path) -> None:
    many = [subprocess.Popen([house / "corehours", "where"], env=PLAIN, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True) for _ in range(3)]
    said = [process.communicate(timeout=120) for process in many]
    assert [out.split()[0] for out, _ in said] == [str(house / ".venv/bin/python")] * 3
    assert sum("Preparing" in err for _, err in said) == 1


@pytest.mark.long
def test_other_pins_make_it_anew_and_a_failure_shows_what_pip_said(house: Path) -> None:
    corehours(house, "where")
    (house / "requirements.txt").write_text("no-such-library-anywhere==9.9\n")
    failed = corehours(house, "where")
    assert failed.returncode == 1
    assert "could not be installed" in failed.stderr and "no-such-library-anywhere" in failed.stderr


@pytest.mark.long
def test_spark_is_added_only_where_it_is_asked_for(house: Path) -> None:
    """To what is there, whichever came first; what is installed is not installed again."""
    (house / "requirements-spark.txt").write_text("# none\n")
    nothing = "HELP = 'nothing'\nTAKES_REST = True\ndef configure(parser): pass\ndef run(args): pass\n"
    for name in ("test", "analytics"):
        (house / "commands" / f"{name}.py").write_text(nothing)
    assert "Spark" not in corehours(house, "test").stderr
    added = corehours(house, "analytics", "rate", "--engine", "spark").stderr
    assert "Apache Spark" in added and added.count("Preparing") == 1
    for words in (["analytics", "rate", "--engine=spark"], ["test", "--spark"], ["test"], ["where"]):
        assert corehours(house, *words).stderr == ""


def test_somebody_elses_environment_is_left_alone(house: Path) -> None:
    (house / ".venv" / "bin").mkdir(parents=True)
    refused = corehours(house, "where")
    assert "was not made by ./corehours" in refused.stderr and refused.returncode == 1
    assert (house / ".venv" / "bin").exists()


@pytest.mark.long
def test_prepare_makes_the_environment_and_leaves(house: Path) -> None:
    """For images: everything is fetched when the image is made, nothing when it starts."""
    assert corehours(house, "--prepare").returncode == 0
    assert corehours(house, "where").stderr == ""


def test_an_old_python_is_told_in_one_sentence(house: Path, monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SystemExit):
        runpy.run_path(str(house / "corehours"), run_name="__main__")
    assert "needs Python 3.11 or newer" in capsys.readouterr().err


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """A package index whose pip was tampered with."""
    folder = tmp_path / "index"
    (folder / "pip").mkdir(parents=True)
    name = "pip-26.3-py3-none-any.whl"
    (folder / name).write_bytes(b"not pip at all")
    (folder / "pip" / "index.html").write_text(f'<a href="../{name}#sha256=0">{name}</a>')

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_without_ensurepip_a_pinned_pip_is_fetched_and_no_other_taken(house: Path, index: str) -> None:
    """Debian without python3-venv has no ensurepip; what comes from the index must be the pip that was pinned."""
    script = ("import runpy, sys\nsys.modules['ensurepip'] = None\nsys.argv = ['corehours', 'where']\n"
              f"runpy.run_path({str(house / 'corehours')!r}, run_name='__main__')\n")
    refused = subprocess.run([sys.executable, "-c", script], env={**PLAIN, "PIP_INDEX_URL": index, "no_proxy": "127.0.0.1"},
                             capture_output=True, text=True)
    assert "SHA-256 differs" in refused.stderr and refused.returncode == 1
