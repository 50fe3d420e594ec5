"""Allocations on the command line: who holds which node and what it cost, and ending one with a reason."""

from __future__ import annotations

import argparse
import json

from commands.installation import installation
from commands.output import table
from data.postgres.store import PostgresTransaction, Store
from engine.allocations import Allocation
from engine.money import amount_text
from engine.policy import OPERATOR
from engine.services.allocations import release_allocation, retry_cleanup

HELP = "allocations: who holds which GPU node and what it cost; release ID, cleanup ID"
Answer = dict[str, object] | list[dict[str, object]]


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `allocations`."""
    verbs = parser.add_subparsers(dest="verb")
    parser.add_argument("-u", "--user", default="", help="of one person only")
    parser.add_argument("--all", action="store_true", help="those that are over too, the newest 200")
    release = verbs.add_parser("release", help="end one: charged to this second; its holder is told why")
    release.add_argument("id")
    release.add_argument("--reason", required=True)
    cleanup = verbs.add_parser("cleanup", help="try the clean-up of its node now")
    cleanup.add_argument("id")
    for parent in (parser, release, cleanup):
        parent.add_argument("--json", action="store_true", **({} if parent is parser else {"default": argparse.SUPPRESS}))


def run(args: argparse.Namespace) -> int:
    """Do what the verb says; without one, list."""
    with installation() as store:
        answer, words = {"release": _release, "cleanup": _cleanup}.get(args.verb or "", _list)(store, args)
    print(json.dumps(answer) if args.json else words)
    return 0


def _list(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    def read(tx: PostgresTransaction) -> tuple[list[Allocation], dict[str, str]]:
        found = tx.allocations.newest() if args.all else tx.allocations.live()
        return [one for one in found if args.user in ("", one.holder)], {one.id: one.address.name for one in tx.nodes.all(retired=True)}
    found, names = store.read(read)
    rows = [(one.id, names[one.node_id], one.holder, one.wallet, one.state, _utc(one.active_at) or "–",
             amount_text(one.price_micro_per_hour), amount_text(one.charged_micro), one.currency) for one in found]
    words = table(("Allocation", "Node", "Held by", "Wallet", "State", "Since", "An hour", "So far", ""), rows, right=(6, 7))
    return [_facts(one, names[one.node_id]) for one in found], words if rows else "Nobody holds a node."


def _release(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    one = store.run(lambda tx: release_allocation(tx, args.id, OPERATOR, args.reason), actor=OPERATOR.name)
    return _facts(one), f"Allocation {one.id} of {one.holder} is {one.state}: it was charged {one.charged} in all."


def _cleanup(store: Store, args: argparse.Namespace) -> tuple[Answer, str]:
    one = store.run(lambda tx: retry_cleanup(tx, args.id, OPERATOR), actor=OPERATOR.name)
    return _facts(one), f"A sidecar tries to clean the node of {one.id} now."


def _facts(one: Allocation, node: str = "") -> dict[str, object]:
    return ({"node": node} if node else {}) | {
        "id": one.id, "held_by": one.holder, "wallet": one.wallet, "currency": one.currency, "state": str(one.state), "reason": one.reason,
        "price_micro_per_hour": one.price_micro_per_hour, "charged_micro": one.charged_micro, "billed_seconds": one.billed_seconds,
        "requested_at": _utc(one.requested_at), "active_at": _utc(one.active_at), "charged_to": _utc(one.charged_to),
        "stopped_at": _utc(one.stopped_at), "until_at": _utc(one.until_at), "idle_minutes": one.idle_minutes}


def _utc(instant: object) -> str | None:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}" if instant else None
