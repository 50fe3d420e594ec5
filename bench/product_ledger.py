"""What the product's inbox worker applies in a second: stored events of paid top-ups, until none is left.

DATABASE_URL names a database whose inbox is full; the word is the postmaster's process id. One sidecar's worker in a process of
its own, as `python -m webhooks` runs it, without a door.
"""

from __future__ import annotations

import json
import sys
import time

import sqlalchemy as sa

from bench.measure import Measured
from data.postgres.health import figures
from data.postgres.store import Store, connect
from data.settings import load
from webhooks.metrics import Metrics
from webhooks.process import settle
from webhooks.providers import load_providers
from webhooks.worker import Worker


def main(postmaster: int) -> str:
    """Measure from its start until the last event is applied."""
    settings = load()
    assert settings.database_url is not None
    store = Store(connect(settings.database_url.get_secret_value()), settings)
    providers = load_providers(settings)
    worker = Worker(store, providers, Metrics(providers, lambda: figures(store)))
    settle()
    with Measured(postmaster) as measured:
        worker.start()
        while _waiting(store):
            time.sleep(0.02)
    worker.stop()
    return json.dumps(measured.figures)


def _waiting(store: Store) -> bool:
    with store.engine.connect() as connection:
        return connection.execute(sa.text("select from webhook_inbox where state in ('received', 'processing') limit 1")).rowcount > 0


if __name__ == "__main__":
    told = sys.stdout
    load().home.mkdir(parents=True, exist_ok=True)
    with (load().home / "log").open("w") as log:
        sys.stdout = log                # where the worker says what it does
        print(main(int(sys.argv[1])), file=told)
