"""Taking turns across processes and machines: advisory locks that are a connection's, so that they die with its process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

KEEPING = 0x6B656570            # whoever keeps a batch of usage
INGESTING = 0x696E6773          # whoever runs the ingest


@contextmanager
def turn(engine: sa.Engine, lock: int) -> Iterator[None]:
    """Wait for `lock` and hold it while the block runs."""
    with _own(engine) as connection:
        connection.execute(sa.text("select pg_advisory_lock(:lock)"), {"lock": lock})
        try:
            yield
        finally:
            connection.execute(sa.text("select pg_advisory_unlock(:lock)"), {"lock": lock})


@contextmanager
def turn_if_free(engine: sa.Engine, lock: int) -> Iterator[bool]:
    """True while the block holds `lock`; False at once when another has it."""
    with _own(engine) as connection:
        mine = bool(connection.execute(sa.text("select pg_try_advisory_lock(:lock)"), {"lock": lock}).scalar_one())
        try:
            yield mine
        finally:
            if mine:
                connection.execute(sa.text("select pg_advisory_unlock(:lock)"), {"lock": lock})


@contextmanager
def _own(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection
