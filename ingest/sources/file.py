"""Usage from a file: sacct --parsable2 or --json, or a saved answer of slurmrestd; gzip too."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from engine.errors import BatchRefused
from engine.ports import Progress
from engine.usage import UsageBatch
from ingest.slurm import Material, read_material

GZIP = b"\x1f\x8b"


def read_file(path: Path, cluster: str = "") -> UsageBatch:
    """Everything in the file at `path`."""
    return FileSource(path, cluster).read(None, lambda _: None)


@dataclass(frozen=True, slots=True)
class FileSource:
    """One file; `cluster` names the cluster where the file does not."""

    path: Path
    cluster: str = ""
    name: str = "file"

    @property
    def origin(self) -> str:
        """The path as it was given."""
        return str(self.path)

    def read(self, window: tuple[int, int] | None, progress: Progress) -> UsageBatch:
        """Everything in the file, whatever the window."""
        with self.refusing():
            return read_material(self._material(), progress)

    def material(self) -> Material:
        """The file as something to read."""
        with self.refusing():
            return self._material()

    def _material(self) -> Material:
        packed = self._is_packed()
        size = 0 if packed else self.path.stat().st_size
        return Material(lambda: self._open(packed), self.name, self.origin, self.path.name, self.cluster, size)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """What goes wrong with the file, as a refusal."""
        try:
            yield
        except FileNotFoundError:
            raise BatchRefused(f"There is no file {self.path}.") from None
        except IsADirectoryError:
            raise BatchRefused(f"{self.path} is a folder, not a file.") from None
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise BatchRefused(f"{self.path.name} is a broken gzip file: {error}.") from None
        except OSError as error:
            raise BatchRefused(f"{self.path} cannot be read: {error.strerror or error}.") from None

    def _is_packed(self) -> bool:
        if self.path.exists() and not self.path.is_file() and not self.path.is_dir():
            raise BatchRefused(f"{self.path} is no file that can be read twice; save it first.")
        with self.path.open("rb") as file:
            return file.read(2) == GZIP

    def _open(self, packed: bool) -> IO[bytes]:
        return cast(IO[bytes], gzip.open(self.path, "rb")) if packed else self.path.open("rb")
