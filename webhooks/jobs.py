"""What the outbox's handlers work with: the store, the providers, and the question whether a job is still theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from data.postgres.store import Store
from engine.outbox import Job, JobTrouble
from engine.ports import PaymentProvider

ACTOR = "worker"


@dataclass(frozen=True, slots=True)
class Context:
    """What handlers work with."""

    store: Store
    providers: Mapping[str, PaymentProvider]

    def provider(self, name: str) -> PaymentProvider:
        """A provider by name; one that this sidecar does not have is trouble that may pass."""
        if name not in self.providers:
            raise JobTrouble(f"No provider {name!r} is loaded in this sidecar.")
        return self.providers[name]

    def hold(self, job: Job) -> None:
        """Just before a call that must not be made twice at once: refuse when the job is not ours any more."""
        if not self.store.run(lambda tx: tx.outbox.hold(job), actor=ACTOR):
            raise Lost()


class Lost(JobTrouble):
    """Another worker has the job by now."""


Handler = Callable[[Job, Context], str | None]      # the answer, if any, is what became of it, in plain words
