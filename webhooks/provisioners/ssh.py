"""Nodes over SSH. Each step is one run of `node_step.sh` as root, under a time limit of its own; the command line is the same for
everybody, and a tenant's name, key and allocation travel on its standard input.

Knows no table and no allocation beyond its id: whoever calls writes down what is asked and what was done.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engine.gpu_readings import FIELDS, GpuReading, clock_offset, parse_gpus
from engine.nodes import NodeAddress
from engine.payments import Outcome
from engine.provisioning import (
    ALLOCATION,
    PROVISION,
    RELEASE,
    Holding,
    NodeTrouble,
    Probe,
    Step,
    StepState,
    Tenancy,
    Told,
    Trouble,
    tell_nobody,
)
from engine.ssh_keys import PublicKey
from webhooks.provisioners.ssh_line import Answer, Command, Line, Patience, management_key, open_line, shown_key

SCRIPT = Path(__file__).with_name("node_step.sh").read_text(encoding="utf-8")
SMI = f"nvidia-smi --query-gpu={','.join(FIELDS)} --format=csv,noheader,nounits"
MISSING_CODES = (126, 127)
CODES = {81: (Trouble.UNREADABLE, Outcome.REFUSED), 82: (Trouble.OCCUPIED, Outcome.REFUSED), 83: (Trouble.FOREIGN, Outcome.REFUSED),
         84: (Trouble.OVER, Outcome.REFUSED), 85: (Trouble.UNMARKED, Outcome.REFUSED), 86: (Trouble.LEFT_OVER, Outcome.UNKNOWN),
         87: (Trouble.BUSY, Outcome.NOT_DONE), 88: (Trouble.NOT_PREPARED, Outcome.UNKNOWN)}
FULL = re.compile("no space left|disk quota exceeded|read-only file system|file too large", re.IGNORECASE)


def _limited(words: str, seconds: int, effect: bool = False) -> Command:
    """The limit holds on the node: a command there outlives the line it came by."""
    return Command(f"env LC_ALL=C timeout -k 2 {seconds} {words}", seconds, effect)


def _of_script(word: str, seconds: int, effect: bool = False) -> Command:
    return _limited(f"sh -c {shlex.quote(SCRIPT)} corehours {word}", seconds, effect)


@dataclass(frozen=True, slots=True)
class Commands:
    """All that is ever run on a node, each the same for everybody."""

    steps: Mapping[Step, Command]
    inspect: Command
    missing: Command
    gpus: Command
    clock: Command


def commands(step_seconds: int, read_seconds: int) -> Commands:
    """Limited to so many seconds each."""
    return Commands({step: _of_script(step, step_seconds, effect=True) for step in Step}, _of_script("inspect", step_seconds),
                    _of_script("missing", read_seconds), _limited(SMI, read_seconds), _limited("date +%s.%N", read_seconds))


class SshProvisioner:
    """Nodes that let `user` (root, or whoever can do what root can) in with the management key, whose private text is `key`."""

    name = "ssh"

    def __init__(self, key: str, user: str = "root", patience: Patience | None = None) -> None:
        self._key = management_key(key)
        self.user = user
        self.patience = patience or Patience()
        self.commands = commands(self.patience.step_seconds, self.patience.read_seconds)

    def host_key(self, host: str, port: int) -> PublicKey:
        """The key it shows."""
        return shown_key(host, port, self.patience)

    def probe(self, node: NodeAddress) -> Probe:
        """What it lacks first: without a driver there is nothing else to read."""
        with self._line(node) as line:
            missing = tuple(_read(line, self.commands.missing).split())
            before = datetime.now(UTC)
            said = _read(line, self.commands.clock)
            return Probe(_gpus(line, self.commands.gpus), clock_offset(said, before, datetime.now(UTC)), missing)

    def provision(self, node: NodeAddress, tenancy: Tenancy, steps: Sequence[Step] = PROVISION, told: Told = tell_nobody) -> None:
        """Up to the first step that does not get done."""
        with self._line(node) as line:
            done: tuple[Step, ...] = ()
            for step in steps:
                self._do(line, step, tenancy, told, done)
                done += (step,)

    def release(self, node: NodeAddress, tenancy: Tenancy, steps: Sequence[Step] = RELEASE, told: Told = tell_nobody) -> None:
        """As far as it goes: a disk that is too full to close the account is no reason to leave the key. The mark stays then."""
        with self._line(node) as line:
            done: tuple[Step, ...] = ()
            first: NodeTrouble | None = None
            for step in steps:
                if first is not None and step is Step.UNMARK:
                    break
                try:
                    self._do(line, step, tenancy, told, done)
                    done += (step,)
                except NodeTrouble as trouble:
                    first = first or trouble
                    if not line.transport.is_active():
                        break
            if first is not None:
                raise first

    def inspect(self, node: NodeAddress) -> Sequence[Holding]:
        """Marks and users of ours, and what their key files hold."""
        with self._line(node) as line:
            return _holdings(node.name, _read(line, self.commands.inspect))

    def sample(self, node: NodeAddress) -> Sequence[GpuReading]:
        """By nvidia-smi."""
        with self._line(node) as line:
            return _gpus(line, self.commands.gpus)

    def _line(self, node: NodeAddress) -> AbstractContextManager[Line]:
        return open_line(node, self.user, self._key, self.patience)

    def _do(self, line: Line, step: Step, tenancy: Tenancy, told: Told, done: tuple[Step, ...]) -> None:
        told(step, StepState.BEGUN)
        command = self.commands.steps[step]
        try:
            _checked(line, command, line.run(command, _values(tenancy)))
        except NodeTrouble as trouble:
            raise trouble.at(step, done) from trouble
        told(step, StepState.DONE)


def _values(tenancy: Tenancy) -> str:
    """A line each, and a dot that says that they are whole."""
    return f"{tenancy.user}\n{tenancy.allocation}\n{tenancy.key.line}\n.\n"


def _read(line: Line, command: Command) -> str:
    return _checked(line, command, line.run(command)).out


def _checked(line: Line, command: Command, answer: Answer) -> Answer:
    """The answer of a command that did what it should; else what its exit code and its last words say."""
    if answer.code == 0:
        return answer
    words = _last_words(answer)
    trouble, outcome = CODES.get(answer.code, (Trouble.FAILED, command.unanswered))
    if answer.code in MISSING_CODES:
        trouble = Trouble.NOT_PREPARED
    elif trouble is Trouble.FAILED and FULL.search(answer.err):
        trouble = Trouble.FULL
    raise NodeTrouble(f"{line.name}: {words}", trouble, outcome)


def _last_words(answer: Answer) -> str:
    said = [text for text in (answer.err.strip() or answer.out.strip()).split("\n") if text.strip()]
    last = "".join(c for c in (said[-1] if said else f"exit code {answer.code}.") if c.isprintable())
    return last.removeprefix("corehours: ")[:200]


def _gpus(line: Line, command: Command) -> tuple[GpuReading, ...]:
    """nvidia-smi fails with a sentence on standard output, which is read like any other."""
    answer = line.run(command)
    if answer.code in MISSING_CODES or not answer.out.strip():
        _checked(line, command, answer)
    readings = parse_gpus(answer.out)
    _checked(line, command, answer)
    return readings


def _holdings(name: str, said: str) -> tuple[Holding, ...]:
    """`user NAME ALLOCATION OPEN PROCESSES` and, after it, `key NAME LINE` for each line of its key file."""
    rows = [text.split("\t", 4 if text.startswith("user") else 2) for text in said.split("\n") if text]
    if rows[-1:] != [["end"]]:
        raise NodeTrouble(f"{name} did not say all of what is on it.", Trouble.UNREADABLE, Outcome.NOT_DONE)
    keys: dict[str, list[str]] = {}
    for row in rows:
        if row[0] == "key" and len(row) == 3:
            keys.setdefault(row[1], []).append(row[2])
    return tuple(_holding(name, row, keys) for row in rows if row[0] == "user")


def _holding(name: str, row: list[str], keys: dict[str, list[str]]) -> Holding:
    if len(row) != 5 or row[3] not in ("0", "1") or not row[4].isdecimal() or (row[2] and not ALLOCATION.fullmatch(row[2])):
        raise NodeTrouble(f"{name} says {' '.join(row)[:120]!r} of a user, which makes no sense.", Trouble.UNREADABLE, Outcome.NOT_DONE)
    return Holding(row[1], row[2], tuple(keys.get(row[1], ())), row[3] == "1", int(row[4]))
