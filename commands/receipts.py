"""Receipts on the command line: create, list, show, void."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from typing import Any

from commands.installation import installation
from commands.output import table
from data.postgres.store import PostgresTransaction, Store
from engine.errors import DomainError, NotFound
from engine.money import amount_text
from engine.periods import parse_instant
from engine.policy import OPERATOR
from engine.receipts import AMOUNTS, Receipt
from engine.services.receipts import create_receipt, payers_to_bill, void_receipt

HELP = "receipts: create (-u USER | --everybody) --before T, list, show, void"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `receipts`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    create = verbs.add_parser("create", help="bill what USER's jobs cost that ended before T, and what months fall short of a minimum")
    whose = create.add_mutually_exclusive_group(required=True)
    whose.add_argument("-u", "--user")
    whose.add_argument("--everybody", action="store_true", help="one receipt for each user who has something to bill")
    create.add_argument("--before", default="now", help="a date or time such as 2026-11-01; default: now")
    listing = verbs.add_parser("list", help="every receipt, newest first")
    listing.add_argument("-u", "--user")
    listing.add_argument("--status", choices=["pending", "paid", "refunded", "void"])
    show = verbs.add_parser("show", help="one receipt with its lines and history")
    show.add_argument("receipt", help="its id or number")
    void = verbs.add_parser("void", help="take back a pending receipt; its jobs can be billed again")
    void.add_argument("receipt", help="its id or number")
    void.add_argument("--reason", required=True)
    for verb in (create, listing, show, void):
        verb.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Do what the verb says."""
    with installation() as store:
        if args.verb == "list":
            receipts = store.read(lambda tx: tx.receipts.all([args.user] if args.user else None, [args.status] if args.status else None))
            print(json.dumps([summary(receipt) for receipt in receipts]) if args.json else _listing(receipts))
            return 0
        if args.verb == "create" and args.everybody:
            return _everybody(store, args)
        receipt = _one(store, args)
        whole = store.read(lambda tx: with_lines(tx, receipt))
    print(json.dumps(whole) if args.json else _page(whole))
    return 0


def _one(store: Store, args: argparse.Namespace) -> Receipt:
    if args.verb == "create":
        before = parse_instant(args.before, store.read(lambda tx: tx.now), store.settings.zone)
        return store.run(lambda tx: create_receipt(tx, args.user, before, OPERATOR), actor=OPERATOR.name,
                         place="receipt.create")
    if args.verb == "void":
        return store.run(lambda tx: void_receipt(tx, args.receipt, args.reason, OPERATOR), actor=OPERATOR.name,
                         place="receipt.void")
    found = store.read(lambda tx: tx.receipts.get(args.receipt))
    if found is None:
        raise NotFound(f"No receipt {args.receipt!r}.")
    return found


def _everybody(store: Store, args: argparse.Namespace) -> int:
    """A receipt for each payer, each in a transaction of its own; who is refused is named, exit 1 when anybody was."""
    before = parse_instant(args.before, store.read(lambda tx: tx.now), store.settings.zone)
    made, refused = [], {}
    for payer in store.read(lambda tx: payers_to_bill(tx, before)):
        try:
            made.append(store.run(lambda tx, payer=payer: create_receipt(tx, payer, before, OPERATOR), actor=OPERATOR.name,
                                  place="receipt.create"))
        except DomainError as refusal:
            refused[payer] = refusal.sentence
    if args.json:
        print(json.dumps({"receipts": [summary(receipt) for receipt in made], "refused": refused}))
    else:
        print("\n".join([_listing(made) if made else "Nobody has anything to bill.",
                         *(f"{payer}: {why}" for payer, why in refused.items())]))
    return 1 if refused else 0


def summary(receipt: Receipt) -> dict[str, object]:
    """A receipt as JSON values, without its lines; `lines` is their number."""
    return {"receipt_id": receipt.id, "number": receipt.number, "status": str(receipt.status), "user": receipt.payer,
            "tier": receipt.tier, "currency": receipt.currency, "lines": receipt.lines,
            "subtotal_micro": receipt.subtotal_micro, "tax_name": receipt.tax_name, "tax_ppm": receipt.tax_ppm,
            "tax_micro": receipt.tax_micro, "tax_included": receipt.tax_included,
            "rounding_micro": receipt.rounding_micro, "total_micro": receipt.total_micro,
            "ended_before": _utc(receipt.ended_before), "issued_at": _utc(receipt.issued_at), "due_at": _utc(receipt.due_at),
            "paid_at": _utc(receipt.paid_at)}


def with_lines(tx: PostgresTransaction, receipt: Receipt) -> dict[str, object]:
    """A receipt as JSON values with its lines, one a job or one a month's minimum, and its history."""
    lines = [_line(row) for row in tx.receipts.lines(receipt.id).iter_rows(named=True)]
    history = [{"at": _utc(event.at), "from": event.from_status, "to": event.to_status, "by": event.actor, "reason": event.reason}
               for event in tx.receipts.events(receipt.id)]
    return summary(receipt) | {"lines": lines, "history": history}


def _line(row: dict[str, Any]) -> dict[str, object]:
    """A line as JSON values; `minimum` is null but on the line of a month."""
    month = None if row["month"] is None else {
        "month": f"{row['month']:%Y-%m}", "cards": row["card_line"], "minimum_micro": row["minimum_micro"], "used_micro": row["used_micro"],
        "billed_before_micro": row["before_micro"], "shares": [
            {"rate_card": card, "days": days, "micro": micro} for card, days, micro in json.loads(row["shares"])]}
    shown = ("run_key", "job_id", "kind", "live", "rate_card", "policy", *AMOUNTS, "commitment_micro")
    return {name: row[name] for name in shown} | {"minimum": month}


def _utc(instant: datetime | None) -> str | None:
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z") if instant else None


def _listing(receipts: list[Receipt]) -> str:
    if not receipts:
        return "No receipt yet."
    rows = [(receipt.number, receipt.payer, receipt.status, receipt.lines, amount_text(receipt.total_micro, receipt.currency),
             receipt.currency, receipt.issued_at.date(), receipt.id) for receipt in receipts]
    return table(("Number", "User", "Status", "Lines", "Total", "", "Issued", "Id"), rows, right=(3, 4))


def _page(receipt: dict[str, object]) -> str:
    lines, history = receipt["lines"], receipt["history"]
    assert isinstance(lines, list) and isinstance(history, list)
    currency, total = str(receipt["currency"]), receipt["total_micro"]
    assert isinstance(total, int)
    rows = [(line["job_id"] or f"minimum of {line['minimum']['month']}", line["kind"], line["rate_card"],
             amount_text(line["cost_micro"], currency)) for line in lines]
    steps = [f"{step['at']}  {step['to']}  by {step['by']}" + (f": {step['reason']}" if step["reason"] else "") for step in history]
    return "\n".join([f"Receipt {receipt['number']} of {receipt['user']}: {receipt['status']}", "",
                      table(("Job", "Line", "Card", currency), rows, right=(3,)), "",
                      f"Total {amount_text(total, currency)} {currency}", "", *steps])
