"""The ingest worker: `python -m ingest --every 5m`, or once without. Any number may run; one works at a time.

The timer only wakes it. SIGTERM ends it at once: an unfinished batch is rolled back and comes again.

An exception out of a signal comes anywhere, in the middle of a library too. What that makes of it (DuckDB another exception, psycopg a
connection that cannot roll back) is no news once the worker was told to stop; and where a lock was just taken and is never given back,
time runs out.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import sys
import threading
from contextlib import ExitStack
from typing import NoReturn

from apscheduler.schedulers.background import BackgroundScheduler
from pydantic import ValidationError

from data.postgres.health import OUTAGE
from data.postgres.schema import migrate
from data.postgres.server import running
from data.postgres.store import Store, connect
from data.settings import Settings, load
from engine.errors import DomainError
from engine.services.rates import ensure_default_cards
from ingest.run import run_once

LEAVING_SECONDS = 10                    # then it goes as it is: Postgres takes back what was not committed
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
log = logging.getLogger("ingest")
wake, stopping = threading.Event(), threading.Event()


def main(words: list[str]) -> int:
    """Exit code: 0 done or stopped, 1 when a single run was refused."""
    parser = argparse.ArgumentParser(prog="python -m ingest", description="Ask Slurm for usage and keep it.")
    parser.add_argument("--every", type=seconds, metavar="5m", help="again and again; without it once")
    args = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s ingest: %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, _stop)
    with ExitStack() as told:
        told.push(lambda *_: stopping.is_set())
        try:
            settings = load()
            with running(settings) as url:
                return _work(url, settings, args.every)
        except (DomainError, ValidationError) as refusal:
            log.error("cannot start: %s", refusal)
            return 1
    return 0


def seconds(text: str) -> int:
    """`90s`, `5m`, `1h`, `1d` as seconds."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no span of time such as 90s, 5m or 1h")
    return int(match[1]) * SECONDS[match[2]]


def _work(url: str, settings: Settings, every: int | None) -> int:
    engine = connect(url)
    try:
        migrate(engine)
        store = Store(engine, settings)
        store.run(ensure_default_cards)
        if every is None:
            return 0 if run_once(store) else 1
        _again_and_again(store, every)
        return 0
    finally:
        engine.dispose()


def _again_and_again(store: Store, every: int) -> None:
    """Run now and whenever the timer says so; a database that is away is waited for."""
    timer = BackgroundScheduler(timezone="UTC", daemon=True)
    timer.add_job(wake.set, "interval", seconds=every)
    timer.start()
    try:
        while not stopping.is_set():
            try:
                run_once(store)
            except OUTAGE as error:
                log.error("the database does not answer: %s", str(getattr(error, "orig", error)).splitlines()[0])
            wake.wait()
            if not stopping.is_set():
                wake.clear()
    finally:
        timer.shutdown(wait=False)


def _stop(*_: object) -> NoReturn:
    """End now; and where Python must swallow the exception (in a callback, in a destructor), after this run, or when time is up."""
    signal.alarm(LEAVING_SECONDS)
    logging.disable()
    sys.unraisablehook = lambda _: None
    stopping.set()
    wake.set()
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
