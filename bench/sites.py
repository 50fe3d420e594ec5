"""A site of a benchmark's own: a file of jobs, and a server with the product's durable settings, gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.sacct_file import write_sacct_file
from data.postgres.server import Server, running
from data.settings import Settings


@dataclass(frozen=True, slots=True)
class Site:
    """Where the files are, the file of jobs, the server's address and its postmaster's process id."""

    home: Path
    file: Path
    url: str
    postmaster: str


@contextmanager
def site(size: int, progress: Callable[[str], None]) -> Iterator[Site]:
    """A site with a file of `size` jobs and an empty server."""
    with _folder() as home:
        progress(f"a file of {size:,} jobs")
        write_sacct_file(home / "sacct.txt", size)
        with _server(home) as (url, postmaster):
            yield Site(home, home / "sacct.txt", url, postmaster)


@dataclass(frozen=True, slots=True)
class Served:
    """Where files may lie, the server's address and its postmaster's process id."""

    home: Path
    url: str
    postmaster: str


@contextmanager
def served() -> Iterator[Served]:
    """An empty server."""
    with _folder() as home, _server(home) as (url, postmaster):
        yield Served(home, url, postmaster)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="corehours-bench-") as folder:
        Path(folder).chmod(0o711)               # Postgres may run as another user
        yield Path(folder)


@contextmanager
def _server(home: Path) -> Iterator[tuple[str, str]]:
    settings = Settings(home=home / "home", database_url=None)
    with running(settings) as url:
        yield url, str(Server(settings.home).processes()[0])
