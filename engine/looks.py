"""A look at a node: the key it shows, and once somebody compared that with the node's own console, what it has. Asked for by a person,
done by a sidecar, read by the person. Pure: speaks to no node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from engine.gpu_readings import ClockOffset, GpuReading
from engine.nodes import NodeAddress
from engine.provisioning import Probe
from engine.ssh_keys import PublicKey

LOOK_JOB, TEST_JOB = "node.look", "node.test"


class Stage(StrEnum):
    """How far a look is."""

    ASKING = "asking"
    """A sidecar asks which key is shown there."""
    SHOWN = "shown"
    """The key is known and waits for somebody to compare it."""
    PROBING = "probing"
    """A sidecar reads what the node has."""
    SEEN = "seen"
    """That is known."""
    TROUBLE = "trouble"
    """It could not be seen."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at `host`:`port`, called `name`; `node_id` where it tests a node that we have."""

    id: str
    node_id: str | None
    name: str
    host: str
    port: int
    asked_by: str
    asked_at: datetime
    host_key: PublicKey | None = None
    confirmed_by: str | None = None
    probe: Probe | None = None
    trouble: str = ""
    done_at: datetime | None = None

    @property
    def stage(self) -> Stage:
        """How far it is."""
        if self.done_at is None:
            return Stage.ASKING if self.confirmed_by is None else Stage.PROBING
        if self.trouble:
            return Stage.TROUBLE
        return Stage.SHOWN if self.probe is None else Stage.SEEN

    @property
    def address(self) -> NodeAddress:
        """The node with the key that somebody confirmed."""
        if self.host_key is None or self.confirmed_by is None:
            raise ValueError(f"nobody confirmed the key of look {self.id}")
        return NodeAddress(self.name, self.host, self.port, self.host_key)


def probe_facts(probe: Probe) -> dict[str, Any]:
    """A probe as it is kept."""
    return {"gpus": [asdict(one) for one in probe.gpus], "clock": asdict(probe.clock), "missing": list(probe.missing)}


def probe_of(facts: Mapping[str, Any]) -> Probe:
    """A probe as it was kept."""
    return Probe(tuple(GpuReading(**one) for one in facts["gpus"]), ClockOffset(**facts["clock"]), tuple(facts["missing"]))
