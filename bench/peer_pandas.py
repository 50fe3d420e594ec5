"""A peer for rating a file: pandas, row by row, parsing each text and pricing each job in Python floats, as many scripts do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from bench.measure import Measured

RATES = {"cpu": 1.0, "gpu": 5.0, "mem": 0.5}


def hours(text: str) -> float:
    """`1-02:03:04` as hours."""
    days, _, clock = text.rpartition("-")
    h, m, s = clock.split(":")
    return int(days or 0) * 24 + int(h) + int(m) / 60 + int(s) / 3600


def tres(text: str) -> dict[str, float]:
    """CPUs, GPUs and GiB of a TRES text."""
    parts = dict(part.split("=") for part in text.split(","))
    mem = parts["mem"]
    return {"cpu": float(parts["cpu"]), "gpu": float(parts.get("gres/gpu", 0)),
            "mem": float(mem[:-1]) * {"M": 1 / 1024, "G": 1, "T": 1024}[mem[-1]]}


def cost(row: Any) -> float:
    """Baht for one job."""
    elapsed, allocated = hours(row["Elapsed"]), tres(row["AllocTRES"])
    return round(hours(row["TotalCPU"]) * RATES["cpu"] + allocated["gpu"] * elapsed * RATES["gpu"]
                 + allocated["mem"] * elapsed * RATES["mem"], 2)


def main(path: Path, out: Path) -> str:
    """Figures of one run, and what it made (its cost is off by what floats lose)."""
    with Measured() as measured:
        jobs = pd.read_csv(path, sep="|", dtype=str, keep_default_na=False)
        jobs["cost"] = jobs.apply(cost, axis=1)
        jobs.to_parquet(out)
    return json.dumps({**measured.figures, "rows": len(jobs), "cost_micro": round(jobs["cost"].sum() * 1e6)})


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2])))
