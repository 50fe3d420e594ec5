"""Pages run by Streamlit's own test runner as a person of a small site with nodes that are not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import access, connection, words
from data import settings as knobs
from data.postgres.store import Store
from data.settings import Settings
from engine.outbox import Job
from engine.users import Person
from tests.allocations.conftest import Lab, lab  # noqa: F401  a fixture
from tests.pages_operations.conftest import said as escaped
from webhooks.jobs import Context
from webhooks.outbox import HANDLERS

ROOT = Path(__file__).resolve().parents[2]
Visit = Callable[..., AppTest]


@pytest.fixture
def visit(store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Visit]:
    """`visit("nodes", alice, wallet="project:x")`: the page, run once, with that query in its address."""
    monkeypatch.setattr(knobs, "load", lambda: settings)
    connection.store.cache_clear()
    words.zone.cache_clear()

    def open_page(file: str, person: Person, **query: str) -> AppTest:
        monkeypatch.setattr(access, "visitor", lambda: person)
        page = AppTest.from_file(str(ROOT / "pages" / f"{file}.py"), default_timeout=30)
        for key, value in query.items():
            page.query_params[key] = value
        return page.run()

    yield open_page
    connection.store().engine.dispose()
    connection.store.cache_clear()
    words.zone.cache_clear()


def said(page: AppTest) -> str:
    """What the page says as people read it, without the signs that keep foreign words plain."""
    return escaped(page).replace("\\", "")


def press(page: AppTest, label: str) -> AppTest:
    """Press the only button of that name."""
    [button] = [one for one in page.button if one.label == label]
    return button.click().run()


def do_jobs(lab: Lab) -> list[str]:    # noqa: F811
    """What a sidecar does with all that is queued; what became of each job."""
    context, outcomes = Context(lab.store, {}, lab.provisioner), []

    def claim() -> Job | None:
        return lab.run(lambda tx: tx.outbox.claim([kind for kind in HANDLERS if kind.startswith("node.")]))
    while job := claim():
        outcome = HANDLERS[job.kind](job, context) or ""
        lab.run(lambda tx, job=job, outcome=outcome: tx.outbox.done(job, outcome))     # type: ignore[misc]
        outcomes.append(outcome)
    return outcomes
