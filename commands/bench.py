"""How fast it is, beside the tightest bare code that does the same sum."""

from __future__ import annotations

import argparse
import json
import sys

from bench.billing_loop import bench_billing_loop
from bench.finance import bench_finance
from bench.ingest import bench_ingest
from bench.rate import bench_rate
from bench.scale import bench_scale
from bench.webhooks import bench_webhooks
from bench.what_if import bench_what_if
from commands.output import table

HELP = "measure a part of the product beside its limit"
BENCHES = {"billing-loop": bench_billing_loop, "finance": bench_finance, "ingest": bench_ingest, "rate": bench_rate,
           "scale": bench_scale, "webhooks": bench_webhooks, "what-if": bench_what_if}
EVENTS = {"webhooks": 5_000, "billing-loop": 100_000}       # what counts no jobs has a size of its own


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `bench`."""
    parser.add_argument("name", choices=sorted(BENCHES))
    parser.add_argument("--size", type=_positive, metavar="N",
                        help="how many jobs (default 1,000,000), events (5,000), or allocations (100,000)")
    parser.add_argument("--runs", type=_positive, default=3, metavar="N", help="runs of each, in turns (default 3)")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    size = args.size or EVENTS.get(args.name, 1_000_000)
    report = BENCHES[args.name](size, args.runs, lambda what: print(what, file=sys.stderr))
    print(json.dumps(report) if args.json else _shown(report))
    return 0


# A figure's name in the JSON, its heading, and how it is shown.
FIGURES = (("size", "How many", "{:,}"), ("seconds", "Seconds", "{:.2f}"), ("cpu_seconds", "CPU seconds", "{:.2f}"),
           ("peak_mib", "Peak MiB", "{:.0f}"), ("per_second", "Per second", "{:,}"), ("p50_ms", "p50 ms", "{:.1f}"),
           ("p95_ms", "p95 ms", "{:.1f}"), ("p99_ms", "p99 ms", "{:.1f}"))


def _shown(report: dict[str, object]) -> str:
    rows, ratios = report["rows"], report["ratios"]
    assert isinstance(rows, list) and isinstance(ratios, dict)
    shown = [figure for figure in FIGURES if any(figure[0] in row for row in rows)]
    lines = [[row["what"], row["role"], *(form.format(row[name]) if name in row else "" for name, _, form in shown)] for row in rows]
    told = table(["What", "Role", *(head for _, head, _ in shown)], lines, right=tuple(range(2, 2 + len(shown))))
    return "\n".join([told, "", *(f"{name}: {value}" for name, value in ratios.items())])


def _positive(text: str) -> int:
    number = int(text.replace(",", "").replace("_", ""))
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
