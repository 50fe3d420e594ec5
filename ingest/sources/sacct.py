"""Usage from the sacct command: an argument list, never a shell; all of its output or nothing.

Times are asked for in UTC and sizes unrounded. A job name may hold any character, 0x1F and newlines too, so the
separator is 0x1F with a word of this run's own between: nobody can name a job so that it reads as another row.
"""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from engine.errors import BatchRefused
from engine.ports import Progress
from engine.usage import UsageBatch
from ingest.slurm import Material, read_material

# What Slurm 22.05 knows already; SLUID is added where the command has it.
COLUMNS = ("JobIDRaw", "JobID", "JobName", "User", "Account", "Partition", "QOS", "Cluster", "State", "Submit", "Start",
           "End", "Elapsed", "ElapsedRaw", "TotalCPU", "AllocTRES", "AllocCPUS", "NNodes", "ReqMem", "ReqTRES",
           "AveRSS", "NodeList")
SEPARATOR = "\x1f"
ASK_SECONDS = 30
LIST_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class SacctSource:
    """The command, which may carry arguments (`ssh head sacct`), and the cluster's name where rows name none."""

    command: str = "sacct"
    cluster: str = ""
    name: str = "sacct"

    @property
    def origin(self) -> str:
        """The command as it is set."""
        return self.command

    def read(self, window: tuple[int, int] | None, progress: Progress) -> UsageBatch:
        """Every job that was active in the window, steps and earlier runs included."""
        mark = f"{SEPARATOR}{secrets.token_hex(8)}{SEPARATOR}"
        words = [*self._words(), "-a", "-D", "-P", f"--delimiter={mark}", "--noconvert"]
        with tempfile.TemporaryDirectory(prefix="corehours-sacct-") as folder:
            path = Path(folder) / "rows"
            with path.open("wb") as rows:
                self._run([*words, "-o", ",".join(self._columns()), *_span(window)], rows)
            path = _plain(path, mark.encode())
            return read_material(Material(lambda: path.open("rb"), self.name, self.origin, "sacct's output", self.cluster,
                                          path.stat().st_size), progress)

    def _words(self) -> list[str]:
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise BatchRefused(f"COREHOURS_SACCT is no command: {error}.") from None
        if not words:
            raise BatchRefused("COREHOURS_SACCT is empty.")
        return words

    def _columns(self) -> list[str]:
        with tempfile.TemporaryFile() as answer:
            self._run([*self._words(), "--helpformat"], answer, ASK_SECONDS)
            answer.seek(0)
            known = answer.read().decode("utf-8", "replace").split()
        return [*COLUMNS, "SLUID"] if "SLUID" in known else list(COLUMNS)

    def _run(self, words: list[str], output: IO[bytes], seconds: int = LIST_SECONDS) -> None:
        """Run it to its end; any error it reports refuses the batch."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("SACCT_", "SLURM_TIME_FORMAT"))}
        try:
            done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, check=False,
                                  env={**environment, "TZ": "UTC", "LC_ALL": "C.UTF-8"}, timeout=seconds)
        except FileNotFoundError:
            raise BatchRefused(f"There is no command {words[0]} here.") from None
        except OSError as error:
            raise BatchRefused(f"{words[0]} cannot be started: {error.strerror}.") from None
        except subprocess.TimeoutExpired:
            raise BatchRefused(f"{words[0]} gave no answer within {seconds} s.") from None
        said = done.stderr.decode("utf-8", "replace").strip()
        if done.returncode:
            raise BatchRefused(f"{words[0]} failed with exit code {done.returncode}: {said[-500:] or 'no words'}")
        if "error:" in said:
            raise BatchRefused(f"{words[0]} reported: {said[-500:]}")


def _plain(path: Path, mark: bytes) -> Path:
    """The rows with 0x1F alone between their columns, where `mark` was; a 0x1F inside a name becomes its picture."""
    plain = path.with_name("plain")
    with path.open("rb") as rows:
        if mark not in rows.readline():
            return path                                  # a command that chose its own separator
        rows.seek(0)
        with plain.open("wb") as out:
            for line in rows:
                columns = line.split(mark)
                out.write(SEPARATOR.encode().join(columns) if line.count(b"\x1f") == 2 * (len(columns) - 1) else
                          SEPARATOR.encode().join(column.replace(b"\x1f", "␟".encode()) for column in columns))
    return plain


def _span(window: tuple[int, int] | None) -> list[str]:
    """-S and -E as sacct takes them; everything there is starts in 1970."""
    if window is None:
        return ["-S", "1970-01-01T00:00:00"]
    return ["-S", _stamp(window[0]), "-E", _stamp(window[1])]


def _stamp(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S")
