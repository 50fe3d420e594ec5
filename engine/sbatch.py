"""A batch script's wishes, read the way sbatch reads them: `#SBATCH` lines up to the first command, and what they add up to.

Knows the spellings and what multiplies with what; knows no prices, no cluster and no files (text comes in, with the name to
complain about). What a price could depend on and cannot be worked out here is named in a note, never guessed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from engine.errors import DomainError
from engine.periods import TimeError, parse_instant
from engine.slurm_values import duration_ms, memory_mib, whole

T = TypeVar("T")


class BadRequest(DomainError):
    """This request cannot be quoted."""

    code = "request"


@dataclass(frozen=True, slots=True)
class Option:
    """One option as it was written: its long name, its value ("" for a flag) and where it stands, such as `job.sh, line 3`."""

    name: str
    value: str
    where: str


@dataclass(frozen=True, slots=True)
class Request:
    """What one job asks for, all its nodes together, and how often. `gpus` has one entry a model ("" where none is named);
    `at_once` tasks of `count` may run at the same time; `begin` is the start that was asked for; None is now."""

    cpus: int
    mem_mib: int
    seconds: int
    nodes: int = 1
    gpus: tuple[tuple[str, int], ...] = ()
    count: int = 1
    at_once: int = 0
    begin: datetime | None = None
    account: str = ""
    billing: int = 0
    notes: tuple[str, ...] = field(default=())

    @property
    def gpu_count(self) -> int:
        """GPUs of every model."""
        return sum(number for _, number in self.gpus)


MOST_BYTES = 4 << 20                         # what sbatch takes too
LARGEST = 10**7                              # CPUs, GPUs, nodes: beyond that it is a slip of the pen
LARGEST_MIB = 1 << 40
LONGEST_SECONDS = 366 * 86_400
LARGEST_ARRAY = 4_000_001                    # Slurm's own limit of MaxArraySize

SHORT = {"A": "account", "a": "array", "b": "begin", "c": "cpus-per-task", "C": "constraint", "d": "dependency", "D": "chdir",
         "e": "error", "F": "nodefile", "G": "gpus", "i": "input", "J": "job-name", "L": "licenses", "M": "clusters",
         "m": "distribution", "n": "ntasks", "N": "nodes", "o": "output", "p": "partition", "q": "qos", "S": "core-spec",
         "t": "time", "w": "nodelist", "x": "exclude", "B": "extra-node-info",
         "H": "hold", "h": "help", "I": "immediate", "k": "no-kill", "K": "kill-on-bad-exit", "O": "overcommit", "Q": "quiet",
         "s": "oversubscribe", "v": "verbose", "V": "version", "W": "wait", "Z": "no-allocate"}
FLAGS = frozenset({"bell", "contiguous", "exclusive", "get-user-env", "help", "hold", "ignore-pbs", "immediate", "no-bell",
                   "kill-on-bad-exit", "no-allocate", "no-kill", "no-requeue", "nice", "overcommit", "oversubscribe", "parsable",
                   "propagate", "quiet", "reboot", "requeue", "resv-ports", "share", "spread-job", "stepmgr", "test-only", "usage",
                   "use-min-nodes", "verbose", "version", "wait", "consolidate-segments"})
READ = frozenset({"account", "array", "begin", "cpus-per-gpu", "cpus-per-task", "gpus", "gpus-per-node", "gpus-per-task", "gres",
                  "mem", "mem-per-cpu", "mem-per-gpu", "nodes", "ntasks", "ntasks-per-node", "time"})
# Valued options that change nothing in the price of what was asked for.
QUIET = frozenset({
    "acctg-freq", "batch", "bb", "bbf", "bcast", "chdir", "clusters", "comment", "container", "container-id", "cpu-bind",
    "cpu-freq", "deadline", "delay-boot", "dependency", "distribution", "error", "exclude", "export", "export-file",
    "extra", "gid", "gpu-bind", "gpu-freq", "gres-flags", "hint", "input", "job-name", "kill-on-invalid-dep", "mail-type",
    "mail-user", "mcs-label", "mem-bind", "network", "nodefile", "nodelist", "oom-kill-step", "open-mode", "output",
    "partition", "power", "prefer", "priority", "profile", "qos", "reservation", "segment", "signal", "switches",
    "thread-spec", "tmp", "tres-bind", "uid", "umask", "wait-all-nodes", "wckey", "wrap",
})
# What may change the price and cannot be worked out from the script alone.
NOTED = {
    "exclusive": "whole nodes are set aside for it: what they have beyond what is asked for here is not in this price",
    "constraint": "which nodes fit is the cluster's to say; a GPU's model counts when it is named with the GPUs",
    "licenses": "licences have no price here",
    "time-min": "the price is that of --time; Slurm may give less",
    "overcommit": "CPUs are counted as if it were not there",
    "oversubscribe": "what is shared with others is priced as its own", "share": "what is shared with others is priced as its own",
    "ntasks-per-gpu": "not used", "ntasks-per-socket": "not used", "ntasks-per-core": "not used", "gpus-per-socket": "not used",
    "sockets-per-node": "not used", "cores-per-socket": "not used", "threads-per-core": "not used", "mincpus": "not used",
    "extra-node-info": "not used", "core-spec": "not used", "tres-per-task": "not used", "tres-per-job": "not used",
    "tres-per-node": "not used", "tres-per-socket": "not used",
}
KNOWN = READ | QUIET | FLAGS | frozenset(NOTED)


def script_text(raw: bytes, name: str) -> str:
    """The bytes of a file as text; a BadRequest says why they are no job script."""
    if len(raw) > MOST_BYTES:
        raise BadRequest(f"{name} is larger than {MOST_BYTES >> 20} MiB: that is no job script.")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise BadRequest(f"{name} is no text: a job script is a text file in UTF-8.") from None


def script_options(text: str, name: str) -> tuple[Option, ...]:
    """The options of a batch script's `#SBATCH` lines, in order; the first command ends them, as it does for sbatch.

    A text without `#!` at its very beginning is a BadRequest: sbatch takes it for no script.
    """
    if not text.strip():
        raise BadRequest(f"{name} is empty.")
    if "\0" in text:
        raise BadRequest(f"{name} is no text: a job script is a text file whose first line begins with #!.")
    if not text.startswith("#!"):
        raise BadRequest(f"{name}, line 1: a job script begins with #! and its interpreter, such as #!/bin/bash.")
    options: list[Option] = []
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{name}, line {number}"
        if line.startswith("#SBATCH"):
            options += _line_options(line[len("#SBATCH"):], where)
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    return tuple(options)


def _line_options(rest: str, where: str) -> Iterator[Option]:
    try:
        words = shlex.split(rest, comments=True)
    except ValueError:
        raise BadRequest(f"{where}: a quotation mark is never closed.") from None
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        if word == "hetjob":
            raise BadRequest(f"{where}: a heterogeneous job is several requests; quote each of its parts alone.")
        if word.startswith("--") and len(word) > 2:
            yield _long(word[2:], waiting, where)
        elif word.startswith("-") and len(word) > 1:
            yield from _short(word[1:], waiting, where)
        else:
            raise BadRequest(f"{where}: {_cut(word)} is no option of sbatch; options begin with - or --.")


def _long(word: str, waiting: list[str], where: str) -> Option:
    written, equals, value = word.partition("=")
    near = [name for name in KNOWN if name.startswith(written)]
    name = written if written in KNOWN or len(near) != 1 else near[0]
    if equals or name in FLAGS:
        return Option(name, value, where)
    if name in KNOWN:
        return Option(name, _value(waiting, f"--{name}", where), where)
    return Option(name, waiting.pop() if waiting and not waiting[-1].startswith("-") else "", where)


def _short(letters: str, waiting: list[str], where: str) -> Iterator[Option]:
    while letters:
        letter, letters = letters[0], letters[1:]
        name = SHORT.get(letter)
        if name is None:
            raise BadRequest(f"{where}: -{_cut(letter)} is no option of sbatch.")
        if name in FLAGS:
            yield Option(name, "", where)
        else:
            yield Option(name, letters or _value(waiting, f"-{letter}", where), where)
            return


def _value(waiting: list[str], word: str, where: str) -> str:
    if not waiting:
        raise BadRequest(f"{where}: {word} needs a value.")
    return waiting.pop()


def request(options: Iterable[Option], now: datetime, zone: ZoneInfo) -> Request:
    """What the options add up to; of one that is given twice the last counts. Times without an offset are of `zone`.

    Besides sbatch's own names it takes those of whoever states a whole job: `cpus`, `gpu-model`, `mem-total`, `count`,
    `billing`, `start`. A BadRequest says which option, where it stands, and how it is written.
    """
    return _Sum(options, now, zone).request()


class _Sum:
    """The arithmetic between options: tasks × CPUs, per node × nodes, per GPU × GPUs."""

    def __init__(self, options: Iterable[Option], now: datetime, zone: ZoneInfo) -> None:
        self.given = {option.name: option for option in options}
        self.now, self.zone = now, zone
        self.notes = [note for option in self.given.values() if (note := _note(option))]

    def request(self) -> Request:
        nodes = self._read("nodes", _nodes, 1)
        tasks = self._tasks(nodes)
        gpus = self._gpus(nodes, tasks)
        cpus = self._cpus(tasks, sum(gpus.values()))
        mem = self._mem(nodes, cpus, sum(gpus.values()))
        count, at_once = self._read("count", lambda text: (_positive(text), 0), None) or self._read("array", array_size, (1, 0))
        _within(nodes, LARGEST, "nodes")
        _within(cpus, LARGEST, "CPUs")
        _within(sum(gpus.values()), LARGEST, "GPUs")
        _within(mem, LARGEST_MIB, "MiB of memory")
        return Request(cpus, mem, self._seconds(), nodes, tuple(sorted(gpus.items())), count, at_once, self._begin(),
                       self._text("account"), self._read("billing", _positive, 0), tuple(dict.fromkeys(self.notes)))

    def _read(self, name: str, read: Callable[[str], T], default: T) -> T:
        option = self.given.get(name)
        if option is None:
            return default
        try:
            return read(option.value.strip())
        except (ValueError, TimeError) as error:
            said = error.detail.rstrip(".") if isinstance(error, TimeError) else str(error)
            raise BadRequest(f"{option.where}: {_spelled(name)} {_cut(said, 200)}.") from None

    def _text(self, name: str) -> str:
        return self.given[name].value.strip() if name in self.given else ""

    def _tasks(self, nodes: int) -> int:
        per_node = self._read("ntasks-per-node", _positive, 1)
        return self._read("ntasks", _positive, per_node * nodes)

    def _cpus(self, tasks: int, gpus: int) -> int:
        if "cpus" in self.given:
            return self._read("cpus", _positive, 1)
        if "cpus-per-gpu" in self.given and gpus:
            return self._read("cpus-per-gpu", _positive, 1) * gpus
        return tasks * self._read("cpus-per-task", _positive, 1)

    def _gpus(self, nodes: int, tasks: int) -> dict[str, int]:
        found: dict[str, int] = {}
        for name, times in (("gpus", 1), ("gpus-per-node", nodes), ("gres", nodes), ("gpus-per-task", tasks)):
            counts = self._read(name, gpu_counts if name != "gres" else self._gres, found)
            if counts:
                found = {model: number * times for model, number in counts.items()}
                break
        model = self._text("gpu-model").lower()
        if model and not re.fullmatch(r"[a-z0-9][a-z0-9_.+-]{0,63}", model):
            raise BadRequest(f"{self.given['gpu-model'].where}: {_cut(repr(model))} is no GPU model such as a100.")
        if model and not found:
            self.notes.append(f"{self.given['gpu-model'].where}: a GPU model without a number of GPUs: no GPU is priced.")
        return {model: sum(found.values())} if model and found else found

    def _gres(self, text: str) -> dict[str, int]:
        parts = [part.removeprefix("gres:").removeprefix("gres/") for part in text.split(",") if part and part.lower() != "none"]
        others = [part for part in parts if part.split(":")[0] != "gpu"]
        if others:
            self.notes.append(f"{self.given['gres'].where}: {_cut(', '.join(others))} has no price here.")
        return gpu_counts(",".join(part.removeprefix("gpu").removeprefix(":") or "1" for part in parts if part not in others))

    def _mem(self, nodes: int, cpus: int, gpus: int) -> int:
        wishes = (("mem-total", 1), ("mem", nodes), ("mem-per-cpu", cpus), ("mem-per-gpu", gpus))
        name, times = next(((name, times) for name, times in wishes if name in self.given), ("", 0))
        mib = self._read(name, memory, 0) * times
        if name and not mib:
            self.notes.append(f"{self.given[name].where}: all the memory of a node is asked for, and how much that is, is not "
                              "known here: memory is not in this price.")
        elif not name:
            self.notes.append("No memory is asked for: the cluster's default is added to what is priced here.")
        return mib

    def _seconds(self) -> int:
        if "time" not in self.given:
            raise BadRequest("No time is asked for: say how long it runs at most with --time, such as --time 2-00:00:00.")
        return self._read("time", limit_seconds, 0)

    def _begin(self) -> datetime | None:
        if "start" in self.given:
            return self._read("start", lambda text: begin_at(text, self.now, self.zone), None)
        begin = self._read("begin", lambda text: begin_at(text, self.now, self.zone), None)
        return begin if begin and begin > self.now else None                # a beginning that has passed is now


def _note(option: Option) -> str:
    if option.name in NOTED:
        return f"{option.where}: --{option.name}: {NOTED[option.name]}."
    if option.name in KNOWN or option.name in SPELLED:
        return ""
    return f"{option.where}: --{_cut(option.name)} is no option known here; it is left out."


SPELLED = {"cpus": "--cpus", "mem-total": "--mem", "gpu-model": "--gpu-model", "count": "--count", "billing": "--billing",
           "start": "--start"}


def _spelled(name: str) -> str:
    return SPELLED.get(name, f"--{name}")


def _within(number: int, most: int, what: str) -> None:
    if number > most:
        raise BadRequest(f"{number:,} {what} are more than {most:,}: check the numbers.")


def _positive(text: str) -> int:
    try:
        number = whole(text)
    except ValueError:
        number = 0
    if not 0 < number <= LARGEST:
        raise ValueError(f"{_cut(text)!r} is no whole number from 1 to {LARGEST:,}")
    return number


def _nodes(text: str) -> int:
    """`4`, `2-4`, `1,3-5`, `2-8:2`: Slurm gives as many as it can, so the most counts."""
    return max(_positive(number) for part in text.split(",") for number in part.split(":")[0].split("-"))


def gpu_counts(text: str) -> dict[str, int]:
    """`2`, `a100:2`, `a100:2,h100:1`, `a100` (one) as GPUs a model, "" where none is named."""
    found: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        model, colon, number = part.rpartition(":")
        if not colon and not part[:1].isdigit():
            model, number = part, "1"
        if not re.fullmatch(r"[a-z0-9_.+-]{0,64}", model.lower()) or not re.fullmatch(r"\d{1,9}", number, re.ASCII):
            raise ValueError(f"{_cut(part)!r} is not like 2 or a100:2")
        found[model.lower()] = found.get(model.lower(), 0) + int(number)
    return {model: number for model, number in found.items() if number}


def memory(text: str) -> int:
    """MiB of `128G`, `4000` (MiB), `512M`, `1T`, `2g`, `0` (all there is)."""
    if text in ("0", "0M", "0G"):
        return 0
    try:
        return memory_mib(text.upper())
    except ValueError:
        raise ValueError(f"{_cut(text)!r} is no size such as 512M, 128G or 1T") from None


def limit_seconds(text: str) -> int:
    """A time limit as sbatch takes it, rounded up to whole minutes: `90` (minutes), `90:00`, `12:00:00`, `2-12`, `2-12:30`,
    `2-12:30:00`. No limit has no price."""
    if text.upper() in ("UNLIMITED", "INFINITE", "-1", "0", "PARTITION_LIMIT"):
        raise ValueError(f"{_cut(text)!r} is no limit: what may run for ever has no price")
    try:
        seconds = whole(text) * 60 if text.isdigit() else duration_ms(text) // 1000
    except ValueError:
        raise ValueError(f"{_cut(text)!r} is no time limit such as 90 (minutes), 12:00:00 or 2-12:00:00") from None
    if not 0 < seconds <= LONGEST_SECONDS:
        raise ValueError(f"{_cut(text)!r} is not between a minute and 366 days")
    return -(-seconds // 60) * 60


def array_size(text: str) -> tuple[int, int]:
    """Tasks of `0-15`, `1,3,5-9:2`, `0-99%10`, and how many of them may run at once (0: all)."""
    spec, percent, limit = text.partition("%")
    marks, work = bytearray(LARGEST_ARRAY), 0
    for part in spec.split(","):
        match = re.fullmatch(r"(\d{1,7})(?:-(\d{1,7})(?::(\d{1,7}))?)?", part.strip(), re.ASCII)
        first, last, step = (int(match[1]), int(match[2] or match[1]), int(match[3] or 1)) if match else (1, 0, 1)
        if not match or last < first or last >= LARGEST_ARRAY or not step:
            raise ValueError(f"{_cut(text)!r} is no list of tasks such as 0-15, 1,3,5-9:2 or 0-99%10")
        tasks = range(first, last + 1, step)
        work += len(tasks)
        if work > 4 * LARGEST_ARRAY:
            raise ValueError(f"{_cut(text)!r} names the same tasks again and again")
        marks[first:last + 1:step] = b"\1" * len(tasks)
    return marks.count(1), _positive(limit) if percent else 0


def begin_at(text: str, now: datetime, zone: ZoneInfo) -> datetime:
    """When it may begin, as `--begin` is written; an hour that has passed today is tomorrow's, as it is for Slurm."""
    begin = parse_instant(text, now, zone)
    clock_only = ":" in text and not re.search(r"[-./T]|now|uts", text)
    if begin < now and (clock_only or text.lower() in ("midnight", "noon", "fika", "teatime")):
        local = begin.astimezone(zone)
        return (local + timedelta(days=1)).astimezone(begin.tzinfo)
    return begin


def overridden(options: Sequence[Option], stated: Sequence[Option]) -> tuple[Option, ...]:
    """The script's options with what was `stated` beside it in their place: whoever states CPUs, GPUs, memory or tasks of the
    whole job replaces every way the script says them."""
    names = {option.name for option in stated}
    gone = {name for stated_name in names for name in REPLACES.get(stated_name, ())} | names
    return (*(option for option in options if option.name not in gone), *stated)


REPLACES = {
    "cpus": ("ntasks", "ntasks-per-node", "cpus-per-task", "cpus-per-gpu"),
    "gpus": ("gpus-per-node", "gpus-per-task", "gres"),
    "mem-total": ("mem", "mem-per-cpu", "mem-per-gpu"),
    "count": ("array",),
    "start": ("begin",),
}


def _cut(text: str, most: int = 60) -> str:
    """Foreign text for a sentence: printable and short."""
    shown = "".join(letter if letter.isprintable() else "·" for letter in text)
    return shown if len(shown) <= most else f"{shown[:most - 1]}…"
