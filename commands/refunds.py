"""Refunds on the command line: give money back, see what is on its way back, and the disputes that were begun elsewhere."""

from __future__ import annotations

import argparse
import json
from datetime import datetime

from commands.installation import installation
from commands.output import table
from data.postgres.store import PostgresTransaction, Store
from engine.disputes import Dispute
from engine.errors import NotFound
from engine.money import Money, amount_text, parse_micro
from engine.policy import OPERATOR
from engine.refunds import Refund, RefundStatus
from engine.services.refunds import request_refund

HELP = "refunds: request PAYMENT|RECEIPT (--amount A | --all) --reason R, list, show ID, disputes"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `refunds`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    request = verbs.add_parser("request", help="give money of a payment back; a running sidecar asks the provider")
    request.add_argument("what", help="a payment's reference (TXN_…), or its receipt's id or number")
    how_much = request.add_mutually_exclusive_group(required=True)
    how_much.add_argument("--amount", help="in the payment's currency, such as 12.50")
    how_much.add_argument("--all", action="store_true", help="all that is left of the payment")
    request.add_argument("--reason", required=True, help="at least 10 characters; it stays with the refund")
    listing = verbs.add_parser("list", help="the newest refunds")
    listing.add_argument("--status", choices=[str(status) for status in RefundStatus])
    show = verbs.add_parser("show", help="one refund with its history")
    show.add_argument("id")
    disputes = verbs.add_parser("disputes", help="the newest disputes")
    for verb in (listing, disputes):
        verb.add_argument("--most", type=int, default=100, help="how many (default %(default)s)")
    for verb in (request, listing, show, disputes):
        verb.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Do what the verb says."""
    with installation() as store:
        if args.verb == "list":
            _list_refunds(store.read(lambda tx: [(refund, _reference(tx, refund)) for refund in tx.refunds.newest(args.most, args.status)]),
                          args.json)
        elif args.verb == "disputes":
            _list_disputes(store.read(lambda tx: tx.disputes.newest(args.most)), args.json)
        else:
            refund = _request(store, args) if args.verb == "request" else _found(store, args.id)
            _tell(store.read(lambda tx: _whole(tx, refund)), args.json)
    return 0


def _request(store: Store, args: argparse.Namespace) -> Refund:
    def work(tx: PostgresTransaction) -> Refund:
        payment = tx.payments.find(args.what)
        receipt = tx.receipts.get(args.what) if payment is None else None
        currency = payment.currency if payment else receipt.currency if receipt else store.settings.default_currency
        amount = None if args.all else Money(parse_micro(args.amount), currency)
        return request_refund(tx, args.what, amount, args.reason, OPERATOR)
    return store.run(work, actor=OPERATOR.name, place="refund.request")


def _found(store: Store, id: str) -> Refund:
    found = store.read(lambda tx: tx.refunds.get(id))
    if found is None:
        raise NotFound(f"No refund {id!r}.")
    return found


def _reference(tx: PostgresTransaction, refund: Refund) -> str:
    payment = tx.payments.by_id(refund.payment_id)
    return payment.reference if payment else ""


def _list_refunds(found: list[tuple[Refund, str]], as_json: bool) -> None:
    if as_json:
        print(json.dumps([_refund(refund, reference) for refund, reference in found]))
        return
    rows = [(refund.id, _utc(refund.requested_at), reference, refund.status, amount_text(refund.amount_micro, refund.currency),
             refund.currency, refund.provider_ref or "", refund.why or refund.reason) for refund, reference in found]
    print(table(("Id", "Requested", "Payment", "Status", "Amount", "", "At the provider", "Why"), rows, right=(4,))
          if rows else "Nothing was given back yet.")


def _list_disputes(found: list[Dispute], as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"id": one.id, "payment_id": one.payment_id, "provider": one.provider, "provider_ref": one.provider_ref,
                           "amount_micro": one.amount_micro, "currency": one.currency, "status": str(one.status), "reason": one.reason,
                           "opened_at": _utc(one.opened_at), "withdrawn_at": _utc(one.withdrawn_at),
                           "reinstated_at": _utc(one.reinstated_at), "closed_at": _utc(one.closed_at)} for one in found]))
        return
    rows = [(one.id, _utc(one.opened_at), one.provider, one.provider_ref, one.status, amount_text(one.amount_micro, one.currency),
             one.currency, one.reason) for one in found]
    print(table(("Id", "Opened", "Provider", "There", "Status", "Amount", "", "Reason"), rows, right=(5,)) if rows else "No dispute yet.")


def _whole(tx: PostgresTransaction, refund: Refund) -> dict[str, object]:
    steps = [{"at": _utc(step.at), "from": step.from_status, "to": step.to_status, "by": step.actor, "why": step.why}
             for step in tx.refunds.steps(refund.id)]
    return _refund(refund, _reference(tx, refund)) | {"history": steps}


def _refund(refund: Refund, reference: str) -> dict[str, object]:
    return {"id": refund.id, "payment": reference, "provider": refund.provider, "provider_ref": refund.provider_ref,
            "livemode": refund.livemode, "status": str(refund.status), "amount_micro": refund.amount_micro, "currency": refund.currency,
            "from_receipt_micro": refund.from_receipt_micro, "from_wallet_micro": refund.from_wallet_micro,
            "from_unapplied_micro": refund.from_unapplied_micro, "from_write_off_micro": refund.from_write_off_micro,
            "origin": str(refund.origin), "reason": refund.reason, "why": refund.why, "requested_by": refund.requested_by,
            "requested_at": _utc(refund.requested_at), "settled_at": _utc(refund.settled_at)}


def _tell(whole: dict[str, object], as_json: bool) -> None:
    if as_json:
        print(json.dumps(whole))
        return
    history = whole["history"]
    assert isinstance(history, list) and isinstance(whole["amount_micro"], int)
    amount = amount_text(whole["amount_micro"], str(whole["currency"]))
    lines = [f"{step['at']}  {step['to']}  by {step['by']}" + (f": {step['why']}" if step["why"] else "") for step in history]
    print("\n".join([f"Refund {whole['id']} of {amount} {whole['currency']} of payment {whole['payment']}: {whole['status']}",
                     f"{whole['reason']}", "", *lines]))


def _utc(instant: datetime | None) -> str | None:
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z") if instant else None
