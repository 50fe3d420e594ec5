"""One worker process of several: keeps batches through the product's own door. `python -m tests.scale.writer NUMBER BATCHES RUNS`

With DIE_AT=committed, written or told it is killed, as by kill -9, while its last batch is on the way to the lake: after
Postgres committed, after the first file is in the bucket, or after the lake has all of it but nobody noted that.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from data.analytics import lake
from data.postgres.store import Store, connect
from data.settings import load
from ingest.keep import keep
from tests.usage.frames import NOON, batch, run

PLACES = {"committed": (lake.Lake, "append"), "written": (lake, "_insert"), "told": (lake, "_copied")}


def runs(writer: int, number: int, count: int) -> list[dict[str, object]]:
    """A batch nobody else brings, but for one run that each later batch corrects."""
    told = [run(1_000_000 * writer + 1000 * number + job, user_name=f"user{job % 7}", account_name=f"project{writer}",
                start_at=NOON - 3600 * job, elapsed_seconds=60 * job + number) for job in range(1, count)]
    return [run(writer, user_name=f"user{writer}", elapsed_seconds=3600 + number), *told]


def die(*_: object, **__: object) -> NoReturn:
    """As kill -9 would."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def die_at(place: str) -> None:
    """From now on the process ends when it comes to `place`; `written` after the first files went up."""
    where, name = PLACES[place]
    real, calls = getattr(where, name), iter(range(2))

    def second_time(*given: object) -> object:
        return die() if place != "written" or next(calls) else real(*given)
    setattr(where, name, second_time)


def main(writer: int, batches: int, count: int) -> None:
    """Keep the batches, one after the other, beside whoever else does."""
    settings = load()
    assert settings.database_url is not None
    store = Store(connect(settings.database_url.get_secret_value()), settings)
    for number in range(batches):
        if (place := os.environ.get("DIE_AT")) and number == batches - 1:
            die_at(place)
        keep(store, batch(*runs(writer, number, count)))
    store.lake.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
