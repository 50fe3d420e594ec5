"""The audit chain on the command line."""

from __future__ import annotations

import argparse
import json

from commands.installation import installation
from commands.output import table
from engine.audit import verify

HELP = "the audit chain: verify, list"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `audit`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    verifying = verbs.add_parser("verify", help="walk the whole chain; exit 1 when an entry was changed, cut off or reordered")
    listing = verbs.add_parser("list", help="the newest entries")
    listing.add_argument("--limit", type=int, default=50)
    for verb in (verifying, listing):
        verb.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Verify or list."""
    return _verify(args) if args.verb == "verify" else _list(args)


def _verify(args: argparse.Namespace) -> int:
    with installation() as store:
        anchors = list(store.anchors.read())        # before the chain: those noted meanwhile speak of entries it does not see
        found = store.read(lambda tx: verify(tx.audit.chain(), tx.audit.head(), anchors, store.audit_keys()))
    if args.json:
        print(json.dumps({"ok": found.ok, "checked": found.checked, "first_bad": found.first_bad, "reason": found.reason}))
    else:
        print(f"{found.checked} entries verified: the chain, its head and its anchors agree." if found.ok
              else f"Entry {found.first_bad} does not hold: {found.reason}. The {found.checked} before it do.")
    return 0 if found.ok else 1


def _list(args: argparse.Namespace) -> int:
    with installation() as store:
        entries = store.read(lambda tx: tx.audit.newest(args.limit))
    if args.json:
        print(json.dumps([json.loads(entry.body) | {"id": entry.id} for entry in entries]))
    else:
        print(table(("Entry", "At", "By", "Action", "Subject"), [
            (entry.id, entry.at.isoformat(timespec="seconds"), entry.actor, entry.action, entry.subject) for entry in entries], right=(0,)))
    return 0
