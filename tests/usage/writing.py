"""`python -m tests.usage.writing NUMBER`: a process that keeps four batches of fifty runs which nobody else brings."""

from __future__ import annotations

import sys

from data.postgres.store import Store, connect
from data.settings import load
from ingest.keep import keep
from tests.usage.frames import batch, run


def main(number: int) -> None:
    """Keep them, one after the other."""
    settings = load()
    assert settings.database_url is not None
    store = Store(connect(settings.database_url.get_secret_value()), settings)
    for step in range(4):
        first = number * 1000 + step * 50
        kept = keep(store, batch(*(run(first + job) for job in range(50))))
        assert kept.new == 50, kept


if __name__ == "__main__":
    main(int(sys.argv[1]))
