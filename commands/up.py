"""Starts everything and keeps it: database, demo centre, dashboard, sidecar, ingest worker. Ctrl-C stops it all.

A child that dies is started again and that is said. When this process itself is killed its children are told by the
kernel to end, and the next start finds nothing in its way.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from commands.installation import installation
from commands.supervision import Child, keep, stop, wait_ready
from data.postgres.server import Server
from data.postgres.store import Store
from data.settings import Settings, load
from engine.errors import DomainError

HELP = "start everything here and say how to sign in; Ctrl-C stops it"
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
    """Start, say where, keep until told to stop."""
    _tell_children_their_addresses(args)
    settings = load()
    begun = time.monotonic()
    with _only_one(settings.home):
        _ports_free(args)
        _say(f"Corehours starts ({settings.env}, files in {settings.home}).")
        if args.host not in LOOPBACK:
            _say(f"  Warning: {args.host} can be reached from other machines.")
        with installation(_progress, settings) as store:
            demo_users = _load_demo(store, settings, args)
            os.environ["DATABASE_URL"] = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
            children = _children(settings, args)
            try:
                wait_ready(children, _progress)
                _greet(settings, demo_users, time.monotonic() - begun)
                keep(children, _say, _database(settings))
            finally:
                _say("Stopping …")
                stop(children)
    _say("Stopped.")
    return 0


def _tell_children_their_addresses(args: argparse.Namespace) -> None:
    """What --port says holds for every link in pages and payments, unless the environment names public addresses."""
    host = "localhost" if args.host in (*LOOPBACK, *EVERYWHERE) else args.host
    os.environ.setdefault("COREHOURS_DASHBOARD_URL", f"http://{host}:{args.port}")
    os.environ.setdefault("COREHOURS_SIDECAR_URL", f"http://{host}:{args.sidecar_port}")


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold the home for this supervisor; a second one is refused. The lock dies with its process."""
    home.mkdir(parents=True, exist_ok=True)
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
    rows = demo.load(store, _progress).rows()
    known = store.read(lambda tx: {user.name for user in tx.users.everybody()})
    return [row for row in rows if row[0] in known]


def _children(settings: Settings, args: argparse.Namespace) -> list[Child]:
    """The processes to keep, in the order they stop."""
    logs = settings.home / "log"
    logs.mkdir(exist_ok=True)
    where = f"http://{'localhost' if args.host in (*LOOPBACK, *EVERYWHERE) else args.host}"
    children = [
        Child("dashboard", ["dashboard", "--host", args.host, "--port", str(args.port)], f"{where}:{args.port}/", logs),
        Child("sidecar", ["webhooks", "--host", args.host, "--port", str(args.sidecar_port)],
              f"{where}:{args.sidecar_port}/healthz", logs),
    ]
    if settings.slurmrestd_url or settings.usage_file or settings.slurm_cluster:
        children.append(Child("ingest", ["ingest", "--every", "5m"], None, logs))
    return children


def _database(settings: Settings) -> Server | None:
    """The embedded server to look after; None when DATABASE_URL names another."""
    return Server(settings.home) if settings.database_url is None else None


def _greet(settings: Settings, users: list[tuple[str, str, str]], seconds: float) -> None:
    _say(f"Ready in {seconds:.1f} s.\n\n  Dashboard  {settings.dashboard_url}\n  Sidecar    {settings.sidecar_url}\n")
    if users:
        _say("  Sign in (users of the demo centre, for development only):")
        for name, password, shows in users:
            _say(f"    {name:<12} {password:<20} {shows}")
        _say("")
    _say("Ctrl-C stops everything.")


def _progress(step: str) -> None:
    _say(f"  {step}")


def _say(text: str) -> None:
    print(text, flush=True)

