"""Starts everything and keeps it: database, demo centre, dashboard, sidecar, ingest worker. Ctrl-C stops it all.

A child that dies is started again and that is said. When this process itself is killed its children are told by the
kernel to end, and the next start finds nothing in its way.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from commands.installation import installation
from commands.supervision import Child, keep, stop, wait_ready
from data.postgres.server import Server
from data.postgres.store import PostgresTransaction, Store
from data.settings import Settings, load
from engine.errors import DomainError

HELP = "start everything here and say how to sign in; Ctrl-C stops it"
HALF_LOADED = "demo-loading"        # this file stands in the home while the demo centre is loaded
LOOPBACK = ("127.0.0.1", "localhost", "::1")
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104


class CannotStart(DomainError):
    """Corehours cannot start."""

    code = "cannot_start"


def configure(parser: argparse.ArgumentParser) -> None:
    """Where to listen, and whether with the demo centre."""
    parser.add_argument("--empty", action="store_true", help="do not load the demo centre into an empty database")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8501, help="port of the dashboard (default %(default)s)")
    parser.add_argument("--sidecar-port", type=int, default=8601, help="port of the sidecar (default %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Start, say where, keep until told to stop: a stop that was asked for is no failure."""
    _tell_children_their_addresses(args)
    settings = load()
    try:
        with _only_one(settings.home):
            _ports_free(args)
            _start_and_keep(settings, args)
    except (KeyboardInterrupt, SystemExit):
        _say("Stopped.")
    return 0


def _start_and_keep(settings: Settings, args: argparse.Namespace) -> None:
    begun = time.monotonic()
    _say(f"Corehours starts ({settings.env}, files in {settings.home}).")
    if args.host not in LOOPBACK:
        _say(f"  Warning: {args.host} can be reached from other machines.")
    _set_half_loaded_aside(settings)
    with installation(_progress, settings) as store:
        _progress(f"database ready ({time.monotonic() - begun:.1f} s)")
        demo_users = _load_demo(store, settings, args)
        _tell_children_the_rest(store, settings)
        children = _children(settings, args)
        try:
            wait_ready(children, _progress)
            _greet(settings, demo_users, bool(store.read(_people)), time.monotonic() - begun)
            keep(children, _say, _database(settings))
        finally:
            _say("Stopping …")
            stop(children)


def _tell_children_their_addresses(args: argparse.Namespace) -> None:
    """What --port says holds for every link in pages and payments, unless the environment names public addresses."""
    host = "localhost" if args.host in (*LOOPBACK, *EVERYWHERE) else args.host
    os.environ.setdefault("COREHOURS_DASHBOARD_URL", f"http://{host}:{args.port}")
    os.environ.setdefault("COREHOURS_SIDECAR_URL", f"http://{host}:{args.sidecar_port}")


def _tell_children_the_rest(store: Store, settings: Settings) -> None:
    os.environ["COREHOURS_HOME"] = str(settings.home.resolve())     # they run in another folder
    os.environ["DATABASE_URL"] = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold the home for this supervisor; a second one is refused. The lock dies with its process."""
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStart(f"{home} cannot be made ({error.strerror}): set COREHOURS_HOME to a folder of your own.") from None
    with (home / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotStart(f"It runs already in {home} ({lock.read().strip()}).") from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, {os.environ['COREHOURS_DASHBOARD_URL']}")
        lock.flush()
        yield


def _ports_free(args: argparse.Namespace) -> None:
    for what, port, flag in (("dashboard", args.port, "--port"), ("sidecar", args.sidecar_port, "--sidecar-port")):
        family = socket.AF_INET6 if ":" in args.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((args.host, port))
            except OSError as error:
                raise CannotStart(f"The {what} cannot listen on {args.host}:{port} ({error.strerror}): "
                                  f"choose another with {flag}.") from None


def _load_demo(store: Store, settings: Settings, args: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Fill an empty database with the demo centre; its users (name, password, what they see) where they are there."""
    if not settings.development or args.empty:
        return []
    from data import demo
    half = settings.home / HALF_LOADED
    if not store.read(_people):
        half.touch()
    rows = demo.load(store, _progress).rows()
    half.unlink(missing_ok=True)
    known = store.read(_people)
    return [row for row in rows if row[0] in known]


def _people(tx: PostgresTransaction) -> set[str]:
    return {user.name for user in tx.users.everybody()}


def _set_half_loaded_aside(settings: Settings) -> None:
    """A demo centre whose loading was killed is begun anew; what there was is kept in home/half-loaded."""
    half, aside = settings.home / HALF_LOADED, settings.home / "half-loaded"
    if not half.exists():
        return
    if settings.database_url is not None:
        raise CannotStart(f"Loading the demo centre was cut short: empty that database, then remove {half}.")
    _progress(f"The demo centre was half loaded: put aside in {aside}.")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    Server(settings.home).end()
    for name in ("postgres", "lake", "audit"):
        if (settings.home / name).exists():
            (settings.home / name).rename(aside / name)
    half.unlink()


def _children(settings: Settings, args: argparse.Namespace) -> list[Child]:
    """The processes to keep, in the order they stop."""
    logs = settings.home / "log"
    logs.mkdir(exist_ok=True)
    near = {"localhost": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(args.host, args.host)  # noqa: S104
    where = f"http://[{near}]" if ":" in near else f"http://{near}"
    children = [
        Child("dashboard", ["dashboard", "--host", args.host, "--port", str(args.port)], f"{where}:{args.port}/", logs),
        Child("sidecar", ["webhooks", "--host", args.host, "--port", str(args.sidecar_port)],
              f"{where}:{args.sidecar_port}/healthz", logs),
    ]
    if {"slurmrestd_url", "sacct", "usage_file", "slurm_cluster"} & settings.model_fields_set:
        children.append(Child("ingest", ["ingest", "--every", "5m"], None, logs))
    return children


def _database(settings: Settings) -> Server | None:
    """The embedded server to look after; None when DATABASE_URL names another."""
    return Server(settings.home) if settings.database_url is None else None


def _greet(settings: Settings, users: list[tuple[str, str, str]], anybody: bool, seconds: float) -> None:
    _say(f"Ready in {seconds:.1f} s.\n\n  Dashboard  {settings.dashboard_url}\n  Sidecar    {settings.sidecar_url}\n")
    if users:
        _say("  Sign in (users of the demo centre, for development only):")
        for name, password, shows in users:
            _say(f"    {name:<12} {password:<20} {shows}")
        _say("")
    elif not anybody:
        _say("  Nobody can sign in yet. The first administrator: ./corehours users add NAME --role admin\n")
    _say("Ctrl-C stops everything.")


def _progress(step: str) -> None:
    _say(f"  {step}")


def _say(text: str) -> None:
    print(text, flush=True)

