"""The sidecar is killed at every place of a node's work, before and after its commit; whoever comes next ends it, and the books and
the nodes are those of a life in which nobody died."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from data.failpoints import NAMES
from data.postgres.store import Store, connect
from data.settings import Settings
from engine.allocations import AllocationState
from engine.money import parse_micro
from engine.nodes import NodeState
from engine.usage import Asked
from tests.allocations.conftest import Lab
from tests.allocations.life import world
from tests.conftest import AUDIT_KEY, ROOT

PLACES = [name for name in NAMES if name.startswith("node.")]
USUAL = PLACES[::19]


@dataclass
class Lives:
    """The process that forks lives, and a world for each."""

    server_url: str
    template: str
    folder: Path
    process: subprocess.Popen[str]

    def world(self) -> tuple[Lab, Path]:
        name = f"life_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name} template {self.template} strategy file_copy")
        home = self.folder / name
        home.mkdir()
        return world(Store(connect(self._url(name)), Settings(env="development", home=home, audit_key=AUDIT_KEY,
                                                             database_url=self._url(name))), home), home

    def live(self, lab: Lab, home: Path, place: str = "-") -> int:
        assert self.process.stdin and self.process.stdout
        url = lab.store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        print(url, home, place, file=self.process.stdin, flush=True)
        while line := self.process.stdout.readline():
            if line.endswith(" exit\n"):
                return int(line.split()[0])
        raise AssertionError("the process ended")

    def over(self, lab: Lab) -> None:
        name = lab.store.engine.url.database
        lab.store.engine.dispose()
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)")

    def _url(self, database: str) -> str:
        return sa.make_url(self.server_url).set(database=database).render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def lives(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    process = subprocess.Popen([sys.executable, "-m", "tests.allocations.life"], cwd=ROOT, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    yield Lives(server_url, template, tmp_path_factory.mktemp("lives"), process)
    assert process.stdin
    process.stdin.close()
    process.wait(20)


def ended_well(lab: Lab) -> None:
    """One was released and paid for, one failed and cost nothing; nothing is left on any node."""
    works, never, *others = sorted(lab.store.read(lambda tx: tx.allocations.newest()), key=lambda one: one.id)
    assert (works.state, works.charged_micro, works.billed_seconds) == (AllocationState.RELEASED, parse_micro("10"), 1800)
    assert (never.state, never.charged_micro) == (AllocationState.FAILED, 0)
    assert [one.state for one in others] == [AllocationState.RELEASED] * 2
    assert lab.balance("alice") == parse_micro("90")
    assert lab.store.read(lambda tx: tx.usage.listed(Asked()))["cost_micro"].sum() == lab.earned()
    assert lab.earned() == parse_micro("10") + sum(one.charged_micro for one in others) == parse_micro("110") - lab.balance("bob")
    with lab.provisioner.site.opened() as site:
        assert len(site.nodes) == 4 and not any(node.marks for node in site.nodes.values())
        assert not any(user.open or user.key for node in site.nodes.values() for user in node.users.values())
    assert {node.address.name: node.state for node in lab.store.read(lambda tx: tx.nodes.all())} == {
        "gpu-1": NodeState.AVAILABLE, "gpu-2": NodeState.QUARANTINED, "gpu-3": NodeState.AVAILABLE, "gpu-4": NodeState.QUARANTINED}
    assert lab.broken() == {}


def test_a_quiet_life_passes_every_place(lives: Lives) -> None:
    """Else a place would be listed that no test kills."""
    lab, home = lives.world()
    assert lives.live(lab, home) == 0
    ended_well(lab)
    assert set(PLACES) <= set((home / "passed").read_text().split())
    lives.over(lab)


@pytest.mark.parametrize("place", [pytest.param(name, marks=[] if name in USUAL else pytest.mark.long) for name in PLACES])
def test_killed_there_it_ends_as_if_nobody_had_died(lives: Lives, place: str) -> None:
    lab, home = lives.world()
    assert lives.live(lab, home, place) == -signal.SIGKILL
    assert lives.live(lab, home, "nowhere") == 0
    ended_well(lab)
    lives.over(lab)
