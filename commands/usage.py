"""What was used and what it costs, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime

import polars as pl

from commands import usage_daily
from commands.installation import installation
from commands.output import table
from data.postgres.shelves.usage import LISTED
from data.postgres.store import PostgresTransaction
from engine.money import amount_text
from engine.periods import parse_span
from engine.rates import Policy
from engine.services.usage import used
from engine.usage import Asked

HELP = "list usage with what it costs, or its sums by day; -S and -E choose by when it ended"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `usage`, spelled as sacct spells them."""
    parser.add_argument("-S", "--starttime", metavar="TIME", help="ended at or after this, such as 2026-11-01 or now-7days")
    parser.add_argument("-E", "--endtime", metavar="TIME", help="ended before this")
    parser.add_argument("-u", "--user", action="append", default=[], metavar="USERS", help="several by comma")
    parser.add_argument("-A", "--account", action="append", default=[], metavar="ACCOUNTS", help="several by comma")
    parser.add_argument("--policy", choices=[str(policy) for policy in Policy], help="price by this policy; nothing is stored")
    parser.add_argument("--limit", type=int, metavar="N", help="only the last N")
    parser.add_argument("--summary", action="store_true", help="add totals")
    parser.add_argument("-P", "--parsable2", action="store_true", help="columns separated by |")
    parser.add_argument("--json", action="store_true")
    usage_daily.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Read on one snapshot and print."""
    usage_daily.check(args)
    with installation() as store:
        since, until = parse_span(args.starttime, args.endtime, datetime.now(UTC), store.settings.zone)
        asked = Asked(since, until, _split(args.user), _split(args.account), args.policy, args.limit)
        if args.by:
            return usage_daily.run(store, asked, args)
        rows = store.read(lambda tx: _used(tx, asked))
    if args.json:
        _print_json(rows, args.summary)
    elif args.parsable2:
        rows.write_csv(sys.stdout, separator="|", quote_style="necessary")
    else:
        print(_as_table(rows))
    return 0


def _used(tx: PostgresTransaction, asked: Asked) -> pl.DataFrame:
    rows = used(tx, asked)
    times = [pl.from_epoch(name).dt.strftime("%Y-%m-%dT%H:%M:%SZ").alias(name) for name in ("start", "end")]
    return rows.rename(LISTED).select(LISTED.values()).with_columns(times)


def totals(rows: pl.DataFrame) -> dict[str, object]:
    """Sums over `rows`; `cost_micro` is null where they are of several currencies, which are never added."""
    quantities = {name: int(rows[name].cast(pl.Int128).sum()) for name in ("cpu_core_seconds", "gpu_seconds", "mem_mib_seconds")}
    costs = dict(rows.group_by("currency").agg(pl.col("cost_micro").cast(pl.Int128).sum()).sort("currency").iter_rows())
    one = next(iter(costs.values()), 0) if len(costs) < 2 else None
    return {"jobs": len(rows), **quantities, "currency": next(iter(costs), None) if len(costs) < 2 else None,
            "cost_micro": one, "cost_micro_by_currency": costs}


def _print_json(rows: pl.DataFrame, summary: bool) -> None:
    text = rows.write_json()
    if summary:
        text = f'{{"usage": {text}, "totals": {json.dumps(totals(rows))}}}'
    sys.stdout.write(text + "\n")


def _as_table(rows: pl.DataFrame) -> str:
    heads = ["Job", "User", "Account", "Partition", "State", "Ended (UTC)", "Core-hours", "GPU-hours", "GiB-hours",
             "Card", "Cost"]
    lines = [[row["job_id"], row["user"], row["account"], row["partition"], row["state"], row["end"] or "–",
              _hours(row["cpu_core_seconds"]), _hours(row["gpu_seconds"]), _hours(row["mem_mib_seconds"], 1024), row["rate_card"],
              f"{amount_text(row['cost_micro'], row['currency'])} {row['currency']}"] for row in rows.iter_rows(named=True)]
    sums = totals(rows)
    costs = sums["cost_micro_by_currency"]
    assert isinstance(costs, dict)
    paid = ", ".join(f"{amount_text(micro, currency)} {currency}" for currency, micro in costs.items()) or "0"
    lines.append(["Total", f"{len(rows)} runs", "", "", "", "", _hours(sums["cpu_core_seconds"]), _hours(sums["gpu_seconds"]),
                  _hours(sums["mem_mib_seconds"], 1024), "", paid])
    return table(heads, lines, right=(6, 7, 8, 10))


def _hours(seconds: object, per: int = 1) -> str:
    """Quantity in hours with two decimals, cut."""
    hundredths = int(str(seconds)) * 100 // (3600 * per)
    return f"{hundredths // 100:,}.{hundredths % 100:02d}"


def _split(words: list[str]) -> tuple[str, ...]:
    return tuple(name for word in words for name in word.split(",") if name)
