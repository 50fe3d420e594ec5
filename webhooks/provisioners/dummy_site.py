"""Where the dummy's nodes are: in memory, or in a file that several processes share, one at a time.

A node is there as soon as somebody asks for it. Nothing here decides anything.
"""

from __future__ import annotations

import fcntl
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.provisioning import Step, Trouble


@dataclass
class User:
    """A user of a node: `ours`, or somebody's who was there before. `key` is the line of the key file."""

    ours: bool = True
    open: bool = False
    key: str = ""
    processes: int = 0


@dataclass
class DummyNode:
    """A node: users, marks (allocation by user), released allocations, and the load of its GPUs where somebody set it."""

    users: dict[str, User] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    over: list[str] = field(default_factory=list)
    load_percent: int | None = None


@dataclass
class Fault:
    """What goes wrong from now on: at `step`, after it `acted` or before; without a step, on the way to the node."""

    trouble: Trouble
    step: Step | None = None
    acted: bool = False


@dataclass
class Site:
    """All nodes and faults, by the node's name."""

    nodes: dict[str, DummyNode] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)


class DummySite:
    """Opened by one at a time; what was changed when it is closed is kept."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self._memory = Site()
        self._turn = threading.Lock()

    @contextmanager
    def opened(self) -> Iterator[Site]:
        """The site, to read and to change; a block that fails has changed what it changed."""
        with self._turn:
            if self.file is None:
                yield self._memory
                return
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                site = _read(self.file)
                try:
                    yield site
                finally:
                    _write(self.file, site)


def _read(file: Path) -> Site:
    if not file.exists():
        return Site()
    kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return Site({name: _node(values) for name, values in kept["nodes"].items()},
                {name: _fault(**values) for name, values in kept["faults"].items()})


def _node(values: dict[str, Any]) -> DummyNode:
    return DummyNode(**values | {"users": {name: User(**user) for name, user in values["users"].items()}})


def _fault(trouble: str, step: str | None = None, acted: bool = False) -> Fault:
    return Fault(Trouble(trouble), Step(step) if step else None, acted)


def _write(file: Path, site: Site) -> None:
    """The whole file at once: who reads it without the lock sees the old one or the new one."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(site, default=vars, indent=1), encoding="utf-8")
    new.replace(file)
