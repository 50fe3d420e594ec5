"""The gate before Streamlit, with an application behind it that repeats what reached it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx
import pytest
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from dashboard.gate import DOOR_COOKIE, SESSION_COOKIE, Gate, same_origin
from dashboard.shield import Shield, policy, script_hashes
from data.postgres.store import Store
from engine.policy import OPERATOR
from engine.services import users
from engine.services.users import fingerprint
from tests.identity.given import session, somebody

PAGE = {"accept": "text/html"}
T = TypeVar("T")


def in_a_loop_of_its_own(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; in a thread, because a browser test may hold a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the headers that arrived."""
    body = json.dumps([[key.decode("latin-1"), value.decode("latin-1")] for key, value in scope["headers"]]).encode()
    if scope["type"] == "websocket":
        scope["state"]["seen"] = dict(json.loads(body))
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def ask(store: Store, path: str, headers: dict[str, str] | None = None, base: str = "http://localhost") -> httpx.Response:
    """GET through shield and gate."""
    app = Shield(Gate(echo, lambda: store))

    async def once() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base) as client:
            return await client.get(path, headers=headers or {})

    return in_a_loop_of_its_own(once())


def handshake(store: Store, headers: dict[str, str]) -> dict[str, str]:
    """What a websocket's script side gets to see of its handshake."""
    headers = {"host": "localhost:8501", **headers}
    seen: dict[str, dict[str, str]] = {}
    scope = {"type": "websocket", "path": "/_stcore/stream", "scheme": "ws", "client": ("198.51.100.7", 5), "state": seen,
             "headers": [(key.lower().encode(), value.encode()) for key, value in headers.items()]}
    nothing: Callable[..., Awaitable[None]] = lambda *_: asyncio.sleep(0)  # noqa: E731
    in_a_loop_of_its_own(Gate(echo, lambda: store)(scope, nothing, nothing))       # type: ignore[arg-type]
    return seen["seen"]


@pytest.mark.parametrize("name", ["X-Corehours-Session", "x-corehours-session", "X_Corehours_Session", "X-Corehours-Door",
                                  "x-corehours-anything"])
def test_forged_identity_is_thrown_away(store: Store, name: str) -> None:
    somebody(store)
    token = session(store, "alice", "t")
    seen = handshake(store, {name: token.hex()})
    assert token.hex() not in seen.values()


def test_a_live_session_reaches_the_script_as_its_hash_and_the_cookie_does_not(store: Store) -> None:
    somebody(store)
    token = session(store, "alice", "t")
    seen = handshake(store, {"cookie": f"{SESSION_COOKIE}=t; {DOOR_COOKIE}=d; _streamlit_user=forged; theme=dark"})
    assert seen["x-corehours-session"] == token.hex()
    assert seen["x-corehours-door"] == fingerprint("d").hex()
    assert seen["x-corehours-address"] == "198.51.100.7"
    assert seen["cookie"] == "theme=dark"


def test_a_dead_or_made_up_session_is_nobody(store: Store) -> None:
    somebody(store)
    token = session(store, "alice", "t")
    store.run(lambda tx: tx.sessions.revoke(token))
    for cookie in ("t", "made up", token.hex(), ""):
        assert "x-corehours-session" not in handshake(store, {"cookie": f"{SESSION_COOKIE}={cookie}"})


def test_an_open_page_closes_when_its_session_ends(store: Store) -> None:
    """Nobody clicks: the websocket of a disabled person is closed all the same, and its application hears of it."""
    somebody(store)
    session(store, "alice", "t")
    heard, sent = [], []

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append((await receive())["type"])
        store.run(lambda tx: users.disable(tx, "alice", OPERATOR))
        heard.append((await receive())["type"])

    messages = iter([{"type": "websocket.connect"}])

    async def receive() -> Message:
        return next(messages, None) or await asyncio.sleep(60, {"type": "websocket.receive"})

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "websocket", "path": "/_stcore/stream", "scheme": "ws", "client": ("198.51.100.7", 5),
                    "headers": [(b"host", b"localhost"), (b"cookie", f"{SESSION_COOKIE}=t".encode())]}
    in_a_loop_of_its_own(asyncio.wait_for(Gate(page, lambda: store, look_every=0.02)(scope, receive, send), 10))
    assert heard == ["websocket.connect", "websocket.disconnect"]
    assert [message["type"] for message in sent] == ["websocket.send", "websocket.close"]
    assert ForwardMsg.FromString(sent[0]["bytes"]).WhichOneof("type") == "auth_redirect"


def test_somebodys_files_need_a_session_and_the_logo_does_not(store: Store) -> None:
    somebody(store)
    session(store, "alice", "t")
    assert ask(store, "/media/abc.csv").status_code == 403
    assert ask(store, "/media/abc.csv", {"cookie": f"{SESSION_COOKIE}=t"}).status_code == 200
    assert ask(store, "/media/logo.svg").status_code == 200
    assert ask(store, "/_stcore/metrics").status_code == 403


def test_a_page_gives_a_browser_its_door_once(store: Store) -> None:
    cookie = ask(store, "/usage", PAGE).headers["set-cookie"]
    assert cookie.startswith(f"{DOOR_COOKIE}=") and "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie
    assert "set-cookie" not in ask(store, "/usage", PAGE | {"cookie": f"{DOOR_COOKIE}=d"}).headers
    assert "set-cookie" not in ask(store, "/static/js/x.js").headers


@pytest.mark.parametrize(("base", "secure"), [
    ("http://localhost:8501", False), ("http://127.0.0.1", False), ("http://[::1]", False), ("http://lab.example", True),
    ("https://localhost", True)])
def test_cookies_are_secure_outside_loopback(store: Store, base: str, secure: bool) -> None:
    cookie = ask(store, "/", PAGE, base).headers["set-cookie"]
    assert ("Secure" in cookie) is secure and cookie.startswith("__Host-") is secure


def test_outside_loopback_a_neighbours_cookie_counts_for_nothing(store: Store) -> None:
    """`__Host-` cookies cannot be set for a whole domain; a cookie without it may come from another host of the domain."""
    somebody(store)
    token = session(store, "alice", "t")
    assert "x-corehours-session" not in handshake(store, {"host": "lab.example", "cookie": f"{SESSION_COOKIE}=t"})
    seen = handshake(store, {"host": "lab.example", "cookie": f"__Host-{SESSION_COOKIE}=t; a=b"})
    assert seen["x-corehours-session"] == token.hex() and seen["cookie"] == "a=b"


@pytest.mark.parametrize(("headers", "ours"), [
    ({"sec-fetch-site": "same-origin"}, True), ({"sec-fetch-site": "cross-site"}, False),
    ({"sec-fetch-site": "same-site"}, False), ({"sec-fetch-site": "none"}, False),
    ({"origin": "http://lab.example"}, True), ({"origin": "http://evil.example"}, False), ({"origin": "null"}, False),
    ({"referer": "http://lab.example/usage"}, True), ({"referer": "http://evil.example/?http://lab.example"}, False),
    ({}, False)])
def test_only_our_own_pages_change_who_is_signed_in(headers: dict[str, str], ours: bool) -> None:
    assert same_origin(Headers({"host": "lab.example", **headers})) is ours


def test_security_headers_stand_on_every_answer(store: Store) -> None:
    headers = ask(store, "/").headers
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_no_inline_script_but_the_known_one() -> None:
    scripts = next(part for part in policy().split("; ") if part.startswith("script-src"))
    assert scripts.count("'sha256-") == 1 and "unsafe" not in scripts and "*" not in policy()
    assert script_hashes("<script src='x'></script><script>\n1\n</script>") == [
        "'sha256-PBL+VNcqg2ezLpeQ7yj8J15XmnKAnnIb2qth9B/WTJ4='"]
