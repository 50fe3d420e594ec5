"""The gate before Streamlit: who sends this request, as headers that only this file writes.

A session cookie is a random value whose SHA-256 lies in app_session; a door cookie names a browser before sign-in. Both
stay with the browser (HttpOnly) and go no further than here: scripts get the hashes. Whatever a client sends under our
header names, or under Streamlit's own sign-in cookies, is thrown away. Knows no page.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.browser_steps import HERE, going
from data.postgres.store import Store
from engine.services import users
from engine.services.users import Entered, fingerprint

SESSION_COOKIE, DOOR_COOKIE = "corehours_session", "corehours_door"
OURS = b"x-corehours-"
FOREIGN_COOKIES = ("_streamlit_user", "_streamlit_user_tokens")
PERSONAL = ("/media/", "/_stcore/upload_file/", "/_stcore/metrics")        # not for strangers
PUBLIC_MEDIA = (".png", ".svg")                        # logo and icon
LOOK_EVERY = 10.0                                      # seconds between two looks at the session of an open page
SESSION_OVER = 4401                                    # what a websocket is closed with then
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Gate:
    """ASGI middleware: strips forged identity, looks the session up, writes the identity headers."""

    def __init__(self, app: ASGIApp, store: Callable[[], Store], look_every: float = LOOK_EVERY) -> None:
        self.app, self.store, self.look_every = app, store, look_every

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through with its true identity, or refuse somebody's data to a stranger."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        cookies, path = read_cookies(scope), scope["path"]
        personal = path.startswith(PERSONAL) and not path.endswith(PUBLIC_MEDIA)
        asked = personal or scope["type"] == "websocket"
        session = await self._live(cookies.get(cookie_name(scope, SESSION_COOKIE))) if asked else None
        if personal and session is None:
            await PlainTextResponse("Sign in first.", 403)(scope, receive, send)
            return
        if not path.startswith("/auth/"):
            scope = {**scope, "headers": _headers(scope, cookies, session)}
        if session and scope["type"] == "websocket":
            await self._while_alive(scope, receive, send, session)
            return
        await self.app(scope, receive, _with_door(scope, cookies, send))

    async def _live(self, token: str | None) -> bytes | None:
        """The hash of the token when its session is alive."""
        return fingerprint(token) if token and await self._alive(fingerprint(token)) else None

    async def _alive(self, token_hash: bytes) -> bool:
        store = self.store()
        idle = store.settings.session_idle_minutes
        return await to_thread.run_sync(lambda: store.read(lambda tx: tx.sessions.holder(token_hash, idle))) is not None

    async def _while_alive(self, scope: Scope, receive: Receive, send: Send, session: bytes) -> None:
        """Serve a websocket until its session ends, by whatever: then the browser is told to load its page again, as a
        stranger now, and nothing of the person stays on the screen. A database that cannot be asked ends it too."""
        ended, told = asyncio.ensure_future(self._death(session)), False

        async def received() -> Message:
            nonlocal told
            message = asyncio.ensure_future(receive())
            await asyncio.wait({message, ended}, return_when=asyncio.FIRST_COMPLETED)
            if message.done():
                return message.result()
            message.cancel()
            told = True
            await send({"type": "websocket.send", "bytes": going(HERE).SerializeToString()})
            return {"type": "websocket.disconnect", "code": SESSION_OVER}

        try:
            await self.app(scope, received, send)
        finally:
            ended.cancel()
        if told:
            await send({"type": "websocket.close", "code": SESSION_OVER})

    async def _death(self, session: bytes) -> None:
        """Returns when the session is no longer alive."""
        while await self._alive(session):
            await asyncio.sleep(self.look_every)


def routes(store: Callable[[], Store]) -> list[Route]:
    """Our /auth routes, before Streamlit's own of the same names."""

    async def enter(request: Request) -> Response:
        if not same_origin(request.headers):
            return PlainTextResponse("This request came from another site.", 403)
        door, old = own_cookie(request, DOOR_COOKIE), own_cookie(request, SESSION_COOKIE)
        token = secrets.token_urlsafe(32)
        entered = await to_thread.run_sync(lambda: _enter(store(), request, door, token, old)) if door else None
        if entered is None:
            return RedirectResponse("/", 303)
        answer = RedirectResponse(entered.target, 303)
        set_cookie(answer, request.scope, SESSION_COOKIE, token)
        drop_cookie(answer, request.scope, DOOR_COOKIE)
        return answer

    async def logout(request: Request) -> Response:
        if not same_origin(request.headers):
            return PlainTextResponse("This request came from another site.", 403)
        token = own_cookie(request, SESSION_COOKIE)
        if token:
            await to_thread.run_sync(lambda: store().run(
                lambda tx: users.leave(tx, fingerprint(token), address_of(request.scope))))
        answer = RedirectResponse("/", 303)
        drop_cookie(answer, request.scope, SESSION_COOKIE)
        return answer

    async def closed(_request: Request) -> Response:
        return PlainTextResponse("There is nothing here.", 404)

    return [Route("/auth/enter", enter), Route("/auth/logout", logout, methods=["GET", "POST"]),
            Route("/auth/login", closed), Route("/oauth2callback", closed)]


def _enter(store: Store, request: Request, door: str, token: str, old: str | None) -> Entered | None:
    address, agent = address_of(request.scope), request.headers.get("user-agent", "")
    return store.run(lambda tx: users.enter(tx, fingerprint(door), fingerprint(token), fingerprint(old) if old else None,
                                            address, agent))


def same_origin(headers: Headers) -> bool:
    """True when the browser says the request was made by a page of this site. No word of it counts as no."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    source = headers.get("origin") or headers.get("referer")
    return source is not None and urlsplit(source).netloc == headers.get("host")


def read_cookies(scope: Scope) -> dict[str, str]:
    """The request's cookies; garbage counts as none."""
    pairs = (part.strip().split("=", 1) for value in _values(scope, b"cookie") for part in value.decode("latin-1").split(";"))
    return {pair[0]: pair[1].strip('"') for pair in pairs if len(pair) == 2}


def address_of(scope: Scope) -> str:
    """The client's address; behind a proxy the server has already put the forwarded one here."""
    client = scope.get("client")
    return str(client[0]) if client else "?"


def cookie_name(scope: Scope, name: str) -> str:
    """The cookie's name on the wire. Outside loopback `__Host-` stands before it: then no neighbour under the same domain
    can plant one."""
    return name if on_loopback(scope) else f"__Host-{name}"


def own_cookie(request: Request, name: str) -> str | None:
    """The value of one of our cookies."""
    return request.cookies.get(cookie_name(request.scope, name))


def set_cookie(answer: Response, scope: Scope, name: str, value: str) -> None:
    """A cookie for the browser only: HttpOnly, Lax, Secure outside loopback, gone when the browser closes."""
    answer.set_cookie(cookie_name(scope, name), value, path="/", httponly=True, samesite="lax",
                      secure=not on_loopback(scope))


def drop_cookie(answer: Response, scope: Scope, name: str) -> None:
    """Let the browser forget one of our cookies."""
    answer.delete_cookie(cookie_name(scope, name), path="/", httponly=True, samesite="lax", secure=not on_loopback(scope))


def on_loopback(scope: Scope) -> bool:
    """True when the browser asked for this machine itself, over plain http."""
    host = urlsplit(f"//{Headers(scope=scope).get('host', '')}").hostname or ""
    return host in LOOPBACK and scope.get("scheme") in ("http", "ws")


def _values(scope: Scope, name: bytes) -> Iterable[bytes]:
    return (value for key, value in scope["headers"] if key == name)


def _headers(scope: Scope, cookies: dict[str, str], session: bytes | None) -> list[tuple[bytes, bytes]]:
    """The request's headers with our own identity in place of whatever claimed to be one."""
    passed = {name: value for name, value in cookies.items()
              if not name.removeprefix("__Host-").startswith((SESSION_COOKIE, DOOR_COOKIE, *FOREIGN_COOKIES))}
    kept = [(key, value) for key, value in scope["headers"]
            if key != b"cookie" and not key.lower().replace(b"_", b"-").startswith(OURS)]
    if passed:
        kept.append((b"cookie", "; ".join(f"{name}={value}" for name, value in passed.items()).encode("latin-1")))
    door = cookies.get(cookie_name(scope, DOOR_COOKIE))
    own = {b"session": session.hex() if session else None, b"door": fingerprint(door).hex() if door else None,
           b"address": address_of(scope)}
    return kept + [(OURS + name, value.encode("latin-1")) for name, value in own.items() if value]


def _with_door(scope: Scope, cookies: dict[str, str], send: Send) -> Send:
    """Give a browser that opens a page its door cookie with the answer."""
    document = scope["type"] == "http" and scope["method"] == "GET" and any(
        b"text/html" in value for value in _values(scope, b"accept"))
    if not document or cookie_name(scope, DOOR_COOKIE) in cookies or scope["path"].startswith("/auth/"):
        return send

    async def send_with_door(message: Message) -> None:
        if message["type"] == "http.response.start":
            carrier = Response()
            set_cookie(carrier, scope, DOOR_COOKIE, secrets.token_urlsafe(32))
            message = {**message, "headers": [*message["headers"],
                                              *((k, v) for k, v in carrier.raw_headers if k == b"set-cookie")]}
        await send(message)

    return send_with_door
