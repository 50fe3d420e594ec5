"""Hearing what other sessions of Postgres announce (LISTEN): a wish to look soon, never a fact to rely on."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import sqlalchemy as sa


def notices(engine: sa.Engine, channel: str, seconds: float = 1.0) -> Iterator[bool]:
    """True when something was announced on `channel`, False when nothing was for `seconds`; goes on until it is closed.

    Begins with True: what was announced before anybody listened was not heard. Raises as any other work does when the
    database goes away.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"listen {channel}"))
        postgres = connection.connection.dbapi_connection
        assert isinstance(postgres, psycopg.Connection)
        yield True
        try:
            while True:
                yield any(True for _ in postgres.notifies(timeout=seconds, stop_after=1))
        except psycopg.OperationalError as error:       # past SQLAlchemy, which names it so everywhere else
            raise sa.exc.OperationalError("notifies", None, error) from error
        finally:
            connection.invalidate()         # it listens: nobody else may have it
