"""A supervisor under test: `./corehours up` as a process whose words can be waited for."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Up:
    """The process, its ports, and what it said so far."""

    process: subprocess.Popen[str]
    said_in: Path
    port: int
    sidecar_port: int
    home: Path = field(default=Path())

    def said(self) -> str:
        return self.said_in.read_text()

    def wait_for(self, words: str, seconds: float = 60) -> str:
        """What was said once `words` are in it; fails when it ends or takes too long."""
        deadline = time.monotonic() + seconds
        while words not in self.said():
            assert self.process.poll() is None and time.monotonic() < deadline, f"never said {words!r}:\n{self.said()}"
            time.sleep(0.05)
        return self.said()

    def interrupt(self, how: signal.Signals = signal.SIGINT) -> int:
        """Send Ctrl-C and wait for its end; the exit code."""
        self.process.send_signal(how)
        return self.process.wait(timeout=30)


@contextmanager
def up(command: Sequence[str | Path], home: Path, said_in: Path, *words: str,
       environment: dict[str, str] | None = None) -> Iterator[Up]:
    """Run COMMAND up on free ports; stopped at the end however it ends."""
    port, sidecar_port = free_ports(2)
    given = dict(os.environ if environment is None else environment) | {"COREHOURS_HOME": str(home)}
    with said_in.open("w") as out:
        process = subprocess.Popen([*command, "up", "--port", str(port), "--sidecar-port", str(sidecar_port), *words],
                                   env=given, stdout=out, stderr=subprocess.STDOUT, text=True)
    it = Up(process, said_in, port, sidecar_port, home)
    try:
        yield it
    finally:
        if process.poll() is None:
            it.interrupt()


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def processes_of(*marks: str) -> list[int]:
    """Ids of the processes that have one of `marks` in their command line; zombies have none."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if any(mark in line for mark in marks) and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found
