"""Nodes that are not there: the same port and the same refusals as real ones, for the demo and for tests, with faults by switch.

It runs nothing and lets nobody in. Its host keys are made from the node's place, its load from the minute.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from data.ssh_keys import place_key
from engine.gpu_readings import ClockOffset, GpuReading
from engine.nodes import NodeAddress
from engine.payments import Outcome
from engine.provisioning import (
    COMMENT,
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
from webhooks.provisioners.dummy_site import DummyNode, DummySite, Fault, User

GPUS = {"h100": (8, "NVIDIA H100 80GB HBM3", 81559), "l40s": (4, "NVIDIA L40S", 46068),      # by what a node's name begins with
        "rtx4090": (2, "NVIDIA GeForce RTX 4090", 24564)}
OTHERS = (4, "NVIDIA A100-SXM4-80GB", 81920)


def utc_now() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


class DummyProvisioner:
    """Every node there could be, kept in `file`, else in memory."""

    name = "dummy"

    def __init__(self, file: Path | None = None, clock: Callable[[], datetime] = utc_now) -> None:
        self.site = DummySite(file)
        self.clock = clock

    def host_key(self, host: str, port: int) -> PublicKey:
        """Always the same for one place."""
        return place_key(host, port)

    def probe(self, node: NodeAddress) -> Probe:
        """The GPUs that its name promises (h100-01 has H100, any other name A100), and a clock that is right."""
        return Probe(tuple(self.sample(node)), ClockOffset(0, 0))

    def provision(self, node: NodeAddress, tenancy: Tenancy, steps: Sequence[Step] = PROVISION, told: Told = tell_nobody) -> None:
        """In the file."""
        self._run(node, tenancy, steps, told)

    def release(self, node: NodeAddress, tenancy: Tenancy, steps: Sequence[Step] = RELEASE, told: Told = tell_nobody) -> None:
        """In the file."""
        self._run(node, tenancy, steps, told)

    def inspect(self, node: NodeAddress) -> Sequence[Holding]:
        """Marks and users of ours."""
        self._reach(node)
        with self.site.opened() as site:
            there = site.nodes.setdefault(node.name, DummyNode())
            names = sorted({*there.marks, *(name for name, user in there.users.items() if user.ours)})
            return tuple(_holding(there, name) for name in names)

    def sample(self, node: NodeAddress) -> Sequence[GpuReading]:
        """Nothing to do while the node is free; else what was set, or something that wanders from minute to minute."""
        self._reach(node)
        with self.site.opened() as site:
            there = site.nodes.setdefault(node.name, DummyNode())
            busy, fixed = any(user.open for user in there.users.values()), there.load_percent
        return tuple(_reading(node.name, index, busy, fixed, self.clock()) for index in range(_gpus(node.name)[0]))

    def _reach(self, node: NodeAddress) -> Fault | None:
        """What is to go wrong later; raises what goes wrong on the way."""
        with self.site.opened() as site:
            fault = site.faults.get(node.name)
        if not node.host_key.same(self.host_key(node.host, node.port)):
            raise NodeTrouble(f"{node.name} shows another host key: nothing was sent to it.", Trouble.HOST_KEY, Outcome.REFUSED)
        if fault is not None and fault.step is None:
            outcome = Outcome.REFUSED if fault.trouble is Trouble.HOST_KEY else Outcome.NOT_DONE
            raise NodeTrouble(f"{node.name} is {fault.trouble}, as it was told to be.", fault.trouble, outcome)
        return fault

    def _run(self, node: NodeAddress, tenancy: Tenancy, steps: Sequence[Step], told: Told) -> None:
        fault = self._reach(node)
        done: tuple[Step, ...] = ()
        for step in steps:
            told(step, StepState.BEGUN)
            try:
                self._do(node, step, tenancy, fault if fault is not None and fault.step is step else None)
            except NodeTrouble as trouble:
                raise trouble.at(step, done) from trouble
            done += (step,)
            told(step, StepState.DONE)

    def _do(self, node: NodeAddress, step: Step, tenancy: Tenancy, fault: Fault | None) -> None:
        with self.site.opened() as site:
            if fault is None or fault.acted:
                STEPS[step](_Visit(node.name, site.nodes.setdefault(node.name, DummyNode()), tenancy))
        if fault is not None:
            raise NodeTrouble(f"{node.name} is {fault.trouble}, as it was told to be.", fault.trouble, Outcome.UNKNOWN)


@dataclass(frozen=True, slots=True)
class _Visit:
    """A step at work on a node."""

    name: str
    node: DummyNode
    tenancy: Tenancy

    def refuse(self, trouble: Trouble, why: str) -> NodeTrouble:
        """It says no, and did nothing."""
        return NodeTrouble(f"{self.name}: {why}", trouble, Outcome.REFUSED)

    def user(self) -> User | None:
        """Our user of that name; refused when it is somebody else's."""
        found = self.node.users.get(self.tenancy.user)
        if found is not None and not found.ours:
            raise self.refuse(Trouble.FOREIGN, f"The user {self.tenancy.user} is there and was not made by us.")
        return found

    def marked(self) -> None:
        """Refused unless the node carries this allocation's mark."""
        self.not_over()
        if self.node.marks.get(self.tenancy.user) != self.tenancy.allocation:
            raise self.refuse(Trouble.UNMARKED, f"The node is not marked for {self.tenancy.allocation}.")

    def not_over(self) -> None:
        if self.tenancy.allocation in self.node.over:
            raise self.refuse(Trouble.OVER, f"Allocation {self.tenancy.allocation} was released here already.")

    def made(self) -> User:
        """The user, whom a step before this one made."""
        self.marked()
        found = self.user()
        if found is None:
            raise self.refuse(Trouble.UNMARKED, f"There is no user {self.tenancy.user} yet.")
        return found

    def leaving(self) -> User | None:
        """The user to be taken off; None where there is none, or another allocation has the name."""
        if self.node.marks.get(self.tenancy.user, self.tenancy.allocation) != self.tenancy.allocation:
            return None
        return self.user()


def _mark(visit: _Visit) -> None:
    visit.not_over()
    visit.user()
    wanted = (visit.tenancy.user, visit.tenancy.allocation)
    for user, allocation in visit.node.marks.items():
        if (user, allocation) != wanted:
            raise visit.refuse(Trouble.OCCUPIED, f"The node holds allocation {allocation} of {user}.")
    visit.node.marks[visit.tenancy.user] = visit.tenancy.allocation


def _account(visit: _Visit) -> None:
    visit.marked()
    if visit.user() is None:
        visit.node.users[visit.tenancy.user] = User()


def _key(visit: _Visit) -> None:
    visit.made().key = _line(visit.tenancy)


def _open(visit: _Visit) -> None:
    user = visit.made()
    if user.key != _line(visit.tenancy):
        raise visit.refuse(Trouble.UNMARKED, "The key file is not the one that we wrote.")
    user.open = True


def _close(visit: _Visit) -> None:
    user = visit.leaving()
    if user is not None:
        user.open = False
    if visit.tenancy.allocation not in visit.node.over:
        visit.node.over.append(visit.tenancy.allocation)


def _unkey(visit: _Visit) -> None:
    user = visit.leaving()
    if user is not None:
        user.key = ""


def _end(visit: _Visit) -> None:
    user = visit.leaving()
    if user is not None:
        user.processes = 0


def _unmark(visit: _Visit) -> None:
    user = visit.leaving()
    if user is not None and (user.open or user.key or user.processes):
        raise NodeTrouble(f"{visit.name}: Something of {visit.tenancy.user} is still there.", Trouble.LEFT_OVER, Outcome.UNKNOWN)
    if visit.node.marks.get(visit.tenancy.user) == visit.tenancy.allocation:
        del visit.node.marks[visit.tenancy.user]


STEPS: dict[Step, Callable[[_Visit], None]] = {
    Step.MARK: _mark, Step.ACCOUNT: _account, Step.KEY: _key, Step.OPEN: _open,
    Step.CLOSE: _close, Step.UNKEY: _unkey, Step.END: _end, Step.UNMARK: _unmark,
}


def _line(tenancy: Tenancy) -> str:
    return f"{tenancy.key.line} {COMMENT}{tenancy.allocation}"


def _holding(node: DummyNode, name: str) -> Holding:
    user = node.users.get(name, User())
    return Holding(name, node.marks.get(name, ""), (user.key,) if user.key else (), user.open, user.processes)


def _reading(node: str, index: int, busy: bool, fixed: int | None, now: datetime) -> GpuReading:
    draw = hashlib.sha256(f"{node}:{index}:{now:%Y%m%d%H%M}".encode()).digest()[0]
    load = 0 if not busy else fixed if fixed is not None else 40 + draw % 60
    _, model, mib = _gpus(node)
    return GpuReading(index, model, mib, 4 + mib * load // 200, load, 31 + load // 2)


def _gpus(node: str) -> tuple[int, str, int]:
    return GPUS.get(node.split("-")[0], OTHERS)
