"""The limit for webhooks: a bare Starlette handler that verifies, stores and answers, and does nothing else.

`python -m bench.limit_webhooks PORT URL SECRET CONNECTIONS`. The same uvicorn settings as the product's sidecar, one table with the
same unique key, one prepared statement a request that commits by itself on a connection of its own: nothing is logged, counted,
checked or limited, and nothing is ever done about what was stored.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

TABLE = ("create table if not exists inbox (id bigint generated always as identity primary key, provider text not null,"
         " livemode boolean not null, event_key text not null, kind text not null, body bytea not null,"
         " received_at timestamptz not null default now(), unique (provider, livemode, event_key))")
INSERT = "insert into inbox (provider, livemode, event_key, kind, body) values (%s, %s, %s, %s, %s) on conflict do nothing"


def app(url: str, secret: bytes, connections: int) -> Starlette:
    """The application."""
    free: asyncio.Queue[psycopg.AsyncConnection] = asyncio.Queue()

    @asynccontextmanager
    async def connected(_: Starlette) -> AsyncIterator[None]:
        for _number in range(connections):
            await free.put(await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=0))
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(TABLE)
        yield

    async def receive(request: Request) -> JSONResponse:
        body = await request.body()
        at, _, given = request.headers["dummy-signature"].removeprefix("t=").partition(",v1=")
        made = hmac.new(secret, at.encode() + b"." + body, hashlib.sha256).hexdigest()
        if abs(time.time() - int(at)) > 300 or not hmac.compare_digest(made, given):
            return JSONResponse({"error": "bad_signature"}, 401)
        event = json.loads(body)
        connection = await free.get()
        try:
            done = await connection.execute(INSERT, ("dummy", event["livemode"], event["id"], event["type"], body))
        finally:
            free.put_nowait(connection)
        return JSONResponse({"status": "stored" if done.rowcount else "duplicate"})

    return Starlette(routes=[Route("/webhooks/dummy", receive, methods=["POST"])], lifespan=connected)


if __name__ == "__main__":
    uvicorn.run(app(sys.argv[2], sys.argv[3].encode(), int(sys.argv[4])), host="127.0.0.1", port=int(sys.argv[1]),
                log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=5, timeout_keep_alive=15)
