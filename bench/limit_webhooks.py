"""The limit for webhooks: a bare Starlette handler that verifies, stores and answers, and posts what it stored if it is told to.

`python -m bench.limit_webhooks PORT URL SECRET CONNECTIONS [PAYMENTS]`. The same uvicorn settings as the product's sidecar, one table with
the same unique key, one prepared statement a request that commits by itself on a connection of its own: nothing is logged, counted,
checked or limited. With the number of PAYMENTS that wait for their money it posts as the product does, behind the answer: one bare
statement brings up to BATCH events to their payments and to a ledger with a balance after each entry, again and again.
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

BATCH, WALLETS, PAUSE_SECONDS = 200, 500, 0.02
BOOKS = """
create table bare_account (id bigint primary key, balance bigint not null, version bigint not null);
insert into bare_account select n, 0, 0 from generate_series(0, %(wallets)s) n;
create table bare_payment (reference text primary key, wallet bigint not null, amount bigint not null, status text not null);
insert into bare_payment select 'TXN_' || lpad(n::text, 16, '0'), n %% %(wallets)s + 1, (n %% 900 + 100) * 10000::bigint, 'pending'
  from generate_series(1, %(payments)s) n;
create table bare_transaction (id bigint generated always as identity primary key, key text not null unique);
create table bare_entry (id bigint generated always as identity primary key, transaction_id bigint not null, account_id bigint not null,
                         amount bigint not null, balance_after bigint not null, version bigint not null, unique (account_id, version));
create index on bare_entry (transaction_id);
alter table inbox add column posted boolean not null default false;
create index on inbox (id) where not posted;
"""
POST = f"""
with taken as (
  update inbox set posted = true where id in (select id from inbox where not posted order by id limit {BATCH})
  returning event_key, convert_from(body, 'UTF8')::jsonb->'data'->>'reference' as reference),
paid as (
  update bare_payment p set status = 'succeeded' from taken t where p.reference = t.reference and p.status = 'pending'
  returning event_key, wallet, amount),
made as (insert into bare_transaction (key) select 'pay:' || event_key from paid returning id, key),
entry as (
  select m.id as transaction_id, account, micro from paid p join made m on m.key = 'pay:' || p.event_key
  cross join lateral (values (wallet, -amount), (0, amount)) e(account, micro)),
summed as (select account, sum(micro) as micro, count(*) as entries from entry group by account),
balanced as (update bare_account a set balance = balance + s.micro, version = version + s.entries from summed s where s.account = a.id)
insert into bare_entry (transaction_id, account_id, amount, balance_after, version)
select transaction_id, account, micro, a.balance + sum(micro) over w, a.version + row_number() over w
from entry join bare_account a on a.id = account window w as (partition by account order by transaction_id)
"""


async def post(connection: psycopg.AsyncConnection) -> None:
    """Whatever comes, until it is cancelled."""
    while True:
        done = await connection.execute(POST)
        if not done.rowcount:
            await asyncio.sleep(PAUSE_SECONDS)


def app(url: str, secret: bytes, connections: int, payments: int = 0) -> Starlette:
    """The application."""
    free: asyncio.Queue[psycopg.AsyncConnection] = asyncio.Queue()

    @asynccontextmanager
    async def connected(_: Starlette) -> AsyncIterator[None]:
        for _number in range(connections):
            await free.put(await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=0))
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(TABLE)
            if not payments:
                yield
                return
            await connection.execute(BOOKS % {"wallets": WALLETS, "payments": payments})
            await connection.execute("analyze")
            posting = asyncio.create_task(post(connection))
            yield
            posting.cancel()

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
    uvicorn.run(app(sys.argv[2], sys.argv[3].encode(), *map(int, sys.argv[4:])), host="127.0.0.1", port=int(sys.argv[1]),
                log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=5, timeout_keep_alive=15)
