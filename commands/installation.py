"""The installation a command works on: settings, a Postgres that answers, tables up to date, a default rate card.

When one runs it is used; when none runs it is started, and stopped by the last command that needed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from data.postgres.schema import migrate
from data.postgres.server import running
from data.postgres.store import Store, connect
from data.settings import Settings, load
from engine.services.rates import ensure_default_cards


def silent(_: str) -> None:
    """Progress nobody asked for."""


@contextmanager
def installation(progress: Callable[[str], None] = silent, settings: Settings | None = None) -> Iterator[Store]:
    """A store ready for work while the block runs; `progress` is told each step in a few words."""
    settings = settings or load()
    with running(settings) as url:
        engine = connect(url)
        try:
            if migrate(engine):
                progress("tables brought up to date")
            store = Store(engine, settings)
            if not store.read(lambda tx: tx.rates.book()):
                store.run(ensure_default_cards)
            yield store
        finally:
            engine.dispose()
