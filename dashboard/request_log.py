"""One JSON object a line on stdout for every request, in the sidecar's words. No query string, no cookie, no name."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.gate import address_of

QUIET = ("/static/", "/app/static/", "/_stcore/health", "/_stcore/host-config", "/healthz", "/media/", "/component/")

LEFT = 499                              # who asked did not wait for the answer


class RequestLog:
    """ASGI middleware that writes the line when the answer, or the websocket, is over."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, remember its status, write its line."""
        if scope["type"] not in ("http", "websocket") or scope["path"].startswith(QUIET) or "/_stcore/h" in scope["path"]:
            await self.app(scope, receive, send)
            return
        begun, status = time.monotonic(), 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
            elif message["type"] in ("websocket.accept", "websocket.close"):
                status = 101 if message["type"] == "websocket.accept" or status == 101 else 403
            await send(message)

        try:
            await self.app(scope, receive, watched)
            status = status or LEFT
        finally:
            say("request", method=scope.get("method", "WEBSOCKET"), path=scope["path"], status=status or 500,
                ms=round((time.monotonic() - begun) * 1000, 1), address=address_of(scope))


def say(event: str, **facts: object) -> None:
    """Write one line; `facts` are JSON values."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    print(json.dumps({"at": at, "event": event, **facts}, ensure_ascii=True), file=sys.stdout, flush=True)
