"""The store of this process: made once, shared by pages, routes and middleware."""

from __future__ import annotations

from functools import lru_cache

from data import settings
from data.postgres.store import Store, connect


@lru_cache(maxsize=1)
def store() -> Store:
    """Postgres, the only truth. DATABASE_URL, else the server that `./corehours up` keeps under its home."""
    knobs = settings.load()
    return Store(connect(_database_url(knobs)), knobs)


def _database_url(knobs: settings.Settings) -> str:
    if knobs.database_url is None:
        raise RuntimeError("No database is known: start with ./corehours up, or set DATABASE_URL.")
    return knobs.database_url.get_secret_value()
