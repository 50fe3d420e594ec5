"""The analytics copy: make it again from Postgres, compare both, put its small files together, or price all of it."""

from __future__ import annotations

import argparse
import json
import time

import duckdb

from commands import lake_rating
from commands.installation import installation
from commands.lake_rating import CopyTrouble
from data.analytics import lake

HELP = "the analytics copy: rebuild, verify, compact, rate"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `analytics`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, told in {"rebuild": "make it again from Postgres", "verify": "compare it with Postgres; exit 1 where it differs",
                       "compact": "put small files together"}.items():
        verbs.add_parser(verb, help=told).add_argument("--json", action="store_true")
    lake_rating.configure(verbs.add_parser("rate", help="price every job of it by the book or by draft cards, on DuckDB, polars or Spark"))


def run(args: argparse.Namespace) -> int:
    """Do what the verb says."""
    if args.verb == "rate":
        return lake_rating.run(args)
    return {"rebuild": _rebuild, "verify": _verify, "compact": _compact}[args.verb](args.json)


def _rebuild(as_json: bool) -> int:
    began = time.monotonic()
    with installation() as store:
        try:
            runs = store.lake.rebuild()
        except (duckdb.Error, OSError) as error:
            raise CopyTrouble(store.lake.plain(error)) from None
    seconds = round(time.monotonic() - began, 3)
    print(json.dumps({"runs": runs, "seconds": seconds}) if as_json else f"The analytics copy holds {runs:,} runs ({seconds} s).")
    return 0


def _verify(as_json: bool) -> int:
    with installation() as store:
        where = lake.verify(store)
    if as_json:
        print(json.dumps({"ok": not where, "differences": where}))
    else:
        print("\n".join(where) or "The analytics copy equals Postgres to the micro-unit.")
    return 1 if where else 0


def _compact(as_json: bool) -> int:
    with installation() as store:
        try:
            files = store.lake.compact()
        except (duckdb.Error, OSError) as error:
            raise CopyTrouble(store.lake.plain(error)) from None
    listed = ", ".join(f"{count:,} of {table}" for table, count in files.items())
    print(json.dumps({"files": files}) if as_json else f"Files of the analytics copy: {listed}.")
    return 0
