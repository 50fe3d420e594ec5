"""One ingestion by the product, in a process of its own: file, parse, price, Postgres and its analytics copy.

DATABASE_URL names an empty database; the first word is the file, the second the postmaster's process id.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.measure import Measured
from bench.rows import digest
from commands.installation import installation
from data.analytics import lake
from data.postgres.bulk import as_columns, copy_out
from engine.revisions import STORED_SCHEMA
from ingest.keep import keep
from ingest.sources.file import read_file


def main(path: Path, postmaster: int) -> str:
    """Measure one ingestion; afterwards (not measured) both stores are compared, and what is kept is told as a digest."""
    with installation() as store:
        with Measured(postmaster) as measured:
            kept = keep(store, read_file(path))
        figures = measured.figures
        differences = lake.verify(store)
        with store.engine.connect() as connection:
            rows = copy_out(connection, f"select {as_columns(STORED_SCHEMA)} from usage_record u", STORED_SCHEMA)
        return json.dumps({**figures, **digest(rows), "notes": [*kept.notes, *differences]})


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), int(sys.argv[2])))
