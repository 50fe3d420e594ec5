"""Programs of this house as processes of their own, forked from one that has imported them: what `python -m commands`, `webhooks`,
`dashboard` or `ingest` does, without the second of imports it begins with. A run of the tests starts several hundred.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

from tests.signatures import believed

ROOT = Path(__file__).resolve().parents[1]
IMPORTED = (*(f"commands.{path.stem}" for path in sorted((ROOT / "commands").glob("[a-z]*.py"))), "webhooks.app", "webhooks.worker",
            "ingest.run", "pandas", "altair")


@dataclass(frozen=True, slots=True)
class Program:
    """One that runs, or ran."""

    process: ForkServerProcess
    out: Path
    err: Path

    @property
    def pid(self) -> int | None:
        return self.process.pid

    def ended(self) -> int | None:
        """Its exit code, minus the signal that killed it; none while it runs."""
        code: int | None = self.process.exitcode
        return code

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.process.kill()
        self.process.join()

    def stop(self, seconds: float = 15) -> int:
        """SIGTERM, then SIGKILL where that is not heard; its exit code."""
        self.process.terminate()
        self.process.join(seconds)
        if self.ended() is None:
            self.kill()
        return self.process.exitcode or 0

    def said(self) -> str:
        """Both streams, one after the other."""
        return self.out.read_text() + self.err.read_text()


class Programs:
    """Starts programs; the process they are forked from starts with the first of them and ends with this one."""

    def __init__(self) -> None:
        self.forking = multiprocessing.get_context("forkserver")
        self.forking.set_forkserver_preload(list(IMPORTED))

    def start(self, module: str, words: Sequence[str], environment: Mapping[str, str], folder: Path) -> Program:
        """`python -m MODULE WORDS` in that environment; what it says goes to two files in the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        out, err = folder / "out", folder / "err"
        process = self.forking.Process(target=_run, args=(module, tuple(words), dict(environment), str(out), str(err)))
        out.touch()
        err.touch()
        with patch.dict(sys.modules, __main__=ModuleType("__main__")):     # else what runs here is imported there, a page under test too
            process.start()
        return Program(process, out, err)

    def run(self, module: str, words: Sequence[str], environment: Mapping[str, str],
            seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """The same to its end; raises TimeoutExpired when that takes longer."""
        with tempfile.TemporaryDirectory() as folder:
            program = self.start(module, words, environment, Path(folder))
            program.process.join(seconds)
            out, err = program.out.read_text(), program.err.read_text()
            if (code := program.ended()) is None:
                program.kill()
                raise subprocess.TimeoutExpired(list(words), seconds, out, err)
            return subprocess.CompletedProcess(list(words), code, out, err)


def _run(module: str, words: tuple[str, ...], environment: dict[str, str], out: str, err: str) -> None:
    for path, stream in ((out, 1), (err, 2)):
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, stream)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(ROOT)
    sys.argv = [module, *words]
    with believed(from_the_first=True):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
