"""Wallets on the command line: what they hold, their movements, top-ups, changes by hand, paying receipts from them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import datetime

from commands.installation import installation
from commands.output import table
from commands.receipts import summary
from data.postgres.store import PostgresTransaction, Store
from engine.money import Money, amount_text, parse_micro
from engine.payments import Payment
from engine.policy import OPERATOR
from engine.services import adjustments, project_wallets, wallets
from engine.wallets import Adjustment, AdjustmentStatus, ProjectWallet, Wallet, project_of, statement_word

HELP = "wallets: show, statement OWNER, topup, pay, adjust, adjustments, confirm, reject, withdraw, unapplied, assign, project"
Answer = dict[str, object] | list[dict[str, object]]


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wallets`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    show = verbs.add_parser("show", help="what wallets hold; a project's with who shares it")
    show.add_argument("owner", nargs="?", help="a payer, or project:NAME; default: all")
    statement = verbs.add_parser("statement", help="every movement with the balance after it, the newest first; nodes by day")
    topup = verbs.add_parser("topup", help="where to pay a top-up")
    topup.add_argument("--provider", default="", help="default: the first that is offered")
    adjust = verbs.add_parser("adjust", help="change a wallet by hand; above the limit it waits for a second person")
    for verb in (statement, topup, adjust):
        verb.add_argument("owner", help="a payer, or project:NAME")
        verb.add_argument("--currency", help="default: that of the payer's rate card")
    for verb in (topup, adjust):
        verb.add_argument("amount", help="such as 1500 or 1500.50; -250 takes it out")
    pay = verbs.add_parser("pay", help="pay a receipt from a wallet, all of it or nothing")
    pay.add_argument("receipt", help="its id or number")
    pay.add_argument("--from", dest="owner", required=True, help="a payer, or project:NAME")
    listing = verbs.add_parser("adjustments", help="the newest changes by hand")
    listing.add_argument("--status", choices=[str(status) for status in AdjustmentStatus])
    confirm = verbs.add_parser("confirm", help="confirm a large adjustment as the second person")
    reject = verbs.add_parser("reject", help="reject it")
    withdraw = verbs.add_parser("withdraw", help="take back what the operator asked for")
    for verb in (confirm, reject, withdraw):
        verb.add_argument("id")
    unapplied = verbs.add_parser("unapplied", help="money that fits nobody")
    assign = verbs.add_parser("assign", help="put it into the wallet of whose it is")
    assign.add_argument("reference", help="TXN_…, as `unapplied` lists it")
    assign.add_argument("owner", help="a payer, or project:NAME")
    for verb in (adjust, reject, assign):
        verb.add_argument("--reason", required=True)
    project = verbs.add_parser("project", help="give a project a wallet, and say who shares it")
    project.add_argument("project", help="a Slurm account")
    project.add_argument("--owner", help="open the wallet for this person")
    project.add_argument("--share", metavar="PERSON")
    project.add_argument("--unshare", metavar="PERSON")
    for verb in (show, statement, topup, adjust, pay, listing, confirm, reject, withdraw, unapplied, assign, project):
        verb.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Do what the verb says."""
    with installation() as store:
        answer, words = VERBS[args.verb](store, args)
    print(json.dumps(answer) if args.json else words)
    return 0


def _show(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    def read(tx: PostgresTransaction) -> tuple[list[Wallet], list[ProjectWallet]]:
        held = wallets.see_wallet(tx, args.owner, OPERATOR) if args.owner else tx.wallets.all()
        shared = [one for one in tx.wallets.projects() if not args.owner or one.project == project_of(args.owner)]
        return held, shared
    held, shared = store.read(read)
    members = {f"project:{one.project}": list(one.members) for one in shared}
    rows = [(one.owner, amount_text(one.balance_micro, one.currency), amount_text(one.frozen_micro, one.currency), one.currency,
             ", ".join(members.get(one.owner, []))) for one in held]
    rows += [(owner, "–", "–", "", ", ".join(names)) for owner, names in members.items() if owner not in {one.owner for one in held}]
    answer = [_wallet(one) | ({"members": members[one.owner]} if one.owner in members else {}) for one in held]
    return answer, table(("Wallet", "Balance", "Frozen", "", "Shared by"), rows, right=(1, 2)) if rows else "No wallet was used yet."


def _statement(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    def read(tx: PostgresTransaction) -> list[dict[str, object]]:
        held = wallets.see_wallet(tx, args.owner, OPERATOR)
        return tx.wallets.statement(args.owner, args.currency or held[0].currency, tx.settings.time_zone).to_dicts()
    lines = store.read(read)
    rows = [(_utc(line["at"]), statement_word(str(line["key"])), amount_text(_int(line["moved_micro"]), str(line["currency"])),
             amount_text(_int(line["balance_micro"]), str(line["currency"])), line["currency"], line["actor"], str(line["memo"])[:70])
            for line in lines]
    answer = [line | {"at": _utc(line["at"]), "what": statement_word(str(line["key"]))} for line in lines]
    return answer, table(("At", "What", "Amount", "Balance", "", "By", "Why"), rows, right=(2, 3)) if rows else "Nothing moved yet."


def _money(store: Store, args: argparse.Namespace) -> Money:
    currency = args.currency or store.read(lambda tx: wallets.currencies_of(tx, args.owner))[0]
    return Money(parse_micro(args.amount), currency)


def _topup(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    money = _money(store, args)
    started = store.run(lambda tx: wallets.start_topup(tx, args.owner, money, OPERATOR, args.provider), actor=OPERATOR.name,
                        place="wallets.topup")
    payment = started.payment
    words = f"{payment.money} at {payment.provider} for the wallet of {payment.wallet}, reference {payment.reference}, open until"
    return _payment(payment) | {"url": started.url}, f"{words} {_utc(payment.expires_at)}:\n{started.url}"


def _pay(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    receipt = store.run(lambda tx: wallets.pay_from_wallet(tx, args.receipt, args.owner, OPERATOR), actor=OPERATOR.name,
                        place="wallets.pay")
    return summary(receipt), f"Receipt {receipt.number} is {receipt.status}, from the wallet of {args.owner}."


def _adjust(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    money = _money(store, args)
    return _decided(store.run(lambda tx: adjustments.request_adjustment(tx, args.owner, money, args.reason, OPERATOR),
                              actor=OPERATOR.name, place="wallets.adjust"))


def _confirm(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    return _decided(store.run(lambda tx: adjustments.confirm_adjustment(tx, args.id, OPERATOR), actor=OPERATOR.name,
                              place="wallets.confirm"))


def _reject(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    return _decided(store.run(lambda tx: adjustments.reject_adjustment(tx, args.id, args.reason, OPERATOR), actor=OPERATOR.name))


def _withdraw(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    return _decided(store.run(lambda tx: adjustments.withdraw_adjustment(tx, args.id, OPERATOR), actor=OPERATOR.name))


def _decided(one: Adjustment) -> tuple[Answer, str]:
    waits = ": above the limit, a second person confirms it" if one.status is AdjustmentStatus.REQUESTED else ""
    return _adjustment(one), f"Adjustment {one.id} of {one.wallet} by {one.money} is {one.status}{waits}."


def _adjustments(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    found = store.read(lambda tx: tx.wallets.adjustments(args.status))
    rows = [(one.id, one.wallet, amount_text(one.amount_micro, one.currency), one.currency, one.status, one.requested_by,
             one.decided_by or "–", one.reason[:60]) for one in found]
    return [_adjustment(one) for one in found], (
        table(("Id", "Wallet", "Amount", "", "State", "Asked by", "Decided by", "Reason"), rows, right=(2,)) if rows
        else "No adjustment.")


def _unapplied(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    found = store.read(lambda tx: tx.payments.unapplied())
    rows = [(one.reference, one.provider, amount_text(one.received_micro, one.currency), one.currency, _utc(one.created_at), one.note[:90])
            for one in found]
    return [_payment(one) for one in found], (
        table(("Reference", "Provider", "Amount", "", "Came", "Why"), rows, right=(2,)) if rows else "No money is unapplied.")


def _assign(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    one = store.run(lambda tx: wallets.assign_unapplied(tx, args.reference, args.owner, args.reason, OPERATOR), actor=OPERATOR.name,
                    place="wallets.assign")
    return _payment(one), f"{one.received} of {one.reference} is in the wallet of {one.wallet}."


def _project(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    def work(tx: PostgresTransaction) -> ProjectWallet | None:
        if args.owner:
            project_wallets.open_project_wallet(tx, args.project, args.owner, OPERATOR)
        if args.share:
            project_wallets.share_project_wallet(tx, args.project, args.share, OPERATOR)
        if args.unshare:
            project_wallets.unshare_project_wallet(tx, args.project, args.unshare, OPERATOR)
        return tx.wallets.project(args.project)
    found = store.run(work, actor=OPERATOR.name)
    if found is None:
        return {}, f"The project {args.project} has no wallet."
    return ({"project": found.project, "owner": found.owner, "members": list(found.members)},
            f"The wallet of {found.project} is owned by {found.owner} and shared by {', '.join(found.members)}.")


VERBS: dict[str, Callable[[Store, argparse.Namespace], tuple[Answer, str]]] = {
    "show": _show, "statement": _statement, "topup": _topup, "pay": _pay, "adjust": _adjust, "confirm": _confirm, "reject": _reject,
    "withdraw": _withdraw, "adjustments": _adjustments, "unapplied": _unapplied, "assign": _assign, "project": _project}


def _wallet(one: Wallet) -> dict[str, object]:
    return {"owner": one.owner, "currency": one.currency, "balance_micro": one.balance_micro, "frozen_micro": one.frozen_micro,
            "available_micro": one.available_micro}


def _payment(one: Payment) -> dict[str, object]:
    return {"reference": one.reference, "wallet": one.wallet, "provider": one.provider, "amount_micro": one.amount_micro,
            "received_micro": one.received_micro, "currency": one.currency, "status": str(one.status), "note": one.note,
            "created_at": _utc(one.created_at)}


def _adjustment(one: Adjustment) -> dict[str, object]:
    return {"id": one.id, "wallet": one.wallet, "currency": one.currency, "amount_micro": one.amount_micro, "reason": one.reason,
            "needs_second": one.needs_second, "status": str(one.status), "requested_by": one.requested_by,
            "requested_at": _utc(one.requested_at), "decided_by": one.decided_by, "decided_at": _utc(one.decided_at),
            "decision": one.decision}


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _utc(instant: object) -> str | None:
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z") if isinstance(instant, datetime) else None
