"""Every provisioner with nodes behind it, in the same words: what the contract test drives them by."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Protocol

from data.ssh_keys import KeyPair, new_key_pair
from engine.nodes import NodeAddress
from engine.ports import Provisioner
from engine.provisioning import Step, Tenancy, Trouble
from tests.rigs.gpu_nodes import GpuNode, GpuNodes, free_port, silent_place
from webhooks.provisioners.dummy import DummyProvisioner
from webhooks.provisioners.dummy_site import DummyNode, Fault, User
from webhooks.provisioners.ssh import SshProvisioner
from webhooks.provisioners.ssh_line import Patience

BRIEF = Patience(banner_seconds=0.5, keys_seconds=5, step_seconds=20)        # banners of sshd come at once, unless it is stopped
TOOL = {Step.MARK: "mv", Step.ACCOUNT: "useradd", Step.KEY: "setpriv", Step.OPEN: "usermod", Step.CLOSE: "usermod", Step.UNKEY: "setpriv",
        Step.END: "pkill", Step.UNMARK: "setpriv"}
_numbers = count(1)


def allocation() -> str:
    """An id that no other test has."""
    return f"alc_{next(_numbers):026}"


@dataclass
class Guest:
    """Somebody with a key pair who is to be on a node."""

    tenancy: Tenancy
    key: KeyPair

    def again(self) -> Guest:
        """The same person with the same key, another allocation."""
        return Guest(replace(self.tenancy, allocation=allocation()), self.key)


class Rig(Protocol):
    """A provisioner and one node of it."""

    provisioner: Provisioner
    node: NodeAddress

    def guest(self) -> Guest: ...
    def lets_in(self, guest: Guest) -> bool: ...
    def works(self, guest: Guest) -> None: ...
    def load(self, percent: int) -> None: ...
    def somebody_elses(self) -> Guest: ...
    def loses_its_mark(self, guest: Guest) -> None: ...
    def breaks(self, step: Step, trouble: Trouble, acted: bool = False) -> None: ...
    def mend(self) -> None: ...
    def on_the_way(self, trouble: Trouble) -> tuple[Provisioner, NodeAddress]: ...
    def close(self) -> None: ...


@dataclass
class SshRig:
    """A real sshd."""

    nodes: GpuNodes
    at: GpuNode
    provisioner: Provisioner = field(init=False)
    node: NodeAddress = field(init=False)
    stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.provisioner, self.node = SshProvisioner(self.nodes.management.private, patience=Patience(step_seconds=20)), self.at.address

    def guest(self) -> Guest:
        key = new_key_pair("alice@laptop")
        return Guest(Tenancy(allocation(), self.nodes.new_user(), key.public), key)

    def lets_in(self, guest: Guest) -> bool:
        return self.nodes.log_in(self.at, guest.tenancy.user, guest.key).stdout == f"{guest.tenancy.user}\n"

    def works(self, guest: Guest) -> None:
        self.nodes.log_in(self.at, guest.tenancy.user, guest.key, "setsid sleep 60 </dev/null >/dev/null 2>&1 &")

    def load(self, percent: int) -> None:
        self.at.load(percent)

    def somebody_elses(self) -> Guest:
        guest = self.guest()
        self.nodes.add_user(guest.tenancy.user)
        return guest

    def loses_its_mark(self, guest: Guest) -> None:
        (self.at.state / "marks" / guest.tenancy.user).unlink()

    def breaks(self, step: Step, trouble: Trouble, acted: bool = False) -> None:
        self.at.fault(f"{step} {'after' if acted else 'before'}" if trouble is Trouble.DROPPED else f"{step} full {TOOL[step]}")

    def mend(self) -> None:
        self.at.fault("")

    def on_the_way(self, trouble: Trouble) -> tuple[Provisioner, NodeAddress]:
        key = self.nodes.stranger if trouble is Trouble.KEY_REFUSED else self.nodes.management
        node = {Trouble.DOWN: lambda: replace(self.node, port=free_port()),
                Trouble.SILENT: lambda: replace(self.node, port=self.stack.enter_context(silent_place())),
                Trouble.HOST_KEY: lambda: replace(self.node, host_key=self.nodes.stranger.public),
                Trouble.KEY_REFUSED: lambda: self.node}[trouble]()
        patience = BRIEF if trouble is Trouble.SILENT else Patience()
        return SshProvisioner(key.private, patience=patience), node

    def close(self) -> None:
        self.mend()
        self.stack.close()


class DummyRig:
    """The dummy, with its site in a file or in memory."""

    def __init__(self, provisioner: DummyProvisioner) -> None:
        self.provisioner: Provisioner = provisioner
        self.site = provisioner.site
        self.node = NodeAddress("gpu1", "10.0.0.1", 22, provisioner.host_key("10.0.0.1", 22))

    def guest(self) -> Guest:
        key = new_key_pair("alice@laptop")
        return Guest(Tenancy(allocation(), f"guest-{next(_numbers)}", key.public), key)

    def lets_in(self, guest: Guest) -> bool:
        with self.site.opened() as site:
            user = site.nodes.setdefault(self.node.name, DummyNode()).users.get(guest.tenancy.user, User())
            return user.open and user.key.startswith(guest.key.public.line)

    def works(self, guest: Guest) -> None:
        with self.site.opened() as site:
            site.nodes[self.node.name].users[guest.tenancy.user].processes = 1

    def load(self, percent: int) -> None:
        with self.site.opened() as site:
            site.nodes[self.node.name].load_percent = percent

    def somebody_elses(self) -> Guest:
        guest = self.guest()
        with self.site.opened() as site:
            site.nodes.setdefault(self.node.name, DummyNode()).users[guest.tenancy.user] = User(ours=False)
        return guest

    def loses_its_mark(self, guest: Guest) -> None:
        with self.site.opened() as site:
            del site.nodes[self.node.name].marks[guest.tenancy.user]

    def breaks(self, step: Step, trouble: Trouble, acted: bool = False) -> None:
        with self.site.opened() as site:
            site.faults[self.node.name] = Fault(trouble, step, acted)

    def mend(self) -> None:
        with self.site.opened() as site:
            site.faults.clear()

    def on_the_way(self, trouble: Trouble) -> tuple[Provisioner, NodeAddress]:
        if trouble is Trouble.HOST_KEY:
            return self.provisioner, replace(self.node, port=23)
        with self.site.opened() as site:
            site.faults[self.node.name] = Fault(trouble)
        return self.provisioner, self.node

    def close(self) -> None:
        self.mend()
