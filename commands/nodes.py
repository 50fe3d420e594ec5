"""GPU nodes on the command line: the inventory, adding one after its host key was compared, testing it, moving it.

Nodes are spoken to by the provisioner of this installation, as a sidecar does, between transactions.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from commands.installation import installation
from commands.output import table
from data.postgres.store import PostgresTransaction, Store
from data.settings import load
from engine.allocations import Allocation
from engine.errors import DomainError
from engine.nodes import BadNode, Node, NodeAddress, NodeState, check_place
from engine.policy import OPERATOR
from engine.ports import Provisioner
from engine.services.nodes import add_node, get_node, move_node, note_probe
from webhooks.provisioners import load_provisioner

HELP = "nodes: the GPU nodes and who holds them; add, open, drain, maintenance, retire, test"
Answer = dict[str, object] | list[dict[str, object]]
MOVES = {"open": (NodeState.AVAILABLE, "give it to people from now on"),
         "drain": (NodeState.DRAINING, "who holds it keeps it, nobody gets it after that"),
         "maintenance": (NodeState.MAINTENANCE, "nobody gets it until it is opened again"),
         "retire": (NodeState.RETIRED, "it is gone for good; its history stays")}


class NoProvisioner(DomainError):
    """No provisioner is set up here."""

    code = "no_provisioner"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nodes`."""
    verbs = parser.add_subparsers(dest="verb")
    parser.add_argument("--retired", action="store_true", help="those that are gone too")
    add = verbs.add_parser("add", help="look at a node and add it; without --host-key its key is shown and nothing is done")
    add.add_argument("name", help="small letters, digits, dots and dashes: gpu-a01")
    add.add_argument("host", help="host name or IP address")
    add.add_argument("--port", type=int, default=22)
    add.add_argument("--site", default="main")
    add.add_argument("--model", default="", help="as rate cards write it, such as a100; default: made of its driver's name")
    add.add_argument("--host-key", metavar="SHA256:…", default="", help="the fingerprint, as the node's own console says it")
    test = verbs.add_parser("test", help="read its GPUs and clock, by its pinned key")
    test.add_argument("name")
    for verb, (_, words) in MOVES.items():
        move = verbs.add_parser(verb, help=words)
        move.add_argument("name")
        move.add_argument("--reason", required=verb != "open", default="")
        move.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    for parent in (parser, add, test):
        parent.add_argument("--json", action="store_true", **({} if parent is parser else {"default": argparse.SUPPRESS}))


def run(args: argparse.Namespace) -> int:
    """Do what the verb says; without one, list."""
    with installation() as store:
        answer, words = VERBS.get(args.verb or "list", _move)(store, args)
    print(json.dumps(answer) if args.json else words)
    return 0


def _list(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    def read(tx: PostgresTransaction) -> tuple[list[Node], dict[str, Allocation]]:
        return tx.nodes.all(args.retired), {one.node_id: one for one in tx.allocations.live()}
    nodes, held = store.read(read)
    rows = [(one.address.name, one.site, f"{one.address.host}:{one.address.port}", f"{one.gpu_count} × {one.gpu_model}", one.rate_model,
             _standing(one, held.get(one.id)), held[one.id].holder if one.id in held else "–", one.reason[:40]) for one in nodes]
    words = table(("Node", "Site", "Address", "GPUs", "Model", "State", "Held by", "Why"), rows) if rows else "No nodes yet."
    return [_facts(one, held.get(one.id)) for one in nodes], words


def _add(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    check_place(args.host, args.port)
    provisioner = _provisioner()
    key = provisioner.host_key(args.host, args.port)
    if not args.host_key:
        return {"host": args.host, "port": args.port, "host_key": key.fingerprint}, (
            f"{args.host}:{args.port} shows {key.fingerprint}.\nCompare that with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on"
            f" its own console, then say it again with --host-key {key.fingerprint}")
    if key.fingerprint != args.host_key:
        raise BadNode(f"{args.host}:{args.port} shows {key.fingerprint}, not {args.host_key}.")
    address = NodeAddress(args.name, args.host, args.port, key)
    probe = provisioner.probe(address)
    node = store.run(lambda tx: add_node(tx, address, args.site, probe, OPERATOR, args.model), actor=OPERATOR.name)
    words = f"{args.name} has {node.gpu_count} × {node.gpu_model} and is in maintenance: `nodes open {args.name}` opens it."
    return _facts(node, None), words


def _test(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    node = store.read(lambda tx: get_node(tx, args.name))
    probe = _provisioner().probe(node.address)
    tested = store.run(lambda tx: note_probe(tx, args.name, probe, OPERATOR), actor=OPERATOR.name)
    missing = f", lacks {', '.join(probe.missing)}" if probe.missing else ""
    return _facts(tested, None) | {"missing": list(probe.missing)}, (
        f"{args.name} has {tested.gpu_count} × {tested.gpu_model}, its clock is {tested.clock_offset_ms} ms ahead of ours{missing}.")


def _move(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    node = store.run(lambda tx: move_node(tx, args.name, MOVES[args.verb][0], args.reason, OPERATOR), actor=OPERATOR.name)
    return _facts(node, None), f"{args.name} is {node.state}."


def _provisioner() -> Provisioner:
    found = load_provisioner(load())
    if found is None:
        raise NoProvisioner("Set COREHOURS_NODE_KEY_FILE to the file of our management key (docs/nodes.md).")
    return found


VERBS: dict[str, Callable[[Store, argparse.Namespace], tuple[Answer, str]]] = {"list": _list, "add": _add, "test": _test}


def _standing(node: Node, held: Allocation | None) -> str:
    if node.state is not NodeState.AVAILABLE:
        return str(node.state)
    return "free" if held is None else "allocated"


def _facts(node: Node, held: Allocation | None) -> dict[str, object]:
    address = node.address
    return {"id": node.id, "name": address.name, "site": node.site, "host": address.host, "port": address.port,
            "host_key": address.host_key.fingerprint, "gpu_model": node.gpu_model, "gpu_count": node.gpu_count,
            "memory_mib": node.memory_mib, "rate_model": node.rate_model, "state": str(node.state), "reason": node.reason,
            "clock_offset_ms": node.clock_offset_ms, "tested_at": node.tested_at.isoformat() if node.tested_at else None,
            "allocation": held.id if held else None, "held_by": held.holder if held else None}
