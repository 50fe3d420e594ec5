"""The rate book on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from commands import rating_again
from commands.installation import installation
from engine.errors import RateError
from engine.policy import OPERATOR
from engine.rate_text import card_facts, cards_from_text, cards_to_text
from engine.services.rates import publish_cards

HELP = "the rate book: show, publish --file F, try --file F, rerate --file F"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rates`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    show = verbs.add_parser("show", help="every card as YAML, the way publish reads it")
    show.add_argument("--tier", help="of one tier only")
    show.add_argument("--json", action="store_true")
    publish = verbs.add_parser("publish", help="publish the cards of a YAML or JSON file, all or none")
    publish.add_argument("--file", required=True, help="the file, or - for standard input")
    publish.add_argument("--json", action="store_true")
    rating_again.configure(verbs)


def run(args: argparse.Namespace) -> int:
    """Show or publish cards, or price again by them."""
    if args.verb in rating_again.VERBS:
        return rating_again.run(args, cards_from_text(_read(args.file)))
    if args.verb == "publish":
        drafts = cards_from_text(_read(args.file))
        with installation() as store:
            cards = store.run(lambda tx: publish_cards(tx, drafts, OPERATOR), actor=OPERATOR.name)
    else:
        with installation() as store:
            cards = [card for card in store.read(lambda tx: tx.rates.book()) if args.tier in (None, card.tier)]
    print(json.dumps([card_facts(card) for card in cards]) + "\n" if args.json else cards_to_text(cards), end="")
    return 0


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RateError(f"{name} cannot be read: {error}.") from None
