"""Pages run by Streamlit's own test runner, over a database of the test's own, as whoever the test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import access, connection, words
from data import settings as knobs
from data.postgres.store import Store
from data.settings import Settings
from engine.users import Person, Role

ROOT = Path(__file__).resolve().parents[2]
Visit = Callable[..., AppTest]


@pytest.fixture
def visit(store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Visit]:
    """`visit("finance", Role.AUDITOR, by="payer")`: the page, run once, with that query in its address."""
    monkeypatch.setattr(knobs, "load", lambda: settings)
    connection.store.cache_clear()
    words.zone.cache_clear()

    def open_page(file: str, role: Role, name: str = "", **query: str) -> AppTest:
        person = Person(1, name or str(role), role, name or str(role))
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
    """Everything the page says in words, figures of the KPI row and tables' cells included."""
    kinds = ("title", "subheader", "markdown", "text", "error", "code")
    parts = [element.value for kind in kinds for element in getattr(page, kind)]
    parts += [f"{metric.label}: {metric.value} ({metric.delta})" for metric in page.metric]
    parts += [str(table.value.to_dict("list")) for table in page.dataframe]
    return "\n".join(str(part) for part in parts)
