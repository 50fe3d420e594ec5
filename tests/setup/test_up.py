"""`./corehours up`: starts everything, says where, mends what dies, and leaves nothing behind, kill -9 included."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data.postgres.server import Server
from tests.setup.running import Up, processes_of, up

COREHOURS = [sys.executable, "-m", "commands"]


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path: sockets have short names."""
    with tempfile.TemporaryDirectory(prefix="ch-") as folder:
        yield Path(folder) / "var"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One installation without the demo centre, up and ready, for the tests that leave it so."""
    with tempfile.TemporaryDirectory(prefix="ch-") as folder:
        with up(COREHOURS, Path(folder) / "var", tmp_path_factory.mktemp("up") / "said", "--empty") as it:
            it.wait_for("Ctrl-C stops everything.")
            yield it


def answer(port: int, path: str = "/") -> int:
    """HTTP status; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            status: int = response.status
            return status
    except OSError:
        return 0


def set_up_once(home: Path) -> list[Path]:
    """Files that only a first start makes."""
    return [home / "postgres" / "data" / "PG_VERSION", *sorted((home / "secrets").iterdir())]


def wait_until(true: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def nothing_left(it: Up) -> bool:
    """True once no process of this installation runs any more."""
    marks = (f"--port {it.port}", f"--port {it.sidecar_port}", str(it.home))
    return wait_until(lambda: not processes_of(*marks) and not Server(it.home).processes())


def kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def test_it_says_where_it_serves(running: Up) -> None:
    assert f"http://localhost:{running.port}" in running.said()
    assert answer(running.port) == answer(running.sidecar_port, "/readyz") == 200


def test_an_empty_one_says_how_the_first_administrator_gets_in(running: Up) -> None:
    running.wait_for("Nobody can sign in yet. The first administrator: ./corehours users add NAME --role admin")


def test_ports_are_told_to_the_pages(running: Up) -> None:
    pid = processes_of(f"dashboard --host 127.0.0.1 --port {running.port}")[0]
    environment = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    assert f"COREHOURS_SIDECAR_URL=http://localhost:{running.sidecar_port}" in environment


def test_commands_work_beside_it(running: Up) -> None:
    environment = {**os.environ, "COREHOURS_HOME": str(running.home)}
    done = subprocess.run([*COREHOURS, "rates", "show", "--json"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert answer(running.sidecar_port, "/readyz") == 200


def test_a_second_one_and_a_taken_port_are_refused_in_a_sentence(running: Up, tmp_path: Path) -> None:
    with up(COREHOURS, running.home, tmp_path / "second") as second:
        assert second.process.wait(30) == 1
        assert "It runs already in" in second.said() and len(second.said().splitlines()) == 1
    port = str(running.port)
    with up(COREHOURS, tmp_path / "elsewhere", tmp_path / "third", "--port", port) as third:
        assert third.process.wait(30) == 1
        assert f":{port}" in third.said() and "--port" in third.said() and len(third.said().splitlines()) == 1


def test_what_is_killed_is_started_again(running: Up) -> None:
    """kill -9 of sidecar and database at once: both come back, and that is said."""
    kill(processes_of(f"webhooks --host 127.0.0.1 --port {running.sidecar_port}"))
    kill(Server(running.home).processes()[:1])
    running.wait_for("The sidecar was started again.", 30)
    running.wait_for("The database had died and was started again.", 30)
    assert wait_until(lambda: answer(running.sidecar_port, "/readyz") == 200)


def test_told_to_stop_or_killed_it_leaves_nothing_and_starts_again(running: Up, tmp_path: Path) -> None:
    """The last of those: it is told to stop. The second start finds everything made: the cluster, the schema, the keys. When all of
    that is killed, database included, nothing stays, and a third start mends what it finds."""
    assert running.interrupt(signal.SIGTERM) == 0
    assert nothing_left(running)
    made = {path: path.stat().st_ino for path in set_up_once(running.home)}
    with up(COREHOURS, running.home, tmp_path / "second", "--empty") as second:
        second.wait_for("Ready in")
        assert {path: path.stat().st_ino for path in set_up_once(running.home)} == made
        second.process.kill()
        kill(processes_of(f"--port {second.port}", f"--port {second.sidecar_port}", str(running.home)))
        kill(Server(running.home).processes())
        second.process.wait()
    with up(COREHOURS, running.home, tmp_path / "third", "--empty") as third:
        third.wait_for("Ready in")
    assert nothing_left(second)


@pytest.mark.long
def test_interrupted_it_leaves_nothing_and_starts_again_without_setting_up(home: Path, tmp_path: Path) -> None:
    with up(COREHOURS, home, tmp_path / "first", "--empty") as first:
        first.wait_for("Ready in")
        assert first.interrupt(signal.SIGINT) == 0
        assert nothing_left(first)
    made = {path: path.stat().st_ino for path in set_up_once(home)}
    with up(COREHOURS, home, tmp_path / "second", "--empty") as second:
        second.wait_for("Ready in")
        assert {path: path.stat().st_ino for path in set_up_once(home)} == made


@pytest.mark.long
def test_when_only_the_supervisor_is_killed_nothing_is_left_and_it_starts_again(home: Path, tmp_path: Path) -> None:
    with up(COREHOURS, home, tmp_path / "first", "--empty") as first:
        first.wait_for("Ready in")
        first.process.kill()
        first.process.wait()
    with up(COREHOURS, home, tmp_path / "second", "--empty") as second:
        second.wait_for("Ready in")
    assert nothing_left(first)


@pytest.mark.long
def test_a_demo_centre_that_was_cut_short_is_begun_anew(home: Path, tmp_path: Path) -> None:
    with up(COREHOURS, home, tmp_path / "first") as first:
        first.wait_for("demo centre: receipts of")
        first.process.kill()
        first.process.wait()
    with up(COREHOURS, home, tmp_path / "second") as second:
        said = second.wait_for("Ctrl-C stops everything.", 120)
        assert "half loaded" in said and "researcher-demo-1" in said
        environment = {**os.environ, "COREHOURS_HOME": str(home)}
        done = subprocess.run([*COREHOURS, "check"], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
