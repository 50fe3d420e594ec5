"""Payments on the command line: what was asked for, what providers told us, and applying an event again."""

from __future__ import annotations

import argparse
import json
from datetime import datetime

from commands.installation import installation
from commands.output import table
from data.postgres.shelves.inbox import InboxRow
from data.postgres.store import PostgresTransaction
from engine.money import amount_text
from engine.outbox import Job, JobState
from engine.payments import Payment
from engine.policy import OPERATOR
from engine.services.events import replay_event
from engine.services.outbox import replay_job
from engine.services.payments import StartedPayment, start_payment

HELP = "payments: start RECEIPT, list, inbox (what providers told us), outbox (what is to be done outside), replay ID"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `payments`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    start = verbs.add_parser("start", help="a payment of a pending receipt, or the one that is open: where to pay it")
    start.add_argument("receipt", help="its id or number")
    listing = verbs.add_parser("list", help="the newest payments")
    inbox = verbs.add_parser("inbox", help="the newest webhook events and what became of them")
    inbox.add_argument("--state", choices=["received", "processing", "processed", "failed"])
    inbox.add_argument("--body", action="store_true", help="with what came, byte for byte")
    outbox = verbs.add_parser("outbox", help="the newest jobs that are done outside after a commit: refunds, documents, mail")
    outbox.add_argument("--state", choices=[str(state) for state in JobState])
    for verb in (listing, inbox, outbox):
        verb.add_argument("--most", type=int, default=100, help="how many (default %(default)s)")
    replay = verbs.add_parser("replay", help="apply an event again (money that was posted is not posted twice), or try a job again")
    replay.add_argument("id", type=int, help="its number in the inbox, or in the outbox")
    replay.add_argument("--outbox", action="store_true", help="a dead or waiting job of the outbox")
    for verb in (start, listing, inbox, outbox, replay):
        verb.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Do what the verb says."""
    with installation() as store:
        if args.verb == "start":
            _tell_start(store.run(lambda tx: start_payment(tx, args.receipt, OPERATOR), actor=OPERATOR.name,
                                  place="payment.start"), args.json)
        elif args.verb == "list":
            _list_payments(store.read(lambda tx: tx.payments.all(args.most)), args.json)
        elif args.verb == "inbox":
            _list_events(store.read(lambda tx: tx.inbox.newest(args.most, args.state)), args)
        elif args.verb == "outbox":
            _list_jobs(store.read(lambda tx: tx.outbox.newest(args.most, args.state)), args.json)
        elif args.outbox:
            job = store.run(lambda tx: replay_job(tx, args.id, OPERATOR), actor=OPERATOR.name)
            print(json.dumps(_job(job)) if args.json else f"Job {job.id} is due; a running sidecar tries it now.")
        else:
            event = store.run(lambda tx: _replay(tx, args.id), actor=OPERATOR.name)
            print(json.dumps(_event(event)) if args.json else f"Event {event.id} is due; a running sidecar applies it now.")
    return 0


def _replay(tx: PostgresTransaction, number: int) -> InboxRow:
    replay_event(tx, number, OPERATOR)
    event = tx.inbox.get(number)
    assert event is not None
    return event


def _tell_start(started: StartedPayment, as_json: bool) -> None:
    payment = started.payment
    words = f"{payment.money} at {payment.provider}, reference {payment.reference}, open until {_utc(payment.expires_at)}"
    print(json.dumps(_payment(payment) | {"url": started.url}) if as_json else f"{words}:\n{started.url}")


def _list_payments(payments: list[Payment], as_json: bool) -> None:
    if as_json:
        print(json.dumps([_payment(payment) for payment in payments]))
        return
    rows = [(payment.reference, payment.provider, payment.status, amount_text(payment.amount_micro, payment.currency),
             payment.currency, _utc(payment.created_at), payment.receipt_id or f"wallet of {payment.wallet or 'nobody'}")
            for payment in payments]
    print(table(("Reference", "Provider", "State", "Amount", "", "Started", "For"), rows, right=(3,))
          if rows else "No payment yet.")


def _list_events(events: list[InboxRow], args: argparse.Namespace) -> None:
    if args.json:
        bodies = [{"body": event.body.decode("utf-8", "replace")} if args.body else {} for event in events]
        print(json.dumps([_event(event) | body for event, body in zip(events, bodies, strict=True)]))
        return
    rows = [(event.id, _utc(event.received_at), event.provider, event.event_key, event.kind, event.state, event.attempts,
             event.outcome[:90]) for event in events]
    print(table(("Id", "Came", "Provider", "Event", "Kind", "State", "Tries", "Outcome"), rows, right=(0, 6))
          if rows else "The inbox is empty.")
    if args.body:
        print("\n".join(f"\n{event.id}: {event.body.decode('utf-8', 'replace')}" for event in events))


def _list_jobs(jobs: list[Job], as_json: bool) -> None:
    if as_json:
        print(json.dumps([_job(job) for job in jobs]))
        return
    rows = [(job.id, _utc(job.created_at), job.kind, job.key, job.state, job.attempts, job.outcome[:90]) for job in jobs]
    print(table(("Id", "Queued", "Kind", "Key", "State", "Tries", "Outcome"), rows, right=(0, 5)) if rows else "The outbox is empty.")


def _job(job: Job) -> dict[str, object]:
    return {"id": job.id, "kind": job.kind, "key": job.key, "payload": dict(job.payload), "state": str(job.state),
            "attempts": job.attempts, "created_by": job.created_by, "created_at": _utc(job.created_at), "due_at": _utc(job.due_at),
            "done_at": _utc(job.done_at), "outcome": job.outcome}


def _payment(payment: Payment) -> dict[str, object]:
    return {"reference": payment.reference, "purpose": str(payment.purpose), "wallet": payment.wallet,
            "receipt_id": payment.receipt_id, "provider": payment.provider,
            "livemode": payment.livemode, "amount_micro": payment.amount_micro, "currency": payment.currency,
            "received_micro": payment.received_micro, "money": payment.money_ref, "note": payment.note,
            "status": str(payment.status), "created_by": payment.created_by, "created_at": _utc(payment.created_at),
            "expires_at": _utc(payment.expires_at), "settled_at": _utc(payment.settled_at)}


def _event(event: InboxRow) -> dict[str, object]:
    return {"id": event.id, "provider": event.provider, "livemode": event.livemode, "event": event.event_key,
            "kind": event.kind, "state": event.state, "attempts": event.attempts, "received_at": _utc(event.received_at),
            "processed_at": _utc(event.processed_at), "due_at": _utc(event.due_at), "outcome": event.outcome}


def _utc(instant: datetime | None) -> str | None:
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z") if instant else None
