"""GPU nodes: what is known of one, where it stands, and who may be called what on it.

A node's state says whether it may be given to somebody; who holds it is an allocation's business. Knows no table, no
network and no price: `rate_model` is the name under which a rate card has one.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from engine.errors import DomainError, IllegalMove
from engine.ssh_keys import KeyKind, PublicKey

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", re.ASCII)
HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*", re.ASCII)
RATE_MODEL = re.compile(r"[a-z0-9][a-z0-9_.+-]{0,63}", re.ASCII)
TENANT = re.compile(r"[a-z][a-z0-9_-]{0,29}[a-z0-9]", re.ASCII)
NUMBERED = re.compile(r"_[0-9]+\Z", re.ASCII)
RESERVED = frozenset({
    "root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data", "backup", "list", "irc",
    "gnats", "nobody", "nogroup", "sshd", "messagebus", "adm", "halt", "shutdown", "operator", "ftp", "dbus", "polkitd", "tss", "rpc",
    "rpcuser", "chrony", "ntp", "systemd", "postfix", "apache", "nginx", "git", "docker", "lxd", "kvm", "admin", "administrator",
    "sudo", "wheel", "staff", "users", "ubuntu", "debian", "centos", "rocky", "fedora", "ec2-user", "azureuser", "cloud-user", "core",
    "vagrant", "ansible", "slurm", "munge", "mysql", "postgres", "redis", "rabbitmq", "prometheus", "grafana", "node-exporter",
    "nvidia", "nvidia-persistenced", "dcgm", "corehours",
})
RESERVED_BEGINNINGS = ("systemd-", "corehours-", "nvidia-")


class NodeState(StrEnum):
    """Where a node stands."""

    AVAILABLE = "available"
    """It may be given to somebody."""
    DRAINING = "draining"
    """Whoever holds it keeps it to the end; nobody gets it after that."""
    MAINTENANCE = "maintenance"
    """It is being worked on, or was just added and not opened yet."""
    QUARANTINED = "quarantined"
    """Something on it does not fit our books, or its host key changed: nobody gets it until somebody looked."""
    RETIRED = "retired"
    """It is gone. Its history stays."""


MOVES: dict[NodeState, frozenset[NodeState]] = {
    NodeState.AVAILABLE: frozenset({NodeState.DRAINING, NodeState.MAINTENANCE, NodeState.QUARANTINED, NodeState.RETIRED}),
    NodeState.DRAINING: frozenset({NodeState.AVAILABLE, NodeState.MAINTENANCE, NodeState.QUARANTINED, NodeState.RETIRED}),
    NodeState.MAINTENANCE: frozenset({NodeState.AVAILABLE, NodeState.QUARANTINED, NodeState.RETIRED}),
    NodeState.QUARANTINED: frozenset({NodeState.MAINTENANCE, NodeState.RETIRED}),
    NodeState.RETIRED: frozenset(),
}


class BadNode(DomainError):
    """This node cannot be kept."""

    code = "bad_node"


class BadTenantName(DomainError):
    """This name cannot be a user's on a node."""

    code = "bad_tenant_name"


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """How a node is reached, and the key it must show there. Raises BadNode."""

    name: str
    host: str
    port: int
    host_key: PublicKey

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise BadNode(f"{self.name!r} is no name: small letters, digits, dots and dashes, at most 63.")
        check_place(self.host, self.port)
        if self.host_key.kind is not KeyKind.ED25519:
            raise BadNode(f"A node is known by its {KeyKind.ED25519} key, and this one is {self.host_key.kind}.")


@dataclass(frozen=True, slots=True)
class Node:
    """A node with its GPUs: `gpu_model` in its driver's words, `rate_model` as rate cards write it, `memory_mib` per GPU
    (None where the driver does not know it). `per_user` is how many of its model one person may hold at once,
    `minimum_balance_micro` what a wallet must hold to begin; None where the site's rule holds. `clock_offset_ms` is how far its
    clock was ahead at `tested_at`."""

    id: str
    site: str
    address: NodeAddress
    gpu_model: str
    gpu_count: int
    memory_mib: int | None
    rate_model: str
    state: NodeState
    reason: str = ""
    per_user: int | None = None
    minimum_balance_micro: int | None = None
    clock_offset_ms: int | None = None
    tested_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.gpu_count < 1:
            raise BadNode("It has no GPU.")
        if not RATE_MODEL.fullmatch(self.rate_model):
            raise BadNode(f"{self.rate_model!r} is no model of a rate card; they are written in small letters, such as a100.")

    @property
    def free_to_take(self) -> bool:
        """True when it may be given to somebody, as far as its state goes."""
        return self.state is NodeState.AVAILABLE


def check_place(host: str, port: int) -> None:
    """Refuse what is neither a host name nor an IP address, or no port."""
    if not HOST.fullmatch(host) and not _is_ip(host):
        raise BadNode(f"{host[:100]!r} is neither a host name nor an IP address.")
    if not 1 <= port <= 65535:
        raise BadNode(f"{port} is no port: they go from 1 to 65535.")


def check_tenant_name(name: str) -> str:
    """The name, when it may be a user's on a node. Raises BadTenantName."""
    if not TENANT.fullmatch(name):
        raise BadTenantName(f"{name[:64]!r}: 2 to 31 small letters, digits, - and _, a letter first, a letter or digit last.")
    if name in RESERVED or name.startswith(RESERVED_BEGINNINGS):
        raise BadTenantName(f"{name!r} is kept for the system.")
    return name


def tenant_name(name: str, user_id: int) -> str:
    """What somebody is called on nodes: their name here where it may be one there, else a likeness of it with their number. No
    two people ever share one: what looks like a likeness gets a number, too."""
    try:
        if not NUMBERED.search(name):
            return check_tenant_name(name)
    except BadTenantName:
        pass
    likeness = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")
    return check_tenant_name(f"{'u' if not likeness[:1].isalpha() else ''}{likeness}"[:18].rstrip("-_") + f"_{user_id}")


def check_move(node: str, was: NodeState, to: NodeState) -> None:
    """Refuse a move that the table does not know."""
    if to not in MOVES[was]:
        raise IllegalMove(f"Node {node} is {was} and cannot become {to}.")


def _is_ip(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host)) and "%" not in host
    except ValueError:
        return False
