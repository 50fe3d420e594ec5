"""What a block of work costs: wall seconds, CPU seconds of this process (and of a Postgres server), peak memory."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


class Measured:
    """Measures its `with` block. `server` is the process id of a postmaster whose CPU seconds count too; 0 for none."""

    def __init__(self, server: int = 0) -> None:
        self.server = server

    def __enter__(self) -> Measured:
        self._cpu, self._wall = self._cpu_seconds(), time.perf_counter()       # who asks for the CPU seconds takes some time
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.seconds = time.perf_counter() - self._wall
        cpu = self._cpu_seconds() - self._cpu
        self.figures = {"seconds": self.seconds, "cpu_seconds": cpu, "peak_mib": peak_mib()}

    def _cpu_seconds(self) -> float:
        return time.process_time() + (tree_cpu_seconds(self.server) if self.server else 0.0)


def peak_mib() -> float:
    """The most memory this program ever held. Not getrusage's on Linux, which starts with what its parent held."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def tree_cpu_seconds(postmaster: int) -> float:
    """CPU seconds of a process (a postmaster), of its children, and of its children that are gone. Linux only, else 0."""
    ticks = 0
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(entry.parent.name) == postmaster:
            ticks += sum(map(int, words[11:15]))
        elif int(words[1]) == postmaster:
            ticks += sum(map(int, words[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def asked(question: Callable[[], T], times: int = 10) -> tuple[T, dict[str, float]]:
    """The answer, and per question (the first one, which warms up, left out) seconds, CPU seconds, p50 and p95; peak memory."""
    answer = question()
    each: list[float] = []
    with Measured() as measured:
        for _ in range(times):
            begun = time.perf_counter()
            question()
            each.append((time.perf_counter() - begun) * 1000)
    figures = {name: value / times for name, value in measured.figures.items() if name != "peak_mib"}
    ordered = sorted(each)
    return answer, {**figures, "peak_mib": peak_mib(), "p50_ms": ordered[times // 2], "p95_ms": ordered[min(times - 1, times * 95 // 100)]}
