"""What every fake company shares: it listens on loopback, keeps its books, breaks as it is told, and sends webhooks.

A webhook is kept in `sent` as it would go over the wire, and delivered when the test says so: in order or not, once or often.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import requests
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Handler = Callable[[dict[str, Any], Request], Response]
HANGS_SECONDS = 30.0
TRICKLE_SECONDS = 0.05


class Fault(StrEnum):
    """How a call goes wrong. BEFORE: the company did nothing; AFTER: it did it, and the answer is lost."""

    TIMEOUT_BEFORE = "timeout before"
    TIMEOUT_AFTER = "timeout after"
    ERROR_BEFORE = "500 before"
    ERROR_AFTER = "500 after"
    TOO_MANY = "429"
    RESET_AFTER = "reset mid-body"
    SLOW_AFTER = "slow body"
    GARBLED_AFTER = "no JSON"
    KEY_REFUSED = "401"
    NO = "400"


BEFORE = {Fault.TIMEOUT_BEFORE, Fault.ERROR_BEFORE, Fault.TOO_MANY, Fault.KEY_REFUSED, Fault.NO}
STATUS = {Fault.ERROR_BEFORE: 500, Fault.ERROR_AFTER: 500, Fault.TOO_MANY: 429, Fault.KEY_REFUSED: 401, Fault.NO: 400}


@dataclass(frozen=True)
class Hook:
    """A webhook as it goes over the wire."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Company:
    """A company that is served; a fake of one adds its routes, its words for errors and its pen."""

    sent: list[Hook] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    fault: Fault | None = None
    fault_calls: int = 0
    fault_method: str = ""
    port: int = 0
    _server: uvicorn.Server | None = None
    _thread: threading.Thread | None = None

    def routes(self) -> list[Route]:
        raise NotImplementedError

    def no(self, status: int, words: str) -> Response:
        """An error in the company's own form."""
        raise NotImplementedError

    def sign(self, body: bytes, at: int) -> dict[str, str]:
        """The headers its webhooks carry."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Company:
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        config = uvicorn.Config(Breaking(Starlette(routes=self.routes()), self), log_level="critical", access_log=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listening],), daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server and self._thread
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)

    def breaks(self, fault: Fault, method: str = "", calls: int = 99) -> None:
        """The next `calls` calls, of `method` where one is named, go wrong."""
        self.fault, self.fault_method, self.fault_calls = fault, method, calls

    def mend(self) -> None:
        self.fault = None

    def due(self, method: str) -> Fault | None:
        """The fault this call is hit by."""
        if self.fault is None or self.fault_calls <= 0 or self.fault_method not in ("", method):
            return None
        self.fault_calls -= 1
        return self.fault

    def tell(self, event: dict[str, Any]) -> Hook:
        """Write a webhook, signed now."""
        body = json.dumps(event, separators=(",", ":")).encode()
        self.sent.append(Hook(self.sign(body, int(time.time())), body))
        return self.sent[-1]

    def deliver(self, url: str, copies: int = 1, shuffled: random.Random | None = None) -> list[int]:
        """Send everything in `sent` to `url`, `copies` times each, in order or shuffled; what was answered."""
        hooks = [hook for hook in self.sent for _ in range(copies)]
        if shuffled:
            shuffled.shuffle(hooks)
        return [requests.post(url, data=hook.body, headers=hook.headers, timeout=10).status_code for hook in hooks]


class Breaking:
    """The company's front: does what a fault says instead of answering."""

    def __init__(self, app: Starlette, company: Company) -> None:
        self.app, self.company = app, company

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        self.company.calls.append(f"{scope['method']} {scope['path']}")
        fault = self.company.due(scope["method"])
        if fault is None:
            return await self.app(scope, receive, send)
        if fault not in BEFORE:
            await self.app(scope, receive, _nowhere)
        return await self._break(fault, scope, receive, send)

    async def _break(self, fault: Fault, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if fault in (Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER):
            await _hang(receive)
        elif fault in STATUS:
            answer = self.company.no(STATUS[fault], str(fault))
            if fault is Fault.TOO_MANY:
                answer.headers["retry-after"] = "7"
            await answer(scope, receive, send)
        elif fault is Fault.GARBLED_AFTER:
            await Response("<html>It works!</html>", media_type="text/html")(scope, receive, send)
        else:
            await _part(fault, send)


async def _nowhere(_message: MutableMapping[str, Any]) -> None:
    """The answer that is lost."""


async def _hang(receive: Receive) -> None:
    """Say nothing until the caller gave up."""
    async with asyncio.timeout(HANGS_SECONDS):
        while (await receive())["type"] != "http.disconnect":
            pass


async def _part(fault: Fault, send: Send) -> None:
    """The head and the beginning of a body, then silence or a byte now and then."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"id":"', "more_body": True})
    if fault is Fault.RESET_AFTER:
        raise ConnectionResetError("as asked")
    for _ in range(900):
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await asyncio.sleep(TRICKLE_SECONDS)


def endpoint(handler: Handler, fields: Callable[[Request, bytes], dict[str, Any]]) -> Callable[[Request], Awaitable[Response]]:
    """A Starlette endpoint around a handler of plain values."""
    async def answer(request: Request) -> Response:
        return handler(fields(request, await request.body()), request)
    return answer


def json_fields(request: Request, body: bytes) -> dict[str, Any]:
    """Query and JSON body."""
    return dict(request.query_params) | (json.loads(body) if body else {})


def answer(values: object, status: int = 200) -> JSONResponse:
    return JSONResponse(values, status)
