"""What the sidecar's routes share: store, providers, worker, metrics, and how blocking work leaves the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request

from data.postgres.health import TROUBLE
from data.postgres.shelves.inbox import NewEvent
from data.postgres.store import Store
from data.settings import Settings
from engine.errors import DomainError
from engine.ports import PaymentProvider, Provisioner
from webhooks.intake import STORE_SECONDS, Intake
from webhooks.log import say
from webhooks.metrics import Metrics
from webhooks.outbox import OutboxWorker
from webhooks.worker import Worker

T = TypeVar("T")
THREADS = 16


class Unavailable(DomainError):
    """The database does not answer: try again soon."""

    code, status = "unavailable", 503


@dataclass(frozen=True, slots=True)
class Sidecar:
    """One per process. `own_url` is where this process itself listens."""

    settings: Settings
    store: Store
    providers: dict[str, PaymentProvider]
    metrics: Metrics
    worker: Worker
    outbox: OutboxWorker
    intake: Intake
    own_url: str
    provisioner: Provisioner | None = None
    on_nodes: OutboxWorker | None = None
    limiter: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(THREADS))

    async def in_thread(self, work: Callable[[], T], seconds: float = 10) -> T:
        """Run blocking `work` off the event loop; an outage, or no answer in time, is Unavailable."""
        return await self.answered(to_thread.run_sync(work, abandon_on_cancel=True, limiter=self.limiter), seconds)

    async def answered(self, work: Awaitable[T], seconds: float) -> T:
        """What the database answers; an outage, or no answer in time, is Unavailable."""
        try:
            async with asyncio.timeout(seconds):
                return await work
        except (*TROUBLE, TimeoutError) as error:
            raise _unavailable(error, seconds) from error

    async def kept(self, event: NewEvent) -> bool:
        """True once the event is durable, False when it was before; an outage, or no answer in time, is Unavailable."""
        try:
            return await self.intake.keep(event)
        except (*TROUBLE, TimeoutError) as error:
            raise _unavailable(error, STORE_SECONDS) from error


def _unavailable(error: BaseException, seconds: float) -> Unavailable:
    """Says what is wrong."""
    if isinstance(error, TimeoutError):
        say("database.slow", seconds=seconds)
    else:
        say("database.trouble", error=type(error).__name__, detail=str(getattr(error, "orig", error))[:300])
    return Unavailable()


def sidecar_of(request: Request) -> Sidecar:
    """The sidecar that serves this request."""
    sidecar: Sidecar = request.app.state.sidecar
    return sidecar
