"""The sidecar as one ASGI application: webhooks in, checkouts out, health, metrics, a request log."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from itertools import count

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from data.postgres.health import figures, reasons
from data.postgres.inbox_line import InboxLine
from data.postgres.store import Store
from data.settings import Settings
from engine.errors import DomainError
from webhooks import checkout, html, inbox
from webhooks.intake import Intake
from webhooks.log import say_soon
from webhooks.metrics import Metrics
from webhooks.outbox import AT_THE_DESK, HANDLERS, NODE_THREADS, ON_NODES, OutboxWorker
from webhooks.providers import load_providers
from webhooks.providers.bank_page import BankPage
from webhooks.providers.bank_qr import BankQrProvider
from webhooks.providers.dummy import DummyProvider
from webhooks.providers.dummy_checkout import DummyCheckout
from webhooks.providers.dummy_desk import DummyDesk
from webhooks.provisioners import load_provisioner
from webhooks.sidecar import Sidecar, Unavailable, sidecar_of
from webhooks.timers import timers
from webhooks.worker import Worker

QUIET = ("/metrics", "/healthz", "/readyz", "/style.css")       # not logged
PEOPLE = ("/pay/", "/bank/", "/dummy/")                                   # answered with pages
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
LINES = 2                       # while one writes to the disk the other gathers
KEPT = 500                      # series of requests that are at hand; there are not so many


def make_app(settings: Settings, store: Store, own_url: str = "http://127.0.0.1:8601") -> ASGIApp:
    """The application over `store`; its workers live as long as it is served."""
    providers = load_providers(settings)
    metrics = Metrics(providers, lambda: figures(store))
    metrics.expect_jobs(HANDLERS)
    provisioner = load_provisioner(settings)
    intake = Intake([InboxLine(store.engine) for _ in range(LINES)], lambda: worker.wake())
    worker = Worker(store, providers, metrics, intake.crowded)
    desk = OutboxWorker(store, providers, metrics, AT_THE_DESK, lambda: intake.crowded() or worker.behind())
    sidecar = Sidecar(settings, store, providers, metrics, worker, desk, intake, own_url, provisioner,
                      OutboxWorker(store, providers, metrics, ON_NODES, intake.crowded, provisioner, NODE_THREADS))
    app = Starlette(routes=_routes(sidecar), exception_handlers={DomainError: refuse}, lifespan=_lifespan)
    app.state.sidecar = sidecar
    metrics.expect(inbox.PATH, ("POST",))
    for route in app.routes:
        if isinstance(route, Route):
            metrics.expect(route.path, route.methods or ())
    return Watch(inbox.Door(app, sidecar), metrics)


def _routes(sidecar: Sidecar) -> list[Route]:
    routes = [
        Route("/pay/{reference}", checkout.pay, methods=["GET"]),
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", metrics_text, methods=["GET"]),
        Route("/style.css", html.style, methods=["GET"]),
    ]
    for provider in sidecar.providers.values():
        if isinstance(provider, DummyProvider):
            routes += DummyCheckout(provider, sidecar.own_url).routes() + DummyDesk(provider).routes()
        elif isinstance(provider, BankQrProvider):
            routes += BankPage(provider).routes()
    return routes


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    sidecar: Sidecar = app.state.sidecar
    timer = timers(sidecar)
    sidecar.worker.start()
    sidecar.outbox.start()
    if sidecar.on_nodes is not None:
        sidecar.on_nodes.start()
    timer.start()
    try:
        yield
    finally:
        timer.shutdown(wait=False)
        await sidecar.intake.close()
        await sidecar.in_thread(sidecar.worker.stop, seconds=10)        # before the outbox: what it applies may queue jobs
        await sidecar.in_thread(sidecar.outbox.stop, seconds=10)
        if sidecar.on_nodes is not None:
            await sidecar.in_thread(sidecar.on_nodes.stop, seconds=10)


async def refuse(request: Request, error: Exception) -> Response:
    """A refusal as JSON, or as a page where people look."""
    assert isinstance(error, DomainError)
    if request.url.path.startswith(PEOPLE):
        return html.refusal("This does not work", error.sentence, error.status)
    return JSONResponse({"error": error.code, "detail": error.sentence}, error.status)


async def healthz(_request: Request) -> JSONResponse:
    """The process answers."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> JSONResponse:
    """Whether work may be sent here; if not, why."""
    sidecar = sidecar_of(request)
    try:
        found = await sidecar.in_thread(lambda: reasons(sidecar.store))
    except Unavailable:
        found = ["the database does not answer in time"]
    if not sidecar.worker.alive():
        found.append("the inbox worker has ended")
    if not sidecar.outbox.alive() or (sidecar.on_nodes is not None and not sidecar.on_nodes.alive()):
        found.append("the outbox worker has ended")
    return JSONResponse({"ready": not found, "reasons": found}, 503 if found else 200)


async def metrics_text(request: Request) -> Response:
    """Prometheus' exposition format."""
    text = await sidecar_of(request).in_thread(sidecar_of(request).metrics.text)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


class Watch:
    """Counts, times and logs every request, and gives it an id."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.process, self.numbers = secrets.token_hex(6), count(1)
        self._counted, self._timed = lru_cache(KEPT)(metrics.requests.labels), lru_cache(KEPT)(metrics.seconds.labels)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; remember the status that is sent."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, request_id, status = time.perf_counter(), f"{self.process}-{next(self.numbers):x}", 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            self._note(scope, status, time.perf_counter() - begun, request_id)

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = scope.get("template") or _template(scope)
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._counted(route, method, str(status)).inc()
        self._timed(route).observe(seconds)
        if scope["path"] not in QUIET:
            say_soon("request", method=method, path=scope["path"][:200], status=status, ms=round(seconds * 1000, 1),
                     request_id=request_id)


def _template(scope: Scope) -> str:
    """The route's path with its names (`/pay/{reference}`), never what a stranger wrote in their place."""
    endpoint = scope.get("endpoint")
    found = [route.path for route in scope["app"].routes if isinstance(route, Route) and route.endpoint == endpoint]
    return found[0] if endpoint and found else "unmatched"
