"""Slurm accounting as text or JSON, from anything that can be opened: to one batch of usage, or one refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

import polars as pl

from engine import slurm_columns, slurm_json
from engine.errors import BatchRefused
from engine.ports import Progress
from engine.slurm_text import TextReader
from engine.slurm_usage import UsageBuilder
from engine.usage import Rejection, UsageBatch
from ingest.once import Once

BLOCK = 8 << 20
BOM = b"\xef\xbb\xbf"
Opener = Callable[[], IO[bytes]]


@dataclass(frozen=True, slots=True)
class Material:
    """Something to read: how to open it (again, when a rejected line's text is wanted), what to call it, its size."""

    open: Opener
    source: str
    origin: str
    where: str                                  # how it is called in a sentence
    cluster: str = ""
    size: int = 0                               # bytes, for the progress; 0 when unknown


def read_material(material: Material, progress: Progress) -> UsageBatch:
    """The batch in `material`, text or JSON; `progress` is told the share that is read."""
    return _read_text(material, progress) if is_text(material) else _read_json(material, progress)


def is_text(material: Material) -> bool:
    """True where it is sacct's text, False where it is JSON."""
    with material.open() as stream:
        start = stream.read(64).removeprefix(BOM)
    if not start.strip():
        raise BatchRefused(f"{material.where} is empty.")
    return start.lstrip()[:1] not in (b"{", b"[") and not start.startswith(b"HTTP/")


def _read_text(material: Material, progress: Progress) -> UsageBatch:
    reading, once = TextUsage(material, progress), Once()
    for usage in reading:
        once.append(usage)
    frames = once.frames()
    return UsageBatch(source=material.source, origin=material.origin, lines=reading.lines, frames=frames,
                      rejected=reading.rejected, notes=(*reading.notes, *once.notes))


class TextUsage:
    """Usage frames of sacct's text, block by block, once; afterwards `lines`, `rejected` and `notes` tell of all of it."""

    def __init__(self, material: Material, progress: Progress, block: int = 0) -> None:
        """`block`: bytes read at a time; larger ones take more memory and a little less time."""
        self.lines = 0
        self.rejected: tuple[Rejection, ...] = ()
        self.notes: tuple[str, ...] = ()
        self._material, self._progress, self._block = material, progress, block or BLOCK

    def __iter__(self) -> Iterator[pl.DataFrame]:
        material, builder = self._material, UsageBuilder(self._material.cluster)
        with material.open() as stream:
            header, crlf = _header(stream, material)
            reader = TextReader(header, material.where, crlf)
            for usage in _usage(_frames(reader, stream, self._block), reader, builder):
                yield usage
                if material.size:
                    self._progress(min(stream.tell() / material.size, 1.0))
        if builder.lines + len(reader.rejected) == 0:
            reader.notes.append("There is a header and no row.")
        yield builder.finish(lambda lines: _texts(material, lines, reader.texts))
        if reader.joined:
            what = "1 row" if reader.joined == 1 else f"{reader.joined} rows"
            reader.notes.append(f"{what} broken by a separator or a newline inside a name put together again.")
        self.lines, self.notes = builder.lines + len(reader.rejected), (*reader.notes, *builder.notes)
        self.rejected = tuple(sorted([*reader.rejected, *builder.rejected], key=lambda one: one.line))


def _usage(frames: Iterator[pl.DataFrame], reader: TextReader, builder: UsageBuilder) -> Iterator[pl.DataFrame]:
    """Usage frames, block by block; lines that could not be taken apart are told to `builder` before what follows them."""
    known = 0
    for raw in _ahead(frames):
        for line, raw_id in reader.broken[known:]:
            builder.broken(line, raw_id)
            known += 1
        yield builder.add(raw)


def _frames(reader: TextReader, stream: IO[bytes], block: int) -> Iterator[pl.DataFrame]:
    buffer = bytearray(block)
    while count := stream.readinto(buffer):         # type: ignore[attr-defined]
        yield reader.take(buffer if count == block else buffer[:count])
    yield reader.finish()


def _ahead(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same frames; the next one is made while the last one is worked on."""
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(next, frames, None)
        while (frame := coming.result()) is not None:
            coming = ahead.submit(next, frames, None)
            yield frame


def _header(stream: IO[bytes], material: Material) -> tuple[slurm_columns.Header, bool]:
    """The header, and whether its line ends as on Windows."""
    line = stream.readline(1 << 20).removeprefix(BOM)
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise BatchRefused(f"{material.where}, line 1, holds byte 0x{line[error.start]:02x}, "
                           "which is no text (UTF-8).") from None
    if "\0" in text:
        raise BatchRefused(f"{material.where}, line 1, holds a NUL byte, which is no text.")
    return slurm_columns.header(text, material.where, material.cluster), line.endswith(b"\r\n")


def _texts(material: Material, lines: list[int], known: dict[int, str]) -> dict[int, str]:
    """The text of each of `lines`, by reading the material once more."""
    wanted, found = set(lines) - known.keys(), dict(known)
    with material.open() as stream:
        for number, line in enumerate(stream, 1):
            if number in wanted:
                found[number] = line.decode("utf-8", "replace").rstrip("\r\n")
    return found


def _read_json(material: Material, progress: Progress) -> UsageBatch:
    with material.open() as stream:
        data = stream.read().removeprefix(BOM)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BatchRefused(f"{material.where}, line {line}, holds byte 0x{data[error.start]:02x}, "
                           "which is no text (UTF-8).") from None
    return json_batch(slurm_json.document(text, material.where), material, progress)


def json_batch(document: dict[str, object], material: Material, progress: Progress) -> UsageBatch:
    """The batch in an answer of Slurm that is parsed already; lines are the numbers of its jobs."""
    jobs = document["jobs"]
    assert isinstance(jobs, list)
    builder = UsageBuilder(material.cluster)
    raw, strange = slurm_json.raw_rows(jobs)
    once = Once()
    once.append(builder.add(raw))
    once.append(builder.finish(lambda lines: {line: slurm_json.job_text(jobs[line - 1]) for line in lines}))
    progress(1.0)
    return UsageBatch(source=material.source, origin=material.origin, lines=len(jobs), frames=once.frames(),
                      rejected=tuple(sorted([*strange, *builder.rejected], key=lambda one: one.line)),
                      notes=(*builder.notes, *once.notes))
