"""The door for webhooks: size, signature, strict reading, one row, one commit, then 200. It decides nothing.

What it answers: 200 `{"status":"stored"}` or `{"status":"duplicate"}` once the event is durable; 400 unreadable,
401 forged, 404 unknown provider, 413 too large, 503 database down. Forged bodies are counted, not stored.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from data.failpoints import hit
from data.postgres.store import Store
from engine.errors import DomainError
from engine.payments import BadEvent, BadSignature, ProviderEvent
from engine.ports import PaymentProvider
from webhooks.sidecar import Sidecar, sidecar_of

MOST_BYTES = 64 * 1024
BODY_SECONDS = 10
STORE_SECONDS = 8


class TooLarge(DomainError):
    """The body is too large."""

    code, status = "too_large", 413


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
        sidecar.metrics.events.labels(name, _result(refusal)).inc()
        raise
    sidecar.metrics.events.labels(name, result).inc()
    return JSONResponse({"status": result})


async def _take(request: Request, sidecar: Sidecar, provider: PaymentProvider) -> str:
    body = await read_body(request)
    event = provider.read_event(request.headers, body, datetime.now(UTC))
    hit("inbox.storing")
    stored = await sidecar.in_thread(lambda: store_event(sidecar.store, event, body), STORE_SECONDS)
    hit("inbox.stored")
    sidecar.worker.wake()
    return "stored" if stored else "duplicate"


async def read_body(request: Request) -> bytes:
    """The raw body, at most MOST_BYTES; what is larger is refused without reading on."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > MOST_BYTES:
        raise TooLarge(f"At most {MOST_BYTES} bytes are read.")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise TooLarge(f"At most {MOST_BYTES} bytes are read.")
    except (ClientDisconnect, TimeoutError):
        raise BadEvent("It broke off before its end.") from None
    return bytes(body)


def store_event(store: Store, event: ProviderEvent, body: bytes) -> bool:
    """Keep the event and commit; False when it was kept before."""
    return store.run(lambda tx: tx.inbox.store(event.provider, event.livemode, event.key, str(event.kind), body))


def _result(refusal: DomainError) -> str:
    if isinstance(refusal, BadSignature):
        return "forged"
    if isinstance(refusal, TooLarge):
        return "oversized"
    return "malformed" if refusal.status < 500 else "unavailable"
