"""A line a request: what was answered, what failed, and who did not wait."""

from __future__ import annotations

import json

import pytest
from starlette.types import Message, Receive, Scope, Send

from dashboard.request_log import LEFT, RequestLog
from tests.identity.test_gate import in_a_loop_of_its_own

SCOPE: Scope = {"type": "http", "path": "/usage", "query_string": b"name=alice", "method": "GET", "headers": [],
                "client": ("127.0.0.1", 4711)}


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 403, "headers": []})


async def finds_nobody_there_any_more(scope: Scope, receive: Receive, send: Send) -> None:
    """As Streamlit does when the browser has gone."""


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(("app", "status"), [(answers, 403), (finds_nobody_there_any_more, LEFT), (fails, 500)])
def test_every_request_has_its_line(capsys: pytest.CaptureFixture[str], app: object, status: int) -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        pass

    async def once() -> None:
        try:
            await RequestLog(app)(SCOPE, receive, send)     # type: ignore[arg-type]
        except ZeroDivisionError:
            assert app is fails
    in_a_loop_of_its_own(once())
    [line] = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert (told["path"], told["status"], told["address"]) == ("/usage", status, "127.0.0.1") and "alice" not in line
