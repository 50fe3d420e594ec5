"""The sidecar's hands on a small site: its outbox is emptied on demand, and the nodes go wrong where a test asks for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from data.postgres.store import PostgresTransaction
from engine.allocations import Allocation
from engine.billing import BillingRun
from engine.nodes import Node, NodeAddress
from engine.notices import NoticeKind
from engine.outbox import Job
from engine.ports import Provisioner
from engine.provisioning import Holding, Step, Trouble
from engine.users import Person
from tests.allocations.conftest import Lab
from webhooks.billing_loop import BillingLoop
from webhooks.metrics import Metrics
from webhooks.outbox import OutboxWorker
from webhooks.provisioners.dummy_site import DummyNode, Fault


@dataclass
class Hands:
    """A sidecar's outbox."""

    lab: Lab
    provisioner: Provisioner
    worker: OutboxWorker = field(init=False)

    def __post_init__(self) -> None:
        self.worker = OutboxWorker(self.lab.store, {}, Metrics({}, dict), provisioner=self.provisioner)  # type: ignore[arg-type]

    def try_once(self) -> None:
        """All that is due."""
        while self.worker.step():
            pass

    def work(self, times: int = 9) -> None:
        """All that is due, and what waits after a failure, so often."""
        for _ in range(times):
            if not self.lab.run(no_pause):
                return
            self.try_once()

    def breaks(self, node: Node, trouble: Trouble, step: Step | None = None, acted: bool = False) -> None:
        """From now on, on a dummy."""
        with self.lab.provisioner.site.opened() as site:
            site.faults[node.address.name] = Fault(trouble, step, acted)

    def mend(self) -> None:
        """Nothing goes wrong any more."""
        with self.lab.provisioner.site.opened() as site:
            site.faults.clear()

    def there(self, node: Node) -> DummyNode:
        """A dummy as it is."""
        with self.lab.provisioner.site.opened() as site:
            return site.nodes.setdefault(node.address.name, DummyNode())

    def on(self, node: Node) -> list[Holding]:
        """What of ours is on a node that does not go wrong."""
        return [one for one in self.provisioner.inspect(_now(self.lab, node)) if not one.at_rest]

    def node(self, node: Node) -> Node:
        """As it stands in the books."""
        found = self.lab.store.read(lambda tx: tx.nodes.get(node.id))
        assert found is not None
        return found

    def job(self, allocation: Allocation, kind: str) -> Job:
        """Its job, as it stands."""
        return next(job for job in self.lab.store.read(lambda tx: tx.outbox.newest()) if (job.kind, job.key) == (kind, allocation.id))

    def told(self, person: Person) -> list[NoticeKind]:
        """What somebody was told, in order."""
        return [notice.kind for notice in reversed(self.lab.store.read(lambda tx: tx.notices.of_user(person.id)))]


def _now(lab: Lab, node: Node) -> NodeAddress:
    found = lab.store.read(lambda tx: tx.nodes.get(node.id))
    assert found is not None
    return found.address


def bill(lab: Lab) -> BillingRun | None:
    """A turn of the billing loop on a machine whose clock is right."""
    now = lab.store.read(lambda tx: tx.now)
    return BillingLoop(lab.store, clock=lambda: now).turn()


def no_pause(tx: PostgresTransaction) -> int:
    """What waits is due, and what a dead worker had in hand is free; how many."""
    return (tx.outbox.execute("update outbox set due_at = now() where state = 'queued'")
            + tx.outbox.execute("update outbox set leased_until = now() where state = 'working'"))
