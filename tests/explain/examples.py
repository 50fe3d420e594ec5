"""What the explanations' tests share: a question to real books, and a file that a source might have written."""

from __future__ import annotations

from pathlib import Path

from data.postgres.store import Store
from engine.explained import Answer, Explained
from engine.policy import OPERATOR
from engine.rate_text import cards_from_text
from engine.services.explain import explain_job
from engine.services.rates import publish_cards
from engine.users import Person
from ingest.keep import keep
from ingest.sources.file import FileSource


def ask(store: Store, job: str, by: Person = OPERATOR, cluster: str = "") -> Answer:
    """What is known of `job`."""
    return store.read(lambda tx: explain_job(tx, job, by, cluster))


def only(store: Store, job: str = "1", by: Person = OPERATOR) -> Explained:
    """The one run of `job`."""
    [one] = ask(store, job, by).runs
    assert one.disagrees == ""
    return one


def codes(one: Explained | Answer) -> list[str]:
    """The codes of its reasons."""
    return [str(because.reason) for because in one.reasons]


def load(store: Store, path: Path, text: str) -> None:
    """A file of sacct's lines, kept."""
    path.write_text(text, encoding="utf-8")
    keep(store, FileSource(path).read(None, lambda _: None))


def publish(store: Store, prices: str, policy: str = "used", valid_from: str = "2026-01-01", more: str = "") -> None:
    """A card of tier mu."""
    text = (f"tier: mu\ncurrency: THB\nvalid_from: {valid_from}\npolicy: {policy}\nrounding: per_job_minor\n"
            f"prices: {{{prices}}}\n{more}")
    store.run(lambda tx: publish_cards(tx, cards_from_text(text), OPERATOR))
