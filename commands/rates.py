"""The rate book on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from commands import rating_again
from commands.installation import installation
from data.postgres.store import Store
from engine.errors import NotFound, RateError
from engine.periods import parse_span
from engine.policy import OPERATOR
from engine.rate_reading import naming_lines, read_drafts
from engine.rate_text import card_facts, cards_to_text, difference
from engine.rates import RateCard, valid_cards
from engine.services.rates import publish_text

HELP = "the rate book: show, publish --file F, diff A B, try --file F, rerate --file F"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rates`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    show = verbs.add_parser("show", help="cards as YAML, the way publish reads it")
    show.add_argument("--tier", help="of one tier only")
    show.add_argument("--project", help="of one project (Slurm account) only")
    show.add_argument("--at", metavar="TIME", help="only what is valid then, such as 2026-11-01 or now")
    shape = show.add_mutually_exclusive_group()
    shape.add_argument("--yaml", action="store_true", help="as YAML, which is what it does anyhow")
    shape.add_argument("--json", action="store_true")
    publish = verbs.add_parser("publish", help="publish the cards of a YAML or JSON file, all or none")
    publish.add_argument("--file", required=True, help="the file, or - for standard input")
    publish.add_argument("--json", action="store_true")
    diff = verbs.add_parser("diff", help="what changed from one card to another, line by line")
    diff.add_argument("old", metavar="A", help="a card's name, such as gov-v1")
    diff.add_argument("new", metavar="B", help="another's, such as gov-v2")
    rating_again.configure(verbs)


def run(args: argparse.Namespace) -> int:
    """Show, compare or publish cards, or price again by them."""
    if args.verb in rating_again.VERBS:
        drafts = read_drafts(_read(args.file))
        with naming_lines(drafts):
            return rating_again.run(args, [draft.card for draft in drafts])
    if args.verb == "diff":
        with installation() as store:
            print(_difference(store, args.old, args.new), end="")
        return 0
    if args.verb == "publish":
        text = _read(args.file)
        with installation() as store:
            cards = store.run(lambda tx: publish_text(tx, text, OPERATOR), actor=OPERATOR.name)
    else:
        with installation() as store:
            cards = _shown(store, args)
    print(json.dumps([card_facts(card) for card in cards]) + "\n" if args.json else cards_to_text(cards), end="")
    return 0


def _shown(store: Store, args: argparse.Namespace) -> list[RateCard]:
    book = store.read(lambda tx: tx.rates.book())
    if args.at:
        moment, _ = parse_span(args.at, None, datetime.now(UTC), store.settings.zone)
        assert moment is not None
        book = valid_cards(book, moment)
    if args.tier is None and args.project is None:
        return book
    return [card for card in book if (card.tier or None, card.project or None) == (args.tier, args.project)]


def _difference(store: Store, old: str, new: str) -> str:
    book = {card.name: card for card in store.read(lambda tx: tx.rates.book())}
    for name in (old, new):
        if name not in book:
            raise NotFound(f"No card {name!r}; there are {', '.join(book)}.")
    return difference(book[old], book[new])


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RateError(f"{name} cannot be read: {error}.") from None
