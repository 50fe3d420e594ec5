"""The demo centre, loaded once for the tests that only look; pages run by Streamlit's own test runner as whoever signs in."""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from dashboard import access, reads, reads_billing, reads_nodes, reads_wallets, words
from data import demo
from data import settings as knobs
from data.postgres.store import Store, connect
from data.settings import Settings
from engine.users import Person
from tests.conftest import AUDIT_KEY

ROOT = Path(__file__).resolve().parents[2]
TODAY = datetime.fromisoformat(os.environ["COREHOURS_TEST_NOW"])         # of the run: the centre is loaded by one of its workers
Visit = Callable[..., AppTest]


@dataclass(frozen=True, slots=True)
class Centre:
    """The loaded demo centre. Nobody writes to it: it is shared by a whole run."""

    store: Store
    settings: Settings
    seconds: float                          # of this process's own that loading it took

    def person(self, name: str) -> Person:
        """One of those who can sign in."""
        person = self.store.read(lambda tx: tx.users.by_name(name))
        assert person is not None
        return person


@pytest.fixture(scope="session")
def centre(server_url: str, template: str) -> Iterator[Centre]:
    """The demo centre as it stands now: whichever worker asks first loads it, and the others wait for it. It goes with the run's server."""
    home = Path(os.environ["COREHOURS_TEST_HOME"]) / "centre"
    home.mkdir(exist_ok=True)
    with (home / "told.json").open("a+") as told:
        fcntl.flock(told, fcntl.LOCK_EX)
        told.seek(0)
        loaded = json.loads(told.read() or "null") or _loaded(server_url, template, home)
        told.truncate(0)
        told.write(json.dumps(loaded))
    settings = _settings(loaded["url"], home)
    store = Store(connect(loaded["url"]), settings)
    yield Centre(store, settings, loaded["seconds"])
    store.engine.dispose()


def _loaded(server_url: str, template: str, home: Path) -> dict[str, Any]:
    """Where it is, and the seconds of this process's own that loading it took."""
    name = f"centre_{uuid.uuid4().hex[:12]}"
    _execute(server_url, f"create database {name} template {template} strategy file_copy")
    url = sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)
    store = Store(connect(url), _settings(url, home))
    begun = time.process_time()
    demo.load(store, today=TODAY)
    store.engine.dispose()
    return {"url": url, "seconds": time.process_time() - begun}


def _settings(url: str, home: Path) -> Settings:
    return Settings(env="development", home=home, database_url=url, audit_key=AUDIT_KEY)


@pytest.fixture
def as_pages_see_it(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> Iterator[Centre]:
    """The demo centre behind `dashboard.reads` and the pages."""
    monkeypatch.setattr(knobs, "load", lambda: centre.settings)
    for module in (reads, reads_billing, reads_nodes, reads_wallets, access):
        monkeypatch.setattr(module, "store", lambda: centre.store)
    words.zone.cache_clear()
    reads.choices.clear()
    yield centre
    words.zone.cache_clear()


@pytest.fixture
def visit(as_pages_see_it: Centre, monkeypatch: pytest.MonkeyPatch) -> Visit:
    """`visit("usage", "pi", period="year")`: the page run once as that person, with that query in its address."""
    def open_page(file: str, name: str, **query: str) -> AppTest:
        person = as_pages_see_it.person(name)
        monkeypatch.setattr(access, "visitor", lambda: person)
        page = AppTest.from_file(str(ROOT / "pages" / f"{file}.py"), default_timeout=30)
        for key, value in query.items():
            page.query_params[key] = value
        return page.run()
    return open_page


def said(page: AppTest) -> str:
    """Everything the page says in words and figures, tables' cells included."""
    parts = [element.value for kind in ("title", "subheader", "markdown", "text", "error") for element in getattr(page, kind)]
    parts += [f"{metric.label}: {metric.value} ({metric.delta})" for metric in page.metric]
    parts += [str(table.value.to_dict("list")) for table in page.dataframe]
    return "\n".join(str(part) for part in parts)


def _execute(server_url: str, statement: str) -> None:
    admin = sa.make_url(server_url).set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(statement)
