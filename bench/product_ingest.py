"""One ingestion by the product, in a process of its own: file, parse, price, Postgres and its analytics copy.

DATABASE_URL names a database; the first word is the file, the second the postmaster's process id. An empty database is
filled and its rows are told as a digest; one that holds the file already must stay as it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from bench.measure import Measured
from bench.rows import SLICE, digest
from commands.installation import installation
from data.analytics import lake
from data.postgres.bulk import as_columns, copy_out
from data.postgres.store import Store
from engine.revisions import STORED_SCHEMA
from ingest.run import take
from ingest.sources.file import FileSource


def main(path: Path, postmaster: int) -> str:
    """Measure one ingestion; afterwards (not measured) both stores are compared."""
    with installation() as store:
        with Measured(postmaster) as measured:
            kept, _ = take(store, FileSource(path), window=None)
        if differences := lake.verify(store):
            raise AssertionError(f"the analytics copy differs: {differences}")
        made = digest(_kept(store)) if kept.new else {}
        return json.dumps({**measured.figures, **made, "new": kept.new, "changed": kept.changed, "notes": kept.notes})


def _kept(store: Store) -> Iterator[pl.DataFrame]:
    with store.engine.connect() as connection:
        last = connection.execute(sa.text("select max(id) from usage_record")).scalar_one()
        for start in range(0, last + 1, SLICE):
            query = f"select {as_columns(STORED_SCHEMA)} from usage_record u where id >= %(start)s and id < %(end)s"
            yield copy_out(connection, query, STORED_SCHEMA, start=start, end=start + SLICE)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), int(sys.argv[2])))
