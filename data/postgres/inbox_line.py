"""The door's own line to Postgres: stores events, many in one statement that commits by itself, without leaving the event loop.

Everything else goes through the store's transactions; this is all that a webhook's answer waits for. Troubles are named as
SQLAlchemy names them everywhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg
import sqlalchemy as sa

from data.postgres.shelves.inbox import STORE, NewEvent, stored_values, which_are_new
from data.postgres.store import CONNECT

ANSWER_SECONDS = 8              # longer than this, the line is given up
_STORE = STORE.replace(":livemodes", "%(livemodes)s").replace(":providers", "%(providers)s").replace(":keys", "%(keys)s").replace(
    ":kinds", "%(kinds)s").replace(":bodies", "%(bodies)s")


class InboxLine:
    """One connection, opened when it is first needed and again after it broke. For one event loop, one statement at a time."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._connection: psycopg.AsyncConnection | None = None

    async def store(self, events: Sequence[NewEvent]) -> list[bool]:
        """Keep events; once it returns they are durable. For each whether it is new. A line that broke since it was last used is
        opened again and the events told once more: what is kept already is found to be."""
        held = self._connection is not None
        try:
            return await self._store(events)
        except (psycopg.OperationalError, TimeoutError) as error:
            await self.close()
            if held and not isinstance(error, TimeoutError):
                return await self.store(events)
            raise sa.exc.OperationalError("store", None, error) from error
        except psycopg.Error as error:
            raise sa.exc.DBAPIError("store", None, error) from error

    async def _store(self, events: Sequence[NewEvent]) -> list[bool]:
        async with asyncio.timeout(ANSWER_SECONDS):
            if self._connection is None:
                _, words = self._engine.dialect.create_connect_args(self._engine.url)
                self._connection = await psycopg.AsyncConnection.connect(**words, **CONNECT, autocommit=True, prepare_threshold=0)
            rows = await (await self._connection.execute(_STORE, stored_values(events))).fetchall()
            return which_are_new(events, rows)

    async def close(self) -> None:
        """Let it go."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
