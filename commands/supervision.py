"""Child processes: started, watched, started again, stopped in order. Refuses to know what they do.

Each child writes to its own log file, leads its own session (so a terminal's Ctrl-C reaches only us), and is told by
the kernel to end when we are killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.postgres.server import Server
from engine.errors import DomainError

ROOT = Path(__file__).resolve().parents[1]
LOG_BYTES = 10_000_000
READY_SECONDS = 90
PATIENCE_SECONDS = 6            # what a child gets to end by itself
CALM_SECONDS = 60               # a child that lived this long starts again with the shortest pause
Say = Callable[[str], None]

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1


class ChildDied(DomainError):
    """A part of Corehours did not start."""

    code = "child_died"


@dataclass(slots=True)
class Child:
    """One process to keep: `module` and its words, where it answers when it is ready (None: nowhere), its log folder."""

    name: str
    words: list[str]
    ready_url: str | None
    logs: Path
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    started: float = field(default=0.0)
    again_at: float = field(default=0.0)

    @property
    def log(self) -> Path:
        """Where its words go."""
        return self.logs / f"{self.name}.log"

    def start(self) -> None:
        """Begin, or begin again."""
        parent = os.getpid()
        rotate(self.log)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-u", "-m", *self.words], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, preexec_fn=lambda: _end_with(parent),
                env={**os.environ, "PYTHONPATH": str(ROOT)})
        self.started, self.again_at = time.monotonic(), 0.0

    def ended(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self.process.poll() if self.process else None

    def answers(self) -> bool:
        """True when it says it is ready; a child without an address is ready while it runs."""
        if self.ready_url is None:
            return self.ended() is None
        try:
            with urllib.request.urlopen(self.ready_url, timeout=5) as answer:  # noqa: S310
                return bool(answer.status < 400)
        except (OSError, urllib.error.URLError):
            return False

    def last_words(self, count: int = 12) -> str:
        """The end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-count:])


def wait_ready(children: Sequence[Child], say: Say) -> None:
    """Start all, then wait until each answers; one that ends instead is a refusal with its last words."""
    for child in children:
        child.start()
    for child in children:
        while not child.answers():
            if child.ended() is not None:
                raise ChildDied(f"The {child.name} ended with code {child.ended()}; its log {child.log} ends:\n"
                                f"{child.last_words()}")
            if time.monotonic() - child.started > READY_SECONDS:
                raise ChildDied(f"The {child.name} does not answer after {READY_SECONDS} s; its log is {child.log}.")
            time.sleep(0.05)
        say(f"{child.name} ready ({time.monotonic() - child.started:.1f} s)")


def keep(children: Sequence[Child], say: Say, database: Server | None) -> None:
    """Watch for ever: whoever died is started again, after a pause that doubles up to 30 s."""
    while True:
        if database and not database.alive() and database.ensure():
            say("The database had died and was started again.")
        for child in children:
            rotate(child.log)
            _look_after(child, say)
        time.sleep(1)


def _look_after(child: Child, say: Say) -> None:
    now = time.monotonic()
    if child.again_at and now >= child.again_at:
        child.start()
        say(f"The {child.name} was started again.")
    elif not child.again_at and child.ended() is not None:
        child.failures = 0 if now - child.started > CALM_SECONDS else child.failures + 1
        pause = min(30, 2 ** max(0, child.failures - 1))
        child.again_at = now + pause
        say(f"The {child.name} ended with code {child.ended()}; it starts again in {pause} s. "
            f"Its log {child.log} ends:\n{child.last_words(5)}")


def stop(children: Sequence[Child]) -> None:
    """End each in turn, politely, then not; returns when all are gone."""
    for child in children:
        _signal(child, signal.SIGTERM)
    for child in children:
        if child.process:
            try:
                child.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                _signal(child, signal.SIGKILL)
                child.process.wait()


def rotate(log: Path) -> None:
    """Keep the last full log as .1 and empty the present one in place: its writers append."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.with_suffix(".log.1").write_bytes(log.read_bytes())
        os.truncate(log, 0)


def _signal(child: Child, how: signal.Signals) -> None:
    if child.process and child.process.poll() is None:
        os.killpg(child.process.pid, how)


def _end_with(parent: int) -> None:
    """In the child, before it becomes its program: ask the kernel for SIGTERM when the parent dies."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


