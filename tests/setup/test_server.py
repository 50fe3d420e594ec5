"""The embedded server: started by whoever comes first, stopped by the last to leave, clean after any kill -9."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from data.postgres.schema import newest
from data.postgres.server import Server, ServerTrouble, running
from data.settings import Settings
from tests.programs import Program, Programs


@pytest.fixture
def home() -> Iterator[Path]:
    """A short folder that only we may enter, as a fresh clone's often is."""
    with tempfile.TemporaryDirectory(prefix="ch-") as folder:
        yield Path(folder) / "var"


@pytest.fixture(scope="module")
def used() -> Iterator[Path]:
    """Another that was made before, for tests that leave nothing running in it."""
    with tempfile.TemporaryDirectory(prefix="ch-") as folder:
        home = Path(folder) / "var"
        with running(Settings(home=home), durable=False):
            pass
        yield home


def ask(url: str, question: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(question.encode()).fetchone()
        return row and row[0]


def test_first_use_makes_starts_and_stops_it(home: Path) -> None:
    with running(Settings(home=home), durable=False) as url:
        assert ask(url, "select current_database()") == "corehours"
        assert ask(url, "select setting from pg_settings where name = 'listen_addresses'") == ""
        assert "host=" in url
    assert Server(home).processes() == []


def test_it_is_private(used: Path) -> None:
    with running(Settings(home=used), durable=False) as url:
        postgres = used / "postgres"
        assert oct(postgres.stat().st_mode)[-3:] == "700"
        assert oct((postgres / "password").stat().st_mode)[-3:] == "600"
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url.replace("corehours:", "corehours:wrong", 1))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is turned into somebody else")
def test_as_root_it_runs_as_another_user_and_opens_no_folder(used: Path) -> None:
    used.parent.chmod(0o700)
    with running(Settings(home=used), durable=False):
        postmaster = Server(used).processes()[0]
        assert Path(f"/proc/{postmaster}").stat().st_uid != 0
        assert oct(used.parent.stat().st_mode)[-3:] == "700"


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    home = tmp_path / ("a" * 100) / "var"
    home.mkdir(parents=True)
    server = Server(home, durable=False)
    with server.used():
        assert server.sockets.parent == Path(tempfile.gettempdir())
        assert server.answers()
    server.sockets.rmdir()


def test_the_last_to_leave_stops_it(used: Path) -> None:
    first, second = Server(used, durable=False), Server(used, durable=False)
    with first.used():
        with second.used():
            pass
        assert first.answers()
    assert not first.answers()


def test_eight_at_once(home: Path, programs: Programs, tmp_path: Path) -> None:
    """Eight processes begin together, each asks one question; one server serves them, none stays."""
    many = [programs.start("tests.setup.asking", [str(home)], os.environ, tmp_path / str(number)) for number in range(8)]
    assert [said_by(one) for one in many] == ["7\n"] * 8
    assert Server(home).processes() == []


def test_eight_commands_at_once_with_none_running(home: Path, programs: Programs, tmp_path: Path) -> None:
    """Eight commands find no installation: one database is made, and nothing runs afterwards."""
    environment = {**os.environ, "COREHOURS_HOME": str(home)}
    many = [programs.start("commands", ["migrate"], environment, tmp_path / str(number)) for number in range(8)]
    assert {said_by(one) for one in many} == {f"The database is at {newest()}.\n"}
    assert Server(home).processes() == []


def said_by(program: Program, seconds: float = 120) -> str:
    """What it said when it has ended, and why it failed."""
    program.process.join(seconds)
    return program.said()


@pytest.mark.parametrize("whom", ["postmaster", "everybody"])
def test_after_kill_9_it_starts_cleanly(home: Path, whom: str) -> None:
    server = Server(home)               # durable: what was committed is there again
    with server.used():
        with psycopg.connect(server.url) as connection:
            connection.execute("create table kept (n int)")
        lingering = psycopg.connect(server.url)
        for pid in server.processes()[:1] if whom == "postmaster" else server.processes():
            os.kill(pid, signal.SIGKILL)
        assert server.ensure(), "it had to be started again"
        assert ask(server.url, "select count(*) from kept") == 0
        lingering.close()
    assert server.processes() == []


def test_a_backend_that_lingers_after_its_postmaster_is_ended(used: Path) -> None:
    """A stopped (SIGSTOP) backend never notices that its postmaster died and keeps the shared memory."""
    server = Server(used, durable=False)
    with server.used():
        backend = psycopg.connect(server.url)
        os.kill(backend.info.backend_pid, signal.SIGSTOP)
        os.kill(server.processes()[0], signal.SIGKILL)
        time.sleep(0.1)
        assert server.ensure()
        backend.close()


def test_a_full_server_is_not_taken_for_a_dead_one(used: Path) -> None:
    """All hundred connections are taken: the next is refused, and the server left in peace."""
    server = Server(used, durable=False)
    with server.used():
        before = server.processes()[0]
        crowd = [psycopg.connect(server.url)]
        with pytest.raises(psycopg.OperationalError):
            while len(crowd) < 200:
                crowd.append(psycopg.connect(server.url))
        assert server.answers() and not server.ensure()
        assert server.processes()[0] == before
        for one in crowd:
            one.close()


def test_one_that_is_slow_is_waited_for(used: Path) -> None:
    """A postmaster that does not answer for a while (here: stopped for half a second) is not ended."""
    server = Server(used, durable=False)
    with server.used():
        before = server.processes()[0]
        os.kill(before, signal.SIGSTOP)
        threading.Timer(0.5, os.kill, [before, signal.SIGCONT]).start()
        assert not server.ensure()
        assert server.processes()[0] == before


def test_a_user_that_was_killed_holds_nothing(used: Path, programs: Programs, tmp_path: Path) -> None:
    user = programs.start("tests.setup.asking", [str(used), "and stay"], os.environ, tmp_path)
    while not user.out.read_text():
        assert user.ended() is None, user.said()
        time.sleep(0.02)
    user.kill()
    for _ in range(100):                # its keeper sees that nobody is left
        if not Server(used).processes():
            break
        time.sleep(0.1)
    assert Server(used).processes() == []
    with running(Settings(home=used), durable=False) as url:
        assert ask(url, "select 1") == 1
    assert Server(used).processes() == []


def test_a_home_that_cannot_be_written_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerTrouble, match="COREHOURS_HOME"):
        with running(Settings(home=tmp_path / "file" / "var")):
            pass


def test_threads_share_it_too(used: Path) -> None:
    answers: list[object] = []

    def work() -> None:
        with running(Settings(home=used), durable=False) as url:
            answers.append(ask(url, "select 1"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [1, 1, 1, 1]
