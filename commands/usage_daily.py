"""Usage by day, as a table, as JSON, or with columns separated by |."""

from __future__ import annotations

import argparse
import json
import sys

import polars as pl

from commands.output import table
from data.postgres.store import Store
from engine.daily import GROUPS, hours
from engine.errors import DomainError
from engine.money import amount_text
from engine.services.daily import by_day
from engine.usage import Asked

EXPLAINED = """With --by day: one row a day of the site's time zone. A job counts whole on the day it ended; -S and -E choose by
when it ended. With --apportion it counts in every day it ran in, by the seconds it ran there, so that the days of a job add
up to the job; -S and -E then cut at that instant, and `jobs` counts the jobs that ran that day (one that ran past midnight
is counted on both days). Jobs that still run are left out. Where there are several currencies, each has rows of its own,
which name it."""
UNITS = {"core_hours": ("cpu_core_seconds", 1), "gpu_hours": ("gpu_seconds", 1), "mem_gib_hours": ("mem_mib_seconds", 1024)}


class UsageWordError(DomainError):
    """These options of `usage` do not go together."""

    code = "usage"


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of sums by day."""
    parser.add_argument("--by", choices=["day"], help="sums instead of jobs: one row a day of the site's time zone")
    parser.add_argument("--apportion", action="store_true",
                        help="with --by: a job counts in each day by the seconds it ran there; `jobs` are those that ran that day")
    parser.add_argument("--group-by", choices=list(GROUPS), help="with --by: a row for each of these too")
    parser.epilog = EXPLAINED


def check(args: argparse.Namespace) -> None:
    """Refuse options that mean nothing together."""
    if not args.by and (args.apportion or args.group_by):
        raise UsageWordError(f"{'--apportion' if args.apportion else '--group-by'} needs --by day.")
    for name in ("policy", "limit", "summary"):
        if args.by and getattr(args, name):
            raise UsageWordError(f"--{name} is for the list of jobs and cannot go with --by day.")


def run(store: Store, asked: Asked, args: argparse.Namespace) -> int:
    """Read on one snapshot and print."""
    rows = store.read(lambda tx: by_day(tx, asked, args.apportion, args.group_by))
    if args.json:
        print(json.dumps(shown(rows, args.group_by)))
    elif args.parsable2:
        pl.DataFrame(shown(rows, args.group_by), infer_schema_length=None).write_csv(sys.stdout, separator="|", quote_style="necessary")
    else:
        print(_as_table(rows, args.group_by))
    return 0


def shown(rows: pl.DataFrame, group: str | None) -> list[dict[str, object]]:
    """Sums by day as they are told: hours to the millionth, money in micro-units."""
    several = rows["currency"].n_unique() > 1
    return [{"day": str(row["day"]), **({group: row[GROUPS[group]]} if group else {}),
             **{name: hours(row[column], per) for name, (column, per) in UNITS.items()}, "jobs": row["jobs"],
             "cost_micro": row["cost_micro"], **({"currency": row["currency"]} if several else {})}
            for row in rows.iter_rows(named=True)]


def _as_table(rows: pl.DataFrame, group: str | None) -> str:
    names = [group] if group else []
    lines = [[row["day"], *(row[GROUPS[name]] for name in names),
              *(f"{hours(row[column], per):,.2f}" for column, per in UNITS.values()), f"{row['jobs']:,}",
              f"{amount_text(row['cost_micro'], row['currency'])} {row['currency']}"] for row in rows.iter_rows(named=True)]
    heads = ["Day", *(name.capitalize() for name in names), "Core-hours", "GPU-hours", "GiB-hours", "Jobs", "Cost"]
    return table(heads, lines, right=range(1 + len(names), len(heads)))
