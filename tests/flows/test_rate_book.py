"""Publishing from a file: what is in the way is refused with its line, and nothing of the file is published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.postgres.store import Store
from engine.errors import RateError
from engine.policy import OPERATOR
from engine.rate_text import cards_from_text, cards_to_text
from engine.services.rates import publish_text
from tests.conftest import Corehours
from tests.engine.usage_frames import run
from tests.flows.examples import LATER, bill, broken, keep_runs

TWO = """\
- tier: gov
  currency: THB
  valid_from: 2026-12-01
  policy: used
  rounding: per_job_minor
  prices:
    cpu: 4
    gpu: {default: 10, a100: 25}

- project: ai-lab
  currency: THB
  valid_from: 2026-12-01
  policy: max_of
  rounding: per_job_minor
  time_zone: Asia/Bangkok
  prices:
    cpu: {price: 3, free: 100}
    node: {steps: [{above: 0, price: 30}, {above: 1000, price: 25, flat: 100}]}
  modifiers:
    - {name: peak, hours: 18:00-23:00, factor: 1.2}
"""


def published(store: Store, text: str) -> list[str]:
    return [card.name for card in store.run(lambda tx: publish_text(tx, text, OPERATOR), actor="operator")]


def test_cards_of_tiers_and_projects_stand_in_the_book_as_they_were_written(store: Store) -> None:
    assert published(store, TWO) == ["gov-v2", "project:ai-lab-v1"]
    book = {card.name: card for card in store.read(lambda tx: tx.rates.book())}
    assert list(book) == ["gov-v1", "gov-v2", "mu-v1", "private-v1", "project:ai-lab-v1"]
    again = cards_from_text(cards_to_text([book["gov-v2"], book["project:ai-lab-v1"]]))
    assert again == cards_from_text(TWO)
    assert broken(store) == []


@pytest.mark.parametrize(("was", "becomes", "sentence"), [
    ("factor: 1.2}", "factor: 1.2}\n  commitment: -500", "In line 21, commitment: '-500' is negative"),
    ("factor: 1.2}", "factor: 1.2}\n  commitment: {amount: 500, unused: true}",
     "In line 21, commitment.unused: a project is nobody's own"),
    ("factor: 1.2}", "factor: 90}\n    - {name: night, hours: 20:00-22:00, factor: 90}", "modifiers: The modifiers peak, night may"),
    ("currency: THB\n  valid_from: 2026-12-01\n  policy: max_of", "currency: THB\n  valid_from: 2026-12-01\n  policy: dearest",
     "In line 13, policy: 'dearest' is not one of"),
    ("- tier: gov\n  currency: THB", "- tier: gov\n  currency: EUR", "In line 2, currency: Tier gov is billed in THB"),
    ("- tier: gov\n  currency: THB\n  valid_from: 2026-12-01", "- tier: gov\n  currency: THB\n  valid_from: 1969-12-01",
     "In line 3, valid_from: valid_from 1969-12-01T00:00:00+00:00 is not after that of gov-v1"),
    ("tier: gov\n  currency: THB\n  valid_from: 2026-12-01", "tier: mu\n  currency: THB\n  valid_from: 2026-09-01",
     "In line 3, valid_from: Receipts were issued for jobs of tier mu that ended up to 2026-09-21"),
    ("project: ai-lab\n  currency: THB\n  valid_from: 2026-12-01", "project: physics\n  currency: THB\n  valid_from: 2026-09-01",
     "In line 12, valid_from: Receipts were issued for jobs of project physics that ended up to 2026-09-21"),
])
def test_what_is_in_the_way_is_refused_with_its_line_and_nothing_is_published(store: Store, was: str, becomes: str, sentence: str) -> None:
    keep_runs(store, run())
    bill(store)
    text = TWO.replace(was, becomes, 1)
    assert text != TWO
    with pytest.raises(RateError) as refusal:
        published(store, text)
    assert sentence in refusal.value.sentence
    assert len(store.read(lambda tx: tx.rates.book())) == 3


def test_a_projects_card_may_begin_before_receipts_of_other_projects(store: Store) -> None:
    keep_runs(store, run())
    bill(store)
    assert published(store, TWO.replace("2026-12-01", "2026-09-01").split("\n\n")[1]) == ["project:ai-lab-v1"]


def test_the_book_on_the_command_line(corehours: Corehours, tmp_path: Path) -> None:
    file = tmp_path / "cards.yaml"
    file.write_text(TWO, encoding="utf-8")
    done = corehours("rates", "publish", "--file", str(file))
    assert done.returncode == 0 and done.stdout.startswith("# gov-v2\n- tier: gov\n"), done.stderr
    shown = corehours("rates", "show", "--yaml", "--project", "ai-lab").stdout
    assert cards_from_text(shown) == cards_from_text(TWO)[1:]
    moments = ("2026-11-30T16:59:59Z", "2026-12-01T00:00:00Z")
    at = [json.loads(corehours("rates", "show", "--json", "--at", moment).stdout) for moment in moments]
    assert [[card["name"] for card in cards] for cards in at] == [
        ["gov-v1", "mu-v1", "private-v1"], ["gov-v2", "mu-v1", "private-v1", "project:ai-lab-v1"]]
    changed = corehours("rates", "diff", "gov-v1", "gov-v2").stdout
    assert "-  cpu: 3.00\n-  gpu: 10.00\n-  mem: 1.00\n" in changed and "+    a100: 25.00\n" in changed
    refused = corehours("rates", "publish", "--file", str(file))
    assert refused.returncode == 1 and "In line 3, valid_from: valid_from 2026-12-01" in refused.stderr
    assert corehours("rates", "diff", "gov-v1", "gov-v9").returncode == 1


def test_a_projects_card_prices_what_is_run_in_it_whoever_pays(store: Store) -> None:
    """alice is at mu: 28.20 by the tier's card; 4 cores × 2 h × 2.00 by the project's, which counts what was set aside."""
    keep_runs(store, run(), run(2, account_name="chemistry"))
    card = TWO.split("\n\n")[1].replace("ai-lab", "physics").replace("2026-12-01", "2026-01-01").replace("max_of", "allocated")
    head = card.split("  prices:\n")[0]
    assert published(store, head + "  prices: {cpu: 2}\n") == ["project:physics-v1"]
    rows = store.read(lambda tx: tx.receipts.open_runs("alice", LATER)).sort("run_key")
    assert rows.select("rate_card", "cost_micro").rows() == [("project:physics-v1", 16_000_000), ("mu-v1", 28_200_000)]
    assert broken(store) == []


def test_the_line_that_is_wrong_is_named_by_every_command_that_reads_cards(corehours: Corehours, tmp_path: Path) -> None:
    """Publishing, trying and re-rating: what the text says wrong, and what the book has against it."""
    file, one = tmp_path / "cards.yaml", TWO.split("\n\n")[0]
    for was, becomes, sentence in (
            ("cpu: 4", "cpu: -4", "In line 7, prices.cpu: '-4' is negative"),
            ("- tier: gov\n  currency: THB", "- tier: gov\n  currency: EUR", "In line 2, currency: Tier gov is billed in THB")):
        file.write_text(one.replace(was, becomes, 1), encoding="utf-8")
        for words in (("publish",), ("try",), ("rerate", "--yes")):
            refused = corehours("rates", *words, "--file", str(file))
            assert refused.returncode == 1 and sentence in refused.stderr, words
    file.write_text(TWO.replace("THB", "EUR", 1), encoding="utf-8")
    assert "In line 11, currency: Its cards are in EUR and THB" in corehours("rates", "try", "--file", str(file)).stderr
