"""A real dashboard for the browser tests: its own database, its own process, real Chromium in front of it.

One of each for a file of tests, at the same address (per worker). `site` has the five people of the demo centre and no usage; a
test that needs some puts it there through `site.store`. `open_as("admin", "/rates")` is a page of a fresh browser profile in which
admin has signed in.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, expect

from dashboard.gate import SESSION_COOKIE
from data import passwords
from data.postgres.store import Store, connect
from data.settings import Settings
from engine.policy import OPERATOR
from engine.services import users
from engine.services.users import fingerprint
from engine.users import Role
from tests.browser.profiles import Profiles
from tests.conftest import AUDIT_KEY
from tests.programs import Program, Programs

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = {"researcher": Role.RESEARCHER, "pi": Role.RESEARCHER, "admin": Role.ADMIN, "finance": Role.FINANCE,
          "auditor": Role.AUDITOR}
OpenAs = Callable[..., Page]
expect.set_options(timeout=15_000)             # a busy machine is slow, not wrong


@dataclass(frozen=True, slots=True)
class Site:
    """A running dashboard: where it is, the database behind it, and what it says in its log."""

    url: str
    store: Store
    database_url: str
    home: Path
    dashboard: Program

    @staticmethod
    def password(name: str) -> str:
        """The password of one of `PEOPLE`."""
        return f"{name} has a long password"


@contextmanager
def running(programs: Programs, server_url: str, template: str, home: Path, front_port: int, *rooms: str) -> Iterator[Site]:
    """The dashboard at that port over a database of its own; `webhooks` among the rooms is a sidecar beside it."""
    name = f"site_{uuid.uuid4().hex[:12]}"
    _execute(server_url, f"create database {name} template {template} strategy file_copy")
    database_url = sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)
    store = Store(connect(database_url), Settings(env="development", home=home, database_url=database_url, audit_key=AUDIT_KEY))
    ports = {"dashboard": front_port} | {room: free_port() for room in rooms}
    url = f"http://localhost:{front_port}"
    env = {**os.environ, "DATABASE_URL": database_url, "COREHOURS_HOME": str(home), "COREHOURS_AUDIT_KEY": AUDIT_KEY,
           "PYTHONPATH": str(ROOT)}
    if "webhooks" in ports:
        env |= {"COREHOURS_DASHBOARD_URL": url, "COREHOURS_SIDECAR_URL": f"http://localhost:{ports['webhooks']}"}
    children = {room: programs.start(room, ["--port", str(port)], env, home / room) for room, port in ports.items()}
    try:
        for room, port in ports.items():
            _wait(f"http://localhost:{port}/healthz", children[room])
        yield Site(url, store, database_url, home, children["dashboard"])
    finally:
        for child in children.values():
            child.process.terminate()
        for child in children.values():
            child.stop(20)
        store.engine.dispose()
        _execute(server_url, f"drop database {name} with (force)")


@pytest.fixture(scope="module")
def site(programs: Programs, server_url: str, template: str, front_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A dashboard with the five people of the demo centre, who may also lead a project."""
    with running(programs, server_url, template, tmp_path_factory.mktemp("site"), front_port) as found:
        for name, role in PEOPLE.items():
            add_person(found, name, role, ("ai-lab",) if name == "pi" else ())
        yield found


@pytest.fixture
def new_page(site: Site, profiles: Profiles) -> Iterator[Callable[..., Page]]:
    """`new_page(scheme="dark")`: a page of a fresh profile, 1440 × 900, in the site's address."""
    with profiles.lent() as make:
        yield make


@pytest.fixture
def open_as(site: Site, new_page: Callable[..., Page]) -> OpenAs:
    """`open_as("admin", "/rates", scheme="dark")`: signed in, at that address. The session is one that was begun before: how
    people begin one is test_identity's subject."""
    return lambda name, path="/", **view: entered(site, new_page(**view), name, path)


def entered(site: Site, page: Page, name: str, path: str) -> Page:
    """The page at that address, when somebody has signed in."""
    page.context.add_cookies([{"name": SESSION_COOKIE, "value": session_of(site, name), "url": site.url, "httpOnly": True}])
    page.goto(path)
    page.get_by_role("button", name="Sign out", exact=True).wait_for()
    settled(page)
    return page


def session_of(site: Site, name: str) -> str:
    """The token of a new session of somebody."""
    token = secrets.token_urlsafe(32)
    site.store.run(lambda tx: tx.sessions.open(fingerprint(token), users.find(tx, name).id, 1, "127.0.0.1", "tests"))
    return token


def fill_sign_in(page: Page, name: str, password: str) -> None:
    """Type both and press the button."""
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def settled(page: Page) -> None:
    """Wait until the script behind the page has been at rest for a moment: what was just typed or clicked may still be on its way."""
    page.evaluate("window.restingSince = null")
    page.wait_for_function("""() => {
        const app = document.querySelector('[data-testid="stApp"]');
        const rests = app && app.getAttribute('data-test-script-state') === 'notRunning'
            && !document.querySelector('[data-stale="true"]');
        window.restingSince = rests ? window.restingSince ?? performance.now() : null;
        return rests && performance.now() - window.restingSince > 150 }""")


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def add_person(site: Site, name: str, role: Role, projects: tuple[str, ...] = ()) -> None:
    """Somebody who can sign in with `Site.password(name)`."""
    hashed = passwords.hashed(Site.password(name))
    site.store.run(lambda tx: users.add(tx, name, role, hashed, projects=projects, by=OPERATOR), actor=OPERATOR.name)


def _wait(url: str, program: Program) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            if program.ended() is not None:
                break
            time.sleep(0.05)
    raise AssertionError(f"{url} does not answer:\n{program.said()[-4000:]}")


def _execute(server_url: str, statement: str) -> None:
    admin = sa.make_url(server_url).set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(statement)
