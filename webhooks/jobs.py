"""What the outbox's handlers work with: the store, the providers, the nodes, and the question whether a job is still theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from data.postgres.store import Store
from engine.outbox import Job, JobTrouble
from engine.ports import PaymentProvider, Provisioner

ACTOR = "worker"


@dataclass(frozen=True, slots=True)
class Context:
    """What handlers work with."""

    store: Store
    providers: Mapping[str, PaymentProvider]
    provisioner: Provisioner | None = None

    def provider(self, name: str) -> PaymentProvider:
        """A provider by name; one that this sidecar does not have is trouble that may pass."""
        if name not in self.providers:
            raise JobTrouble(f"No provider {name!r} is loaded in this sidecar.")
        return self.providers[name]

    def nodes(self) -> Provisioner:
        """What sets nodes up; a sidecar without it is trouble that may pass."""
        if self.provisioner is None:
            raise JobTrouble("No provisioner is loaded in this sidecar: set COREHOURS_PROVISIONER and COREHOURS_NODE_KEY_FILE.")
        return self.provisioner

    def hold(self, job: Job) -> None:
        """Just before a call that must not be made twice at once: refuse when the job is not ours any more."""
        if not self.store.run(lambda tx: tx.outbox.hold(job), actor=ACTOR):
            raise Lost()


class Lost(JobTrouble):
    """Another worker has the job by now."""


Handler = Callable[[Job, Context], str | None]      # the answer, if any, is what became of it, in plain words
