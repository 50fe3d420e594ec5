"""The analytics copy: make it again from Postgres, compare both, or put its small files together."""

from __future__ import annotations

import argparse
import json
import time

import duckdb

from commands.installation import installation
from data.analytics import lake
from engine.errors import DomainError

HELP = "rebuild, verify or compact the analytics copy"


class CopyTrouble(DomainError):
    """The analytics copy cannot be written."""

    code, status = "analytics", 503


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `analytics`."""
    parser.add_argument("verb", choices=["rebuild", "verify", "compact"])
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Rebuild, compact, or compare and exit 1 where the copy differs."""
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
