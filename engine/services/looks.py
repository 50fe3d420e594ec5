"""Look at a node that is to be added, and test one that we have: asked for here, done by a sidecar, one transaction each.

Two steps, so that nothing of ours reaches a machine before a person said that it is the right one: the key it shows, then what it has.
"""

from __future__ import annotations

from dataclasses import replace

from engine.errors import DomainError, IllegalMove, NotFound
from engine.ids import new_id
from engine.looks import LOOK_JOB, TEST_JOB, Look, Stage
from engine.nodes import NAME, BadNode, Node, check_place
from engine.policy import allow
from engine.ports import Transaction
from engine.provisioning import Probe
from engine.services.nodes import add_node, get_node, note_probe
from engine.services.users import find
from engine.ssh_keys import PublicKey
from engine.users import Action, Person


def ask_look(tx: Transaction, name: str, host: str, port: int, by: Person) -> Look:
    """Have a sidecar ask which host key is shown at an address, for a node that is to be called `name`."""
    allow(by, Action.MANAGE_NODES)
    if not NAME.fullmatch(name):
        raise BadNode(f"{name!r} is no name: small letters, digits, dots and dashes, at most 63.")
    check_place(host, port)
    if tx.nodes.get(name) is not None:
        raise BadNode(f"There is a node {name} already: give it another name.")
    look = Look(new_id("look", int(tx.now.timestamp() * 1000)), None, name, host, port, by.name, tx.now)
    tx.looks.add(look)
    tx.outbox.add(LOOK_JOB, f"{look.id}:key", {"look": look.id})
    return look


def get_look(tx: Transaction, id: str, by: Person, lock: bool = False) -> Look:
    """One by its id."""
    allow(by, Action.MANAGE_NODES)
    found = tx.looks.get(id, lock)
    if found is None:
        raise NotFound(f"No look {id!r}.")
    return found


def confirm_look(tx: Transaction, id: str, fingerprint: str, by: Person) -> Look:
    """Say that the key with this fingerprint is the node's own; then a sidecar reads what it has."""
    look = get_look(tx, id, by, lock=True)
    if look.stage is not Stage.SHOWN or look.host_key is None:
        raise IllegalMove(f"No key of {look.name} waits to be confirmed.")
    if look.host_key.fingerprint != fingerprint:
        raise BadNode(f"{look.name} shows {look.host_key.fingerprint}, not {fingerprint}.")
    confirmed = replace(look, confirmed_by=by.name, done_at=None)
    tx.looks.keep(confirmed)
    tx.outbox.add(LOOK_JOB, f"{look.id}:probe", {"look": look.id})
    tx.audit.record("node.key_confirmed", f"look:{look.id}", name=look.name, host=look.host, port=look.port, host_key=look.host_key.line)
    return confirmed


def ask_test(tx: Transaction, name: str, by: Person) -> Look:
    """Have a sidecar test a node that we have, by its pinned key."""
    allow(by, Action.MANAGE_NODES)
    node = get_node(tx, name)
    address = node.address
    look = Look(new_id("look", int(tx.now.timestamp() * 1000)), node.id, address.name, address.host, address.port, by.name, tx.now,
                address.host_key, by.name)
    tx.looks.add(look)
    tx.outbox.add(TEST_JOB, look.id, {"look": look.id})
    return look


def add_seen(tx: Transaction, id: str, site: str, by: Person, model: str = "") -> Node:
    """Add the node that a look has seen."""
    look = get_look(tx, id, by, lock=True)
    if look.node_id is not None or look.probe is None:
        raise IllegalMove(f"{look.name} was not looked at yet: look at it first.")
    return add_node(tx, look.address, site.strip() or "main", look.probe, by, model.strip().lower())


def note_key(tx: Transaction, id: str, key: PublicKey) -> Look:
    """A sidecar saw which key is shown."""
    return _note(tx, id, host_key=key)


def note_seen(tx: Transaction, id: str, probe: Probe) -> Look:
    """A sidecar read what the node has. A test of one that we have is noted there, too; what does not fit it is the look's trouble."""
    look = _locked(tx, id)
    trouble = ""
    if look.node_id is not None:
        try:
            note_probe(tx, look.name, probe, find(tx, look.asked_by))
        except DomainError as refusal:
            trouble = refusal.sentence
    return _note(tx, id, probe=probe, trouble=trouble)


def note_trouble(tx: Transaction, id: str, why: str) -> Look:
    """A sidecar could not see it."""
    return _note(tx, id, trouble=why)


def _locked(tx: Transaction, id: str) -> Look:
    found = tx.looks.get(id, lock=True)
    if found is None:
        raise NotFound(f"No look {id!r}.")
    return found


def _note(tx: Transaction, id: str, host_key: PublicKey | None = None, probe: Probe | None = None, trouble: str = "") -> Look:
    look = _locked(tx, id)
    noted = replace(look, host_key=host_key or look.host_key, probe=probe, trouble=trouble, done_at=tx.now)
    tx.looks.keep(noted)
    return noted
