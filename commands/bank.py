"""Bank statements on the command line: bring one, see its lines, say whose they are."""

from __future__ import annotations

import argparse
import json
from datetime import UTC
from pathlib import Path

from commands.installation import installation
from commands.output import table
from data.postgres.store import PostgresTransaction, Store
from engine.bank import BadLine, BankLine, LineState
from engine.bank_csv import Statement, read_statement
from engine.money import amount_text
from engine.policy import OPERATOR
from engine.services.bank import apply_line, bring, proposal, set_aside

HELP = "bank statements: import FILE, list, apply LINE TXN_…, set-aside LINE --reason WHY"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `bank`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    file = verbs.add_parser("import", help="bring a CSV statement; lines that were brought before are passed over")
    file.add_argument("file")
    file.add_argument("--currency", help="where the file has no column for it; default: the site's")
    file.add_argument("--preview", action="store_true", help="say what it holds and bring nothing")
    listing = verbs.add_parser("list", help="the newest lines")
    listing.add_argument("--state", choices=[str(state) for state in LineState], default="")
    use = verbs.add_parser("apply", help="the line pays that payment; without one, it is kept as unapplied")
    use.add_argument("line", type=int)
    use.add_argument("reference", nargs="?", default="")
    aside = verbs.add_parser("set-aside", help="the line is no payer's money")
    aside.add_argument("line", type=int)
    aside.add_argument("--reason", required=True)
    for verb in (file, listing, use, aside):
        verb.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Do what the verb says."""
    with installation() as store:
        if args.verb == "import":
            return _import(store, args)
        if args.verb == "list":
            print(_listing(store, args))
        elif args.verb == "apply":
            decision = store.run(lambda tx: apply_line(tx, args.line, args.reference, OPERATOR), actor=OPERATOR.name, place="bank.apply")
            print(json.dumps({"step": str(decision.step), "why": decision.why}) if args.json else f"{decision.step}: {decision.why}")
        else:
            store.run(lambda tx: set_aside(tx, args.line, args.reason, OPERATOR), actor=OPERATOR.name)
            print(json.dumps({"line": args.line, "state": "set_aside"}) if args.json else f"Line {args.line} is set aside.")
    return 0


def _import(store: Store, args: argparse.Namespace) -> int:
    """Bring a file, all of it or nothing."""
    try:
        data = Path(args.file).read_bytes()
    except OSError as error:
        raise BadLine(f"{args.file}: {error.strerror}.") from None
    found = read_statement(data, args.currency or store.settings.default_currency)
    if args.preview:
        print(json.dumps(_preview(found)) if args.json else _words(found))
        return 1 if found.problems else 0
    if found.problems:
        raise BadLine("; ".join(found.problems[:5]) + f" ({len(found.problems)} in all). Nothing was brought.")
    brought = store.run(lambda tx: bring(tx, found.lines, Path(args.file).name, OPERATOR), actor=OPERATOR.name, place="bank.bring")
    print(json.dumps({"new": brought.new, "known": brought.known}) if args.json else
          f"{brought.new} new lines, {brought.known} were brought before.")
    return 0


def _preview(found: Statement) -> dict[str, object]:
    return {"lines": [{"booked_on": line.booked_on.isoformat(), "amount_micro": line.amount_micro, "currency": line.currency,
                       "text": line.text} for line in found.lines], "outgoing": found.outgoing, "problems": list(found.problems)}


def _words(found: Statement) -> str:
    rows = [(line.booked_on, amount_text(line.amount_micro, line.currency), line.currency, line.text[:80]) for line in found.lines]
    told = table(("Day", "Amount", "", "Words"), rows, right=(1,)) if rows else "No money came in on it."
    return "\n".join([told, f"{found.outgoing} lines are money that went out.", *found.problems])


def _listing(store: Store, args: argparse.Namespace) -> str:
    def read(tx: PostgresTransaction) -> list[tuple[BankLine, str]]:
        lines = tx.bank.listed(args.state)
        named = [proposal(tx, line) if line.state is LineState.WAITING else None for line in lines]
        return [(line, payment.reference if payment else "") for line, payment in zip(lines, named, strict=True)]
    found = store.read(read)
    if args.json:
        return json.dumps([{"id": line.id, "booked_on": line.booked_on.isoformat(), "amount_micro": line.amount_micro,
                            "currency": line.currency, "text": line.text, "state": str(line.state), "proposed": named,
                            "note": line.note, "source": line.source, "brought_at": line.brought_at.astimezone(UTC).isoformat()}
                           for line, named in found])
    rows = [(line.id, line.booked_on, amount_text(line.amount_micro, line.currency), line.currency, line.state, named, line.text[:60])
            for line, named in found]
    return table(("Line", "Day", "Amount", "", "State", "Names", "Words"), rows, right=(0, 2)) if rows else "No line yet."
