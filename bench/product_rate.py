"""A file priced by the product into Parquet, checks and quarantine on, in a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.measure import Measured
from bench.rows import digest, stored
from engine.rates import DEFAULT_CARDS
from ingest.pricing import price_text
from ingest.slurm import Material


def main(path: Path, out: Path) -> str:
    """Figures of one run, and what it made."""
    material = Material(lambda: path.open("rb"), "file", str(path), path.name, size=path.stat().st_size)
    with Measured() as measured:
        priced = price_text(material, out, "mu", list(DEFAULT_CARDS))
    return json.dumps({**measured.figures, **digest(stored(out)), "rejected": len(priced.rejected)})


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2])))
