"""The door for webhooks: size, signature, strict reading, our mode, one row, one commit, then 200. It decides nothing.

What it answers: 200 `{"status":"stored"}` or `{"status":"duplicate"}` once the event is durable; 400 unreadable, 401 forged,
404 unknown provider, 405 not posted, 408 too slow, 413 too large, 415 packed, 422 of the other mode or another account, 503 database
down. What is refused is counted by its reason, not stored.

It stands before the routes of the application and speaks ASGI itself: what a provider waits for goes through as few hands as can be.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from data.failpoints import hit
from data.postgres.shelves.inbox import NewEvent
from engine.errors import DomainError
from engine.payments import BadEvent, ProviderEvent, Unwelcome, WrongMode
from engine.ports import PaymentProvider
from webhooks.sidecar import Sidecar

PATH = "/webhooks/{provider}"
BEFORE = PATH.partition("{")[0]
MOST_BYTES = 256 * 1024         # providers' largest events have some ten kilobytes
BODY_SECONDS = 5.0              # they come in one piece
ANSWERS = {True: b'{"status":"stored"}', False: b'{"status":"duplicate"}'}


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


class NotPosted(DomainError):
    """Webhooks are posted here, nothing else is."""

    code, status = "not_posted", 405


class Door:
    """Answers what is sent to PATH; everything else is passed on to `app`."""

    def __init__(self, app: ASGIApp, sidecar: Sidecar) -> None:
        self.app, self.sidecar = app, sidecar
        self._counted = cache(sidecar.metrics.events.labels)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        name = named(scope)
        if not name:
            await self.app(scope, receive, send)
            return
        scope["template"] = PATH
        try:
            status, body = 200, ANSWERS[await self._take(name, scope, receive)]
        except DomainError as refusal:
            status, body = refusal.status, json.dumps({"error": refusal.code, "detail": refusal.sentence}).encode()
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        if status == NotPosted.status:
            headers.append((b"allow", b"POST"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _take(self, name: str, scope: Scope, receive: Receive) -> bool:
        """True once it is kept, False when it was before. Counts what became of it."""
        if scope["method"] != "POST":
            raise NotPosted()
        provider = self.sidecar.providers.get(name)
        if provider is None:
            self._counted("unknown", "unknown").inc()
            raise UnknownProvider()
        try:
            stored = await self._keep(scope, receive, provider)
        except DomainError as refusal:
            self._counted(name, refusal.counted if isinstance(refusal, Unwelcome) else "unavailable").inc()
            raise
        self._counted(name, "stored" if stored else "duplicate").inc()
        return stored

    async def _keep(self, scope: Scope, receive: Receive, provider: PaymentProvider) -> bool:
        body = await read_body(scope["headers"], receive)
        event = provider.read_event(Headers(scope=scope), body, datetime.now(UTC))
        if event.livemode != self.sidecar.settings.livemode:
            raise WrongMode()
        hit("inbox.storing")
        stored = await self.sidecar.kept(new_event(event, body))
        hit("inbox.stored")
        return stored


def named(scope: Scope) -> str:
    """The provider that a request names in PATH; empty for one that is no webhook."""
    path: str = scope["path"] if scope["type"] == "http" else ""
    name = path[len(BEFORE):] if path.startswith(BEFORE) else ""
    return "" if "/" in name else name


async def read_body(headers: Sequence[tuple[bytes, bytes]], receive: Receive) -> bytes:
    """The raw body, at most MOST_BYTES; what is larger is refused without reading on."""
    _check_head(headers)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise BadEvent("It broke off before its end.", "broken_off")
                body += message.get("body", b"")
                if len(body) > MOST_BYTES:
                    raise _too_large()
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise TooSlow(f"It may take {BODY_SECONDS:g} seconds.", "slow") from None


def _check_head(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuse what is packed, or too large by its own word."""
    for name, value in headers:
        if name == b"content-encoding" and value.lower() != b"identity":
            raise Packed("", "packed")
        if name == b"content-length" and value.isdigit() and int(value[:20]) > MOST_BYTES:
            raise _too_large()


def _too_large() -> TooLarge:
    return TooLarge(f"At most {MOST_BYTES} bytes are read.", "oversized")


def new_event(event: ProviderEvent, body: bytes) -> NewEvent:
    """The event as it is kept."""
    return NewEvent(event.provider, event.livemode, event.key, str(event.kind), body)
