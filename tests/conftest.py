"""What every test may ask for: a Postgres of this run, a database of its own, settings, a store, the command line.

One server for the whole run, xdist workers included: they share it by the same lock files as the product does.
COREHOURS_TEST_SERVER=postgresql://… uses a server that is there already.
"""

from __future__ import annotations

import gc
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import bcrypt
import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import settings as property_settings
from playwright.sync_api import Browser, sync_playwright

from data.postgres.schema import migrate
from data.postgres.server import running
from data.postgres.store import Store, connect
from data.settings import Settings
from engine.services.rates import ensure_default_cards
from tests.browser.profiles import Profiles
from tests.programs import Programs
from tests.signatures import believed

ROOT = Path(__file__).resolve().parents[1]
Corehours = Callable[..., subprocess.CompletedProcess[str]]
AUDIT_KEY = "audit key of the tests: the template's chain and a test's own are one"
# Pages are open for seconds: code that is compiled again for speed does not pay, and pictures need no process of their own.
NOWHERE = "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"         # no page of ours asks anybody else for anything
CHROMIUM_WORDS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
                  "--in-process-gpu", "--js-flags=--no-opt --no-maglev", f"--host-resolver-rules={NOWHERE}"]
WAITING = ("browser", "failpoints", "setup", "payments", "ingest", "nodes", "documents", "refunds", "outbox")
ROOMY = 6 * 2**30
os.environ.setdefault("COREHOURS_TEST_NOW", datetime.now(UTC).isoformat())      # of the run: workers inherit it
made_here: list[str] = []


def pytest_configure() -> None:
    """A bare environment, and one short folder (sockets have short names) for the server of this run. What is imported and collected
    now stays to the end: nothing of it is looked through for garbage."""
    gc.disable()
    for name in [name for name in os.environ if name.startswith("COREHOURS_") and not name.startswith("COREHOURS_TEST_")]:
        del os.environ[name]
    os.environ.pop("DATABASE_URL", None)
    property_settings.register_profile("unhurried", deadline=None)        # nothing is judged by the clock
    property_settings.load_profile("unhurried")
    if "COREHOURS_TEST_HOME" not in os.environ:         # workers inherit it
        made_here.append(tempfile.mkdtemp(prefix="corehours-test-", dir=_quick_folder()))
        Path(made_here[0]).chmod(0o711)
        os.environ["COREHOURS_TEST_HOME"] = made_here[0]


def _quick_folder() -> str | None:
    """Where the server of this run lies: in memory where there is room, for it makes and drops a thousand databases, and a disk
    that others write to takes a second for each."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOMY else None


def pytest_collection_finish() -> None:
    """From here on there is garbage."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    for folder in made_here:
        shutil.rmtree(folder, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Figures that tests took and that nothing is judged by."""
    taken = sorted(float(str(value)) for report in terminalreporter.stats.get("passed", []) for name, value in report.user_properties
                   if name == "ready_again_seconds")
    if taken:
        terminalreporter.write_line(f"killed {len(taken)} times; work could be sent again after {taken[len(taken) // 2]:.2f} s in the "
                                    f"middle, {taken[-1]:.2f} s at the most, {sum(one > 5 for one in taken)} times after more than 5 s")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folders whose tests wait for other programs come first, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: WAITING.index(folder) if (folder := item.path.parent.name) in WAITING else len(WAITING))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A Postgres for the whole run; what is in it may be lost."""
    if given := os.environ.get("COREHOURS_TEST_SERVER"):
        yield given
        return
    with running(Settings(home=Path(os.environ["COREHOURS_TEST_HOME"])), durable=False) as url:
        yield url


@pytest.fixture(scope="session", autouse=True)
def extensions_are_checked_once() -> Iterator[None]:
    """By this process; not for each lake that it opens."""
    with believed(from_the_first=False):
        yield


@pytest.fixture(scope="session", autouse=True)
def passwords_are_hashed_quickly() -> Iterator[None]:
    """By this process: in a millisecond instead of a quarter of a second. Commands that it starts take their time."""
    salt = bcrypt.gensalt(4)
    with patch.object(bcrypt, "gensalt", lambda: salt):
        yield


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """Name of a database with all tables, those of the analytics copy too, and the default rate cards."""
    name = f"template_{uuid.uuid4().hex[:12]}"
    _execute(server_url, f"create database {name}")
    engine = connect(_of(server_url, name))
    migrate(engine)
    with tempfile.TemporaryDirectory() as home:
        store = Store(engine, Settings(home=Path(home), audit_key=AUDIT_KEY))
        store.run(ensure_default_cards)
        store.lake.rebuild()
        store.lake.close()
    engine.dispose()
    yield name
    _execute(server_url, f"drop database {name} with (force)")


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """URL of a database of this test's own, cloned from the template."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    _execute(server_url, f"create database {name} template {template} strategy file_copy")
    yield _of(server_url, name)
    _execute(server_url, f"drop database {name} with (force)")


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Development settings on that database, runtime files in a folder of this test's own."""
    return Settings(env="development", home=tmp_path / "home", database_url=database_url, audit_key=AUDIT_KEY)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """A store on that database."""
    assert settings.database_url is not None
    engine = connect(settings.database_url.get_secret_value())
    yield Store(engine, settings)
    engine.dispose()


@pytest.fixture
def installation_env(database_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment of a subprocess that works on that database, as `settings` does."""
    return {**os.environ, "DATABASE_URL": database_url, "COREHOURS_HOME": str(tmp_path / "home"),
            "COREHOURS_AUDIT_KEY": AUDIT_KEY, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="session")
def programs() -> Programs:
    """Starts this house's programs as processes, quickly."""
    return Programs()


@pytest.fixture
def corehours(installation_env: dict[str, str], programs: Programs) -> Corehours:
    """Run a command as `./corehours` would: `corehours("check", "--json").stdout`."""
    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return programs.run("commands", words, {**installation_env, **more})
    return run


def _of(server_url: str, database: str) -> str:
    return sa.make_url(server_url).set(database=database).render_as_string(hide_password=False)


def _execute(server_url: str, statement: str) -> None:
    with psycopg.connect(_of(server_url, "postgres"), autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless, one for all browser tests of a worker. Playwright holds an event loop in this thread: a
    test that needs one of its own runs it in another thread."""
    program = os.environ.get("COREHOURS_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        give_up = pytest.fail if os.environ.get("CI", "") not in ("", "false", "0") else pytest.skip
        give_up("no Chromium here: apt-get install chromium, or name one in COREHOURS_TEST_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_WORDS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def front_port() -> Iterator[int]:
    """Where the dashboards of this worker stand, one after the other: below what the system gives to who asks for any port, and
    beside one that is held meanwhile, so that another run takes another."""
    for port in range(18_500, 19_500, 2):
        with socket.socket() as guard, suppress(OSError):
            guard.bind(("127.0.0.1", port))
            with socket.socket() as door:
                door.bind(("127.0.0.1", port + 1))
            yield port + 1
            return
    raise AssertionError("no port is free")


@pytest.fixture(scope="session")
def profiles(chromium: Browser, front_port: int) -> Profiles:
    """Profiles of Chromium for the pages of dashboards."""
    return Profiles(chromium, f"http://localhost:{front_port}")
