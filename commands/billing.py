"""The billing loop on the command line: whether it runs, its last turns, and letting it go on after its clock was set right."""

from __future__ import annotations

import argparse
import json

from commands.installation import installation
from commands.output import table
from data.postgres.store import Store
from engine.billing import BillingRun, LoopState
from engine.money import Money
from engine.policy import OPERATOR
from engine.services.billing import resume_billing

HELP = "billing: whether nodes are charged, the last turns; `billing resume` after the clock was set right"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `billing`."""
    verbs = parser.add_subparsers(dest="verb")
    resume = verbs.add_parser("resume", help="let a stopped loop go on: somebody looked at the clocks")
    resume.add_argument("--reason", required=True)
    parser.add_argument("--turns", type=int, default=20, metavar="N", help="how many turns to list (default 20)")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Show it, or let it go on."""
    with installation() as store:
        if args.verb == "resume":
            store.run(lambda tx: resume_billing(tx, OPERATOR, args.reason), actor=OPERATOR.name)
        state, runs = store.read(lambda tx: (tx.billing.loop(), tx.billing.runs(max(1, min(args.turns, 1000)))))
        print(json.dumps(_answer(state, runs)) if args.json else _shown(store, state, runs))
    return 0


def _answer(state: LoopState, runs: list[BillingRun]) -> dict[str, object]:
    return {"running": state.running, "beat_at": state.beat_at and state.beat_at.isoformat(),
            "stopped_at": state.stopped_at and state.stopped_at.isoformat(), "reason": state.reason,
            "turns": [{"id": one.id, "started_at": one.started_at.isoformat(), "ended_at": one.ended_at and one.ended_at.isoformat(),
                       "allocations": one.allocations, "depleted": one.depleted, "warned": one.warned, "totals_micro": dict(one.totals),
                       "lag_seconds": one.lag_seconds} for one in runs]}


def _shown(store: Store, state: LoopState, runs: list[BillingRun]) -> str:
    zone = store.settings.zone
    last = f"{state.beat_at.astimezone(zone):%Y-%m-%d %H:%M:%S}" if state.beat_at else "never"
    head = f"The billing loop runs; its last turn was at {last}." if state.running else f"The billing loop is STOPPED. {state.reason}"
    rows = [[one.id, f"{one.started_at.astimezone(zone):%Y-%m-%d %H:%M:%S}", one.allocations,
             ", ".join(str(Money(micro, currency)) for currency, micro in sorted(one.totals.items())) or "–", one.lag_seconds, one.depleted,
             one.warned] for one in runs]
    lines = table(["Turn", "Began", "Charged", "Total", "Behind s", "Ended", "Warned"], rows, right=(0, 2, 4, 5, 6))
    return f"{head}\n\n{lines}" if runs else f"{head}\n\nNothing was charged yet."
