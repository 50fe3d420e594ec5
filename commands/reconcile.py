"""Compare a provider's day with the books, on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import redirect_stdout
from datetime import date, timedelta

from commands.installation import installation
from commands.output import table
from data.postgres.shelves.reconciliation import Run
from engine.errors import NotFound
from engine.money import amount_text
from engine.policy import OPERATOR
from engine.reconciliation import Outcome
from engine.services.reconciliation import may_reconcile
from webhooks.providers import load_providers
from webhooks.reconciler import reconcile

HELP = "reconcile PROVIDER DAY: a provider's books beside ours; what is missing here is applied; exit 1 when they differ"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `reconcile`."""
    parser.add_argument("provider")
    parser.add_argument("day", nargs="?", default="yesterday", help="2026-11-21, or yesterday (the default), where the site is")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Reconcile and print; exit 1 when the two sides differ or the provider does not tell."""
    with installation() as store:
        providers = load_providers(store.settings)
        if args.provider not in providers:
            raise NotFound(f"No provider {args.provider!r} is set up here; {', '.join(providers) or 'none'} is.")
        today = store.read(lambda tx: tx.now).astimezone(store.settings.zone).date()
        day = _day(args.day, today)
        store.read(lambda tx: may_reconcile(tx, day, OPERATOR))
        with redirect_stdout(sys.stderr):           # what the sidecar would log is no part of the answer
            found = reconcile(store, providers[args.provider], day, OPERATOR.name)
    print(json.dumps(as_json(found)) if args.json else _page(found))
    return 0 if found.outcome is Outcome.MATCHED else 1


def _day(text: str, today: date) -> date:
    if text == "yesterday":
        return today - timedelta(days=1)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise NotFound(f"{text!r} is no day such as 2026-11-21.") from None


def as_json(run: Run) -> dict[str, object]:
    """A run as JSON values."""
    return {"id": run.id, "provider": run.provider, "day": run.day.isoformat(), "outcome": str(run.outcome), "movements": run.movements,
            "applied": run.applied, "note": run.note,
            "sums": [{"currency": one.currency, "ours_micro": one.ours_micro, "theirs_micro": one.theirs_micro,
                      "difference_micro": one.theirs_micro - one.ours_micro, "movements": one.movements} for one in run.sums],
            "lines": [{"name": line.name, "reference": line.reference, "currency": line.currency, "ours_micro": line.ours_micro,
                       "theirs_micro": line.theirs_micro, "difference_micro": line.difference_micro, "note": line.note}
                      for line in run.lines]}


def _page(run: Run) -> str:
    def text(micro: int | None, currency: str) -> str:
        return "–" if micro is None else amount_text(micro, currency)
    head = f"{run.provider} on {run.day}: {run.outcome}, {run.movements} movements, {run.applied} applied" + (
        f"\n{run.note}" if run.note else "")
    if run.outcome is Outcome.FAILED:
        return head
    sums = [(one.currency, text(one.ours_micro, one.currency), text(one.theirs_micro, one.currency),
             text(one.theirs_micro - one.ours_micro, one.currency)) for one in run.sums]
    lines = [(line.name, line.reference, text(line.ours_micro, line.currency), text(line.theirs_micro, line.currency), line.currency,
              line.note) for line in run.lines]
    parts = [head, table(("", "Ours", "Theirs", "Difference"), sums, right=(1, 2, 3))] if sums else [head, "Nothing moved."]
    return "\n\n".join([*parts, *([table(("Name", "Payment", "Ours", "Theirs", "", "What"), lines, right=(2, 3))] if lines else [])])
