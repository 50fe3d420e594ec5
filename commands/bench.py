"""How fast it is, beside the tightest bare code that does the same sum."""

from __future__ import annotations

import argparse
import json
import sys

from bench.ingest import bench_ingest
from commands.output import table

HELP = "measure a part of the product beside its limit"
BENCHES = {"ingest": bench_ingest}


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `bench`."""
    parser.add_argument("name", choices=sorted(BENCHES))
    parser.add_argument("--size", type=_positive, default=1_000_000, metavar="N", help="how many jobs (default 1,000,000)")
    parser.add_argument("--runs", type=_positive, default=3, metavar="N", help="runs of each, in turns (default 3)")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    report = BENCHES[args.name](args.size, args.runs, lambda what: print(what, file=sys.stderr))
    print(json.dumps(report) if args.json else _shown(report))
    return 0


def _shown(report: dict[str, object]) -> str:
    rows, ratios = report["rows"], report["ratios"]
    assert isinstance(rows, list) and isinstance(ratios, dict)
    lines = [[row["what"], row["role"], f"{row['seconds']:.2f}", f"{row['cpu_seconds']:.2f}", f"{row['peak_mib']:.0f}",
              f"{row['per_second']:,}"] for row in rows]
    heads = ["What", "Role", "Seconds", "CPU seconds", "Peak MiB", "Jobs per second"]
    lines.append(["product / limit", "", f"{ratios['seconds']} ×", f"{ratios['cpu_seconds']} ×", f"{ratios['peak_mib']} ×", ""])
    return table(heads, lines, right=(2, 3, 4, 5))


def _positive(text: str) -> int:
    number = int(text.replace(",", "").replace("_", ""))
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
