"""Who is billed at which tier."""

from __future__ import annotations

import argparse
import json

from commands.installation import installation
from commands.output import table
from engine.policy import OPERATOR
from engine.services.payers import set_tier

HELP = "who is billed at which tier: list, set-tier USER TIER"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `accounts`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    listing = verbs.add_parser("list", help="everybody who is billed, with their tier")
    listing.add_argument("--json", action="store_true")
    setting = verbs.add_parser("set-tier", help="bill USER at TIER; unbilled jobs are priced anew")
    setting.add_argument("user")
    setting.add_argument("tier")
    setting.add_argument("--reason", default="", help="kept in the audit trail")
    setting.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """List payers or set a tier."""
    with installation() as store:
        if args.verb == "set-tier":
            payer = store.run(lambda tx: set_tier(tx, args.user, args.tier, OPERATOR, args.reason), actor=OPERATOR.name)
            print(json.dumps({"user": payer.name, "tier": payer.tier}) if args.json else f"{payer.name} is billed at tier {payer.tier}.")
            return 0
        payers = store.read(lambda tx: tx.payers.all())
    if args.json:
        print(json.dumps([{"user": payer.name, "tier": payer.tier} for payer in payers]))
    else:
        print(table(("User", "Tier"), [(payer.name, payer.tier) for payer in payers]) if payers else "Nobody is billed yet.")
    return 0
