"""One ingestion by the product, in a process of its own: file, parse, price, Postgres and its analytics copy.

DATABASE_URL names an empty database; the first word is the file, the second the postmaster's process id.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import sqlalchemy as sa

from bench.measure import Measured
from commands.installation import installation
from data.analytics import lake
from ingest.keep import keep
from ingest.sources.file import read_file


def main(path: Path, postmaster: int) -> str:
    """Measure one ingestion; afterwards (not measured) both stores are compared."""
    with installation() as store:
        with Measured(postmaster) as measured:
            kept = keep(store, read_file(path))
        figures = measured.figures
        differences = lake.verify(store)
        with store.engine.connect() as connection:
            cost = connection.execute(sa.text("select sum(cost_micro)::bigint from usage_record")).scalar_one()
        return json.dumps({**figures, "new": kept.new, "cost_micro": cost, "notes": [*kept.notes, *differences]})


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), int(sys.argv[2])))
