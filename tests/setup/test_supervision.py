"""Children are started, watched, started again and stopped; none outlives a supervisor that was killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from commands import supervision
from commands.supervision import Child, ChildDied, keep, rotate, stop, wait_ready

SERVER = """
import http.server, sys
print("listening", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
STUBBORN = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('here', flush=True)\ntime.sleep(60)\n"


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Child]]:
    """Make a child out of a few lines of Python."""
    monkeypatch.setattr(supervision, "ROOT", tmp_path)
    children = []

    def make(code: str, *words: str, url: str | None = None) -> Child:
        (tmp_path / "odd_job.py").write_text(code)
        children.append(Child("odd job", ["odd_job", *words], url, tmp_path))
        return children[-1]

    yield make
    stop(children)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def watch(children: list[Child], seconds: float) -> list[str]:
    """Keep `children` for some seconds; what was said meanwhile."""
    said: list[str] = []
    deadline = time.monotonic() + seconds

    def say(text: str) -> None:
        said.append(text)

    class Enough(Exception):
        pass

    def sleep(_: float) -> None:
        real_sleep(0.05)
        if time.monotonic() > deadline:
            raise Enough

    real_sleep, supervision.time.sleep = time.sleep, sleep   # type: ignore[attr-defined]
    try:
        keep(children, say, None)
    except Enough:
        pass
    finally:
        supervision.time.sleep = real_sleep   # type: ignore[attr-defined]
    return said


def test_ready_is_when_it_answers(child: Callable[..., Child]) -> None:
    port, said = free_port(), []
    web = child(SERVER, str(port), url=f"http://127.0.0.1:{port}/")
    wait_ready([web], said.append)
    assert said[0].startswith("odd job ready")
    assert "listening" in web.log.read_text()


def test_one_that_ends_at_once_is_told_with_its_last_words(child: Callable[..., Child]) -> None:
    with pytest.raises(ChildDied, match="no such luck"):
        wait_ready([child("raise SystemExit('no such luck')", url="http://127.0.0.1:1/")], print)


def test_one_that_is_killed_is_started_again(child: Callable[..., Child]) -> None:
    job = child("import time\nprint('here', flush=True)\ntime.sleep(60)\n")
    wait_ready([job], print)
    assert job.process
    first = job.process.pid
    os.kill(first, signal.SIGKILL)
    said = watch([job], 2)
    assert [text.split(";")[0].split(" in ")[0] for text in said] == [
        "The odd job ended with code -9", "The odd job was started again."]
    assert job.process.pid != first and job.ended() is None


def test_one_that_keeps_dying_waits_longer_each_time(child: Callable[..., Child]) -> None:
    job = child("raise SystemExit(4)")
    job.start()
    said = [text for text in watch([job], 5) if "code 4" in text]
    assert ["1 s", "2 s", "4 s"][:len(said)] == [text.split("again in ")[1].split(".")[0] for text in said]
    assert len(said) >= 2


def test_a_stubborn_one_is_killed_after_a_while(child: Callable[..., Child], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "PATIENCE_SECONDS", 0.3)
    job = child(STUBBORN)
    job.start()
    while "here" not in job.log.read_text():
        time.sleep(0.02)
    stop([job])
    assert job.ended() == -signal.SIGKILL


def test_none_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    (tmp_path / "odd_job.py").write_text("import time\ntime.sleep(60)\n")
    supervisor = ("import sys, pathlib, time\nfrom commands import supervision\n"
                  "supervision.ROOT = pathlib.Path(sys.argv[1])\n"
                  "child = supervision.Child('odd job', ['odd_job'], None, supervision.ROOT)\n"
                  "child.start(); print(child.process.pid, flush=True); time.sleep(60)\n")
    process = subprocess.Popen([sys.executable, "-c", supervisor, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    pid = int(process.stdout.readline())
    time.sleep(0.3)
    process.kill()
    process.wait()
    for _ in range(50):
        if not alive(pid):
            return
        time.sleep(0.1)
    raise AssertionError("the child is still there")


def alive(pid: int) -> bool:
    """True while `pid` runs; a zombie does not."""
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_a_full_log_is_put_aside_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "LOG_BYTES", 10)
    log = tmp_path / "x.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"a long old line\n")
        rotate(log)
        writer.write(b"new\n")
    assert log.read_text() == "new\n"
    assert (tmp_path / "x.log.1").read_text() == "a long old line\n"
