"""Benchmarks as processes of their own: each prints its figures as JSON, and medians are taken of runs in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from math import log
from pathlib import Path
from statistics import median

from data.settings import ROOT

Figures = dict[str, float]
MEASURED = ("seconds", "cpu_seconds", "peak_mib")
MADE = ("rows", "cost_micro", "digest")


def child(module: str, *words: str | Path, **environment: str) -> Figures:
    """What `python -m MODULE WORDS` measured."""
    made = subprocess.run([sys.executable, "-m", module, *map(str, words)], cwd=ROOT, env={**os.environ, **environment},
                          stdout=subprocess.PIPE, check=True)
    told: Figures = json.loads(made.stdout)
    return told


def medians(figures: Sequence[Figures]) -> Figures:
    """Of each measured figure."""
    return {name: median(one[name] for one in figures) for name in MEASURED}


def row(what: str, role: str, figures: Figures, size: int) -> dict[str, object]:
    """One line of a report."""
    return {"what": what, "role": role, "size": size, **{name: round(figures[name], 3) for name in MEASURED},
            "per_second": round(size / figures["seconds"])}


def same(*made: Figures) -> None:
    """All of them made the same rows, or the benchmark is worth nothing."""
    told = {tuple(figures[name] for name in MADE) for figures in made}
    if len(told) != 1:
        raise AssertionError(f"they do not make the same rows (number, cost, digest): {sorted(told)}")


def exponent(small: float, large: float, times: float) -> float:
    """How a figure grows with size: 1 is in proportion, 0 not at all."""
    return round(log(large / small) / log(times), 3)
