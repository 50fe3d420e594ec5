"""`rates try` and `rates rerate`: what other cards would make of jobs that have their price, and doing it."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from commands.installation import installation
from commands.output import table
from data.postgres.store import Store
from data.what_if import tried
from engine.money import amount_text
from engine.periods import parse_span
from engine.policy import OPERATOR
from engine.rates import RateCard
from engine.rerating import Effect
from engine.services.rerating import Rerated, rerate_cards, shadow

VERBS = ("try", "rerate")
USUAL = timedelta(days=90)
HEADS = {"tier": "Tier", "account": "Account", "payer": "Payer", "day": "Day"}


def configure(verbs: Any) -> None:
    """Arguments of `rates try` and `rates rerate`."""
    attempt = verbs.add_parser("try", help="what jobs would have cost by the cards of a file; nothing is written")
    attempt.add_argument("-S", "--starttime", metavar="TIME", help="jobs that ended at or after this; default: 90 days ago, or the first"
                         " card's valid_from where that is past")
    attempt.add_argument("-E", "--endtime", metavar="TIME", help="jobs that ended before this")
    attempt.add_argument("--dated", action="store_true", help="each card from its own valid_from on, as rerate does it, instead of always")
    rerate = verbs.add_parser("rerate", help="publish cards that may reach back before issued receipts: unbilled jobs get the new price,"
                              " receipted ones an adjustment on the next receipt")
    rerate.add_argument("--reason", default="", help="stands in the audit chain; default: the first card's note")
    rerate.add_argument("--yes", action="store_true", help="do not ask")
    for verb in (attempt, rerate):
        verb.add_argument("--file", required=True, help="the file, or - for standard input")
        verb.add_argument("--top", type=int, default=20, metavar="N", help="how many payers who pay more, and who pay less (default 20)")
        verb.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, drafts: list[RateCard]) -> int:
    """Try `drafts` or re-rate by them."""
    with installation() as store:
        if args.verb == "try":
            effect = _tried(store, args, drafts)
            print(json.dumps(as_json(effect, args.top)) if args.json else _shown(effect, args.top))
            return 0
        if not args.yes and sys.stdin.isatty() and not _agreed(store, drafts):
            return 1
        done = store.run(lambda tx: rerate_cards(tx, drafts, OPERATOR, args.reason), actor=OPERATOR.name)
    print(json.dumps(_done_json(done, args.top)) if args.json else _done_shown(done, args.top))
    return 0


def _tried(store: Store, args: argparse.Namespace, drafts: list[RateCard]) -> Effect:
    now = datetime.now(UTC)
    since, until = parse_span(args.starttime, args.endtime, now, store.settings.zone)
    if since is None:
        first = min((card.valid_from for card in drafts), default=now)
        since = first if first < now else now - USUAL
    return tried(store, drafts, since, until, OPERATOR, dated=args.dated)


def _agreed(store: Store, drafts: list[RateCard]) -> bool:
    first = min((card.valid_from for card in drafts), default=None)
    effect = store.read(lambda tx: shadow(tx, drafts, first, None, OPERATOR, dated=True))
    print(_shown(effect, 5), file=sys.stderr)
    print("\nPublish and price again? Type yes: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    print("Nothing was changed.", file=sys.stderr)
    return False


def as_json(effect: Effect, top: int) -> dict[str, object]:
    """An effect as JSON values: totals, then rows by tier, account, day and payer."""
    by = {f"by_{kind}": _rows(effect.by(kind), kind) for kind in ("tier", "account", "day")}
    return {"cards": list(effect.cards), "currency": effect.currency, "since": _utc(effect.since), "until": _utc(effect.until),
            "jobs": effect.jobs, "changed_jobs": effect.total("changed_jobs"), "before_micro": effect.before_micro,
            "after_micro": effect.after_micro, "difference_micro": effect.difference_micro,
            "receipted_jobs": effect.total("receipted_jobs"),
            "receipted_difference_micro": effect.total("receipted_difference_micro"), **by,
            "payers": _rows(effect.payers(top), "payer")}


def _rows(rows: pl.DataFrame, kind: str) -> list[dict[str, object]]:
    columns = [pl.col("name").alias(kind), "jobs", "changed_jobs", "before_micro", "after_micro", "difference_micro",
               "receipted_difference_micro"]
    return rows.select(columns).to_dicts()


def _done_json(done: Rerated, top: int) -> dict[str, object]:
    if done.effect is None:
        return {"cards": [], "jobs": 0, "changed_jobs": 0, "difference_micro": 0, "receipted_jobs": 0, "receipted_difference_micro": 0}
    return as_json(done.effect, top)


def _done_shown(done: Rerated, top: int) -> str:
    if done.effect is None:
        return "The rate book says this already. Nothing was changed."
    return f"Published {', '.join(done.effect.cards)}.\n\n{_shown(done.effect, top)}"


def _shown(effect: Effect, top: int) -> str:
    currency = effect.currency
    if not effect.jobs:
        return f"{', '.join(effect.cards)}: no job that ended in this period is priced by {'it' if len(effect.cards) == 1 else 'them'}."
    total = [("Before", amount_text(effect.before_micro, currency)), ("After", amount_text(effect.after_micro, currency)),
             ("Difference", amount_text(effect.difference_micro, currency)),
             ("of it on receipts", amount_text(effect.total("receipted_difference_micro"), currency))]
    counts = (f"{', '.join(effect.cards)}: {effect.jobs:,} jobs, {effect.total('changed_jobs'):,} with another price, "
              f"{effect.total('receipted_jobs'):,} on receipts (their difference is an adjustment on the next one).")
    parts = [_table(effect.by(kind), kind, currency) for kind in ("tier", "account")]
    payers = effect.payers(top)
    return "\n\n".join([counts, table(("", currency), total, right=(1,)), *parts, *([] if payers.is_empty() else [
        _table(payers, "payer", currency)])])


def _table(rows: pl.DataFrame, kind: str, currency: str) -> str:
    lines = [(row["name"], f"{row['jobs']:,}", *(amount_text(row[name], currency) for name in
                                               ("before_micro", "after_micro", "difference_micro"))) for row in rows.iter_rows(named=True)]
    return table((HEADS[kind], "Jobs", "Before", "After", "Difference"), lines, right=(1, 2, 3, 4))


def _utc(instant: datetime | None) -> str | None:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if instant else None
