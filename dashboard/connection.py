"""The store of this process: made once, shared by pages, routes and middleware."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from functools import lru_cache

from data import settings
from data.postgres.server import running
from data.postgres.store import Store, connect


@lru_cache(maxsize=1)
def store() -> Store:
    """Postgres, the only truth: DATABASE_URL, else the server under our home, held while this process lives."""
    knobs, held = settings.load(), ExitStack()
    engine = connect(held.enter_context(running(knobs)))
    atexit.register(held.close)
    return Store(engine, knobs)
