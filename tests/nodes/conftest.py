"""Real nodes, one set for a worker, and the provisioners with what is behind them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.nodes.rigs import DummyRig, Rig, SshRig
from tests.rigs.debian import NotHere
from tests.rigs.gpu_nodes import GpuNodes, gpu_nodes
from webhooks.provisioners.dummy import DummyProvisioner

NODES = 5
_turns = count()


@pytest.fixture(scope="session")
def nodes() -> Iterator[GpuNodes]:
    """Five sshd nodes, two of them with PAM."""
    try:
        with gpu_nodes(NODES) as running:
            yield running
    except NotHere as why:
        pytest.skip(str(why))


@pytest.fixture(params=["ssh", "dummy", "dummy in a file"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Each provisioner with a node that nobody is on; real ones by turns, so with PAM and without."""
    made: Rig
    if request.param == "ssh":
        running: GpuNodes = request.getfixturevalue("nodes")
        made = SshRig(running, running.nodes[next(_turns) % NODES])
    else:
        made = DummyRig(DummyProvisioner(tmp_path / "nodes.json" if "file" in request.param else None))
    yield made
    made.close()
    _leave_empty(made)


def _leave_empty(rig: Rig) -> None:
    """A test that gave up may have left somebody on a node that the next test needs."""
    if isinstance(rig, SshRig):
        rig.at.forget()
