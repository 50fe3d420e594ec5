"""The door for webhooks: size, signature, strict reading, our mode, one row, one commit, then 200. It decides nothing.

What it answers: 200 `{"status":"stored"}` or `{"status":"duplicate"}` once the event is durable; 400 unreadable, 401 forged,
404 unknown provider, 408 too slow, 413 too large, 415 packed, 422 of the other mode or another account, 503 database down.
What is refused is counted by its reason, not stored.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from data.failpoints import hit
from data.postgres.shelves.inbox import NewEvent
from engine.errors import DomainError
from engine.payments import BadEvent, ProviderEvent, Unwelcome, WrongMode
from engine.ports import PaymentProvider
from webhooks.sidecar import Sidecar, sidecar_of

MOST_BYTES = 256 * 1024         # providers' largest events have some ten kilobytes
BODY_SECONDS = 5.0              # they come in one piece
STORE_SECONDS = 8


class TooLarge(Unwelcome):
    """The body is too large."""

    code, status = "too_large", 413


class TooSlow(Unwelcome):
    """The body did not come in time."""

    code, status = "too_slow", 408


class Packed(Unwelcome):
    """The body is packed: it is signed and read as it comes."""

    code, status = "packed", 415


class UnknownProvider(DomainError):
    """No such payment provider is set up here."""

    code, status = "unknown_provider", 404


async def receive(request: Request) -> JSONResponse:
    """POST /webhooks/{provider}."""
    sidecar, name = sidecar_of(request), request.path_params["provider"]
    provider = sidecar.providers.get(name)
    if provider is None:
        sidecar.metrics.events.labels("unknown", "unknown").inc()
        raise UnknownProvider()
    try:
        result = await _take(request, sidecar, provider)
    except DomainError as refusal:
        sidecar.metrics.events.labels(name, refusal.counted if isinstance(refusal, Unwelcome) else "unavailable").inc()
        raise
    sidecar.metrics.events.labels(name, result).inc()
    return JSONResponse({"status": result})


async def _take(request: Request, sidecar: Sidecar, provider: PaymentProvider) -> str:
    body = await read_body(request)
    event = provider.read_event(request.headers, body, datetime.now(UTC))
    if event.livemode != sidecar.settings.livemode:
        raise WrongMode()
    hit("inbox.storing")
    stored = await sidecar.answered(sidecar.intake.keep(new_event(event, body)), STORE_SECONDS)
    hit("inbox.stored")
    sidecar.worker.wake()
    return "stored" if stored else "duplicate"


async def read_body(request: Request) -> bytes:
    """The raw body, at most MOST_BYTES; what is larger is refused without reading on."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Packed("", "packed")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > MOST_BYTES:
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise TooSlow(f"It may take {BODY_SECONDS:g} seconds.", "slow") from None
    except ClientDisconnect:
        raise BadEvent("It broke off before its end.", "broken_off") from None
    return bytes(body)


def _too_large() -> TooLarge:
    return TooLarge(f"At most {MOST_BYTES} bytes are read.", "oversized")


def new_event(event: ProviderEvent, body: bytes) -> NewEvent:
    """The event as it is kept."""
    return NewEvent(event.provider, event.livemode, event.key, str(event.kind), body)
