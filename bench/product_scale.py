"""The copy that DATABASE_URL and COREHOURS_HOME name, priced once on one engine: `python -m bench.product_scale ENGINE`"""

from __future__ import annotations

import json
import sys
import threading
import time

import polars as pl
import psutil

from commands.installation import installation
from data.analytics import spark
from data.analytics.files import Facts, facts_of
from data.analytics.rated import by_duckdb, by_polars
from data.postgres.store import Store
from engine.rate_frames import Book, book_of


def family() -> list[psutil.Process]:
    """This process and all it started."""
    here = psutil.Process()
    return [here, *here.children(recursive=True)]


class Memory(threading.Thread):
    """The most memory the family held at once, looked at ten times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0

    def run(self) -> None:
        while True:
            try:
                self.peak = max(self.peak, sum(process.memory_info().rss for process in family()))
            except psutil.Error:                # one of them ended meanwhile
                pass
            time.sleep(0.1)


def priced(store: Store, engine: str, facts: Facts, book: Book) -> pl.DataFrame:
    """The totals by one engine."""
    if engine == "spark":
        return spark.by_spark(spark.session("local[2]"), store.settings, facts, book)
    return {"duckdb": by_duckdb, "polars": by_polars}[engine](store.lake, facts, book)


def main(engine: str) -> str:
    """Price, and tell what was found and what it took."""
    with installation() as store:
        book = book_of(store.read(lambda tx: tx.rates.book()))
        memory, began = Memory(), time.perf_counter()
        memory.start()
        found = priced(store, engine, facts_of(store.lake), book)
        seconds = time.perf_counter() - began
        cpu = sum(sum(process.cpu_times()[:2]) for process in family())
    digest = int(found.hash_rows().cast(pl.Int128).sum() % 2**61)
    return json.dumps({"seconds": seconds, "cpu_seconds": cpu, "peak_mib": memory.peak / 2**20, "rows": found["jobs"].sum(),
                       "cost_micro": found["cost_micro"].sum(), "digest": digest})


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
