"""sacct's columns: which we read, which we need, and what may stand in each.

The patterns serve to put rows together again that a separator or a newline inside a name broke apart. A column that
is not described may hold anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from engine.errors import BatchRefused

# What we read, each under sacct's own name. JSON sources make the same columns.
READ = ("JobIDRaw", "JobID", "SLUID", "JobName", "User", "Account", "Partition", "QOS", "Cluster", "State", "Submit",
        "Start", "End", "Elapsed", "ElapsedRaw", "TotalCPU", "AllocTRES", "AveRSS", "NodeList",
        "AllocCPUS", "NCPUS", "NNodes", "ReqMem", "ReqTRES", "AllocGRES", "ReqGRES")

# Of these only that is needed which the others do not say: of steps their memory, without AllocTRES what was there.
SELDOM = frozenset({"AveRSS", "AllocCPUS", "NCPUS", "NNodes", "ReqMem", "ReqTRES", "AllocGRES", "ReqGRES"})

# Each needs one of these; the first is the one to ask sacct for.
NEEDED = (("JobIDRaw", "JobID"), ("User",), ("Account",), ("State",), ("Submit",), ("Start",), ("End",),
          ("ElapsedRaw", "Elapsed"), ("TotalCPU",), ("AllocTRES",))

_NUMBER = r"[0-9]*"
_TIME = r"(?:[0-9]{4}-[0-9T:.+Z-]*|[0-9]+|Unknown|None|N/A|)"
_DURATION = r"(?:[0-9:.-]*|UNLIMITED|Partition_Limit|INVALID)"
_TRES = r"(?:[^=,\s]+=[^=,\s]*(?:,[^=,\s]+=[^=,\s]*)*)?"
_SIZE = r"(?:[0-9.]+[KMGTPE]?[nc]?|16\?)?"
_WORD = r"[^\n\t]*"

_TYPED = {
    "jobidraw": r"[0-9]+(?:\.[A-Za-z0-9_+]+)?",
    "jobid": r"[0-9]+(?:_[0-9]+|_\[[^\]\n]*\]|_|\+[0-9]+)?(?:\.[A-Za-z0-9_+]+)?",
    "sluid": r"[A-Za-z0-9]*", "originalsluid": r"[A-Za-z0-9]*",
    "state": r"[A-Z_]+(?: by [^\s]+)?", "exitcode": r"(?:[0-9]+:[0-9]+)?", "derivedexitcode": r"(?:[0-9]+:[0-9]+)?",
    "nodelist": r"(?:[^\s]*|None assigned)", "flags": r"[A-Za-z,_]*",
    **dict.fromkeys(("submit", "eligible", "start", "end"), _TIME),
    **dict.fromkeys(("elapsed", "totalcpu", "usercpu", "systemcpu", "cputime", "suspended", "planned", "plannedcpu",
                     "reserved", "resvcpu", "timelimit", "avecpu", "mincpu"), _DURATION),
    **dict.fromkeys(("reqtres", "alloctres", "tresusageintot", "tresusageinave", "tresusageinmax", "tresusageinmin",
                     "tresusageouttot", "tresusageoutave", "tresusageoutmax", "tresusageoutmin"), _TRES),
    **dict.fromkeys(("maxrss", "averss", "maxvmsize", "avevmsize", "reqmem"), _SIZE),
    **dict.fromkeys(("uid", "gid", "associd", "dbindex", "restarts", "elapsedraw", "cputimeraw", "plannedcpuraw",
                     "resvcpuraw", "nnodes", "ncpus", "alloccpus", "reqcpus", "allocnodes", "reqnodes", "ntasks",
                     "consumedenergyraw", "qosraw", "wckeyid", "priority"), _NUMBER),
    "timelimitraw": r"(?:[0-9]*|UNLIMITED|Partition_Limit)",
    **dict.fromkeys(("user", "group", "account", "partition", "qos", "qosreq", "cluster"), _WORD),
    "": "",                                              # what --parsable leaves after its last separator
}
_READ_AS = {name.lower(): name for name in READ}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a header: sacct's name (or the file's, when unknown) and its pattern; None means anything."""

    name: str
    pattern: re.Pattern[str] | None

    @property
    def is_read(self) -> bool:
        """True when its value becomes part of a usage record."""
        return self.name in READ

    @property
    def decides_money(self) -> bool:
        """True when two readings of a row must agree on it."""
        return self.is_read and self.name != "JobName"


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of sacct's output: the columns in their order, and what separates them."""

    columns: tuple[Column, ...]
    separator: str

    def position(self, name: str) -> int | None:
        """Where the column `name` stands, or None."""
        return next((i for i, column in enumerate(self.columns) if column.name == name), None)

    @property
    def leading(self) -> int:
        """How many columns stand before the first one that may hold anything: what a row's beginning is known by."""
        return next((i for i, column in enumerate(self.columns) if column.pattern is None), len(self.columns))


def header(line: str, where: str, cluster: str = "") -> Header:
    """The header in `line`, checked: what is missing is named. `cluster` is used where there is no Cluster column."""
    separator = "\x1f" if "\x1f" in line else "|"
    names = line.split(separator)
    known = {name.strip().lower() for name in names}
    if len(known & {*_TYPED, "jobname"}) < 3:
        raise BatchRefused(f"{where}, line 1, is not the header of sacct --parsable2: {line[:120]!r}.")
    if len(known) < len(names):
        raise BatchRefused(f"{where}, line 1, names a column twice.")
    for choice in NEEDED:
        if not known & {name.lower() for name in choice}:
            raise BatchRefused(f"{where} has no column {' or '.join(choice)}: add {choice[0]} to the list after sacct -o.")
    if "cluster" not in known and not cluster:
        raise BatchRefused(f"{where} has no column Cluster: add Cluster to the list after sacct -o, "
                           "or name it with --cluster (or COREHOURS_SLURM_CLUSTER).")
    return Header(tuple(_column(name.strip()) for name in names), separator)


def _column(name: str) -> Column:
    typed = _TYPED.get(name.lower())
    return Column(_READ_AS.get(name.lower(), name), re.compile(typed) if typed is not None else None)


def says_all(raw: pl.DataFrame) -> bool:
    """Whether these rows need none of SELDOM: there is no step among them, and AllocTRES tells the CPUs of each."""
    ids = "JobIDRaw" if "JobIDRaw" in raw.columns and not raw["JobIDRaw"].null_count() else "JobID"
    if ids not in raw.columns or raw["AllocTRES"].null_count() or raw[ids].str.contains(".", literal=True).any():
        return False
    return bool(raw["AllocTRES"].unique().str.contains("cpu=", literal=True).all())
