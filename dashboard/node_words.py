"""GPU nodes in words: what a node has, where an allocation stands, how to log in. Draws nothing."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from dashboard import words
from engine.allocations import Allocation, AllocationState
from engine.nodes import BadNode, Node
from engine.provisioning import Step

MAKERS = re.compile(r"\b(nvidia|geforce|tesla|quadro)\b\s*", re.IGNORECASE)
PACKAGING = re.compile(r"[- ](sxm\d?|pcie|hbm\d\w?|nvl|\d+ ?gb).*$", re.IGNORECASE)
STANDS = {
    AllocationState.REQUESTED: "It is asked for; nothing is charged yet.",
    AllocationState.PROVISIONING: "Your login is being set up; nothing is charged yet.",
    AllocationState.ACTIVE: "You can work on it, and it is charged.",
    AllocationState.SUSPENDED: "The node is out of reach: it is not charged until it answers again.",
    AllocationState.STOPPING: "It is over and charged to its end; the node is being cleaned.",
    AllocationState.CLEANUP_FAILED: "It is over and charged to its end. Cleaning the node is tried again.",
    AllocationState.RELEASED: "It is over; nothing of it is left on the node.",
    AllocationState.FAILED: "The node could not be set up; nothing was charged.",
}
STEPS = {
    Step.MARK: "Mark the node with this allocation", Step.ACCOUNT: "Make the user, closed", Step.KEY: "Write the key",
    Step.OPEN: "Open the account", Step.CLOSE: "Close the account", Step.UNKEY: "Remove the key",
    Step.END: "End what runs as the user", Step.UNMARK: "See that nothing is left, take the mark away",
}
TERMS = {"until I release it": None, "1 hour": 1, "4 hours": 4, "8 hours": 8, "1 day": 24, "3 days": 72, "1 week": 168}
IDLE = {"tell me only": None, "release it after 30 minutes": 30, "release it after 1 hour": 60, "release it after 4 hours": 240}


def model(node: Node) -> str:
    """A GPU as people call it: `A100`, `RTX 4090`."""
    return PACKAGING.sub("", MAKERS.sub("", node.gpu_model)).strip() or node.gpu_model


def gpus(node: Node) -> str:
    """`4 × A100 80 GiB`; without memory where its driver does not know it."""
    memory = f" {-(-node.memory_mib // 1024)} GiB" if node.memory_mib else ""
    return f"{node.gpu_count} × {model(node)}{memory}"


def whole_number(text: str) -> int | None:
    """What was typed into a field for a count; None where nothing was."""
    if not text.strip():
        return None
    if not text.strip().isascii() or not text.strip().isdigit() or not 0 < int(text) < 10_000:
        raise BadNode(f"{text[:20]!r} is no number of nodes; one is 2.")
    return int(text)


def ssh_command(node: Node, allocation: Allocation, key_file: str = "") -> str:
    """What its holder types to log in."""
    port = "" if node.address.port == 22 else f"-p {node.address.port} "
    return f"ssh {f'-i {key_file} ' if key_file else ''}{port}{allocation.tenant}@{node.address.host}"


def lasts(seconds: int | None) -> str:
    """`5 h 02 m`; – where nothing burns."""
    return words.duration(seconds)


def lasts_until(seconds: int | None, now: datetime) -> str:
    """`28 Nov 19:04, in 5 h 02 m`; in words where nothing burns."""
    if seconds is None:
        return "for good: nothing is charged"
    if seconds > 3650 * 86400:
        return "more than ten years"
    return f"{words.moment(now + timedelta(seconds=seconds), now)}, in {words.duration(seconds)}"


def held_for(allocation: Allocation, now: datetime) -> str:
    """For how long it has run, or ran; – before it began."""
    if allocation.active_at is None:
        return words.NOTHING
    return words.duration(int(((allocation.stopped_at or now) - allocation.active_at).total_seconds()))


def terms(allocation: Allocation, now: datetime) -> str:
    """What was agreed of its end and of idle GPUs."""
    end = f"ends {words.moment(allocation.until_at, now)}" if allocation.until_at else "no agreed end"
    idle = f"released after {words.duration(60 * allocation.idle_minutes)} idle" if allocation.idle_minutes else "stays when idle"
    return f"{end} · {idle}"
