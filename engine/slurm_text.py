"""sacct's text output: from blocks of bytes to frames of raw rows, one String column each, with their line numbers.

Most lines have as many separators as the header; they go to polars as they are. The few others were broken by a
separator or a newline inside a name: they are put together again by their column count and by what each column may
hold, and only when every possible reading agrees on all that decides money. Knows nothing of what the values mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.errors import BatchRefused
from engine.slurm_columns import SELDOM, Header, says_all
from engine.usage import Rejection

MOST_LINES = 2000                 # a row is not looked for beyond this many lines
MOST_PIECES = 50_000
KEPT_TEXT = 2000                  # characters of a rejected line that are kept
LONGEST = 256 << 20               # bytes without a whole row
AT_ONCE = 1 << 18                 # bytes
MISFIT = "its columns do not fit the header"
Mask = NDArray[np.bool_]


@dataclass(slots=True)
class TextReader:
    """Turns blocks of sacct's text (header not included) into raw frames; keeps what was rejected and remarked.

    A raw frame has `line` (Int64, from 1, the header being line 1) and the read columns of the header, all String.
    """

    header: Header
    where: str
    crlf: bool = False                            # lines end as on Windows
    next_line: int = 2
    rejected: list[Rejection] = field(default_factory=list)
    broken: list[tuple[int, str]] = field(default_factory=list)    # line and raw id of job rows among the rejected
    texts: dict[int, str] = field(default_factory=dict)       # of rows that span lines, for later rejections
    notes: list[str] = field(default_factory=list)
    joined: int = 0
    _carry: bytes | bytearray = b""
    _needs_all: bool = False
    _buffer: BytesIO = field(default_factory=BytesIO)         # one for all blocks: fresh memory costs more than reading into it

    def take(self, block: bytes | bytearray) -> pl.DataFrame:
        """The rows of `block` that are surely complete; the rest waits for the next block."""
        cut = self._cut(block)
        if len(self._carry) + len(block) - cut > LONGEST:
            raise BatchRefused(f"{self.where}, line {self.next_line}, does not end.")
        rows, self._carry = (b"", self._carry + block) if cut == 0 else (self._headed(memoryview(block)[:cut]), block[cut:])
        return self._rows(rows or self._head(), last=False)

    def finish(self) -> pl.DataFrame:
        """The rows still waiting. A last line that is cut off refuses the batch."""
        end = b""
        if self._carry and not self._carry.endswith(b"\n"):
            end = b"\n"
            self.notes.append("The last line has no newline; it was taken because all its columns are there.")
        data, self._carry = self._headed(end), b""
        return self._rows(data, last=True)

    def _head(self) -> bytes:
        """A first line for polars: it counts the fields of the others by it."""
        return self.header.separator.join(f"c{i}" for i in range(len(self.header.columns))).encode() + b"\n"

    def _headed(self, data: bytes | memoryview) -> bytes:
        """What waited and `data` behind a first line, copied once. Valid until the next call."""
        self._buffer.seek(0)
        self._buffer.writelines([self._head(), self._carry, data])
        self._buffer.truncate()
        return self._buffer.getvalue()

    def _cut(self, data: bytes | bytearray) -> int:
        """Where the last line begins that has the right count; what follows it may belong to it."""
        end = data.rfind(b"\n") + 1
        wanted, separator = len(self.header.columns) - 1, self.header.separator.encode()
        for _ in range(MOST_LINES):
            start = data.rfind(b"\n", 0, max(end - 1, 0)) + 1
            if end == 0 or data.count(separator, start, end) == wanted:
                return start
            end = start
        return data.rfind(b"\n") + 1

    def _rows(self, headed: bytes, last: bool) -> pl.DataFrame:
        self._check_text(headed)
        if self.crlf:
            headed = headed.replace(b"\r\n", b"\n")
        head = len(self._head())
        buffer = np.frombuffer(headed, dtype=np.uint8)[head:]
        lines = _occurrences(buffer, ord("\n"))
        separators = _occurrences(buffer, ord(self.header.separator))
        first, self.next_line = self.next_line, self.next_line + lines
        if separators == lines * (len(self.header.columns) - 1):
            frame = self._read(headed)
            if frame is not None:
                return frame.insert_column(0, pl.int_range(first, first + lines, dtype=pl.Int64, eager=True).alias("line"))
        return self._sorted_out(headed[head:], buffer, first, last)

    def _check_text(self, data: bytes) -> None:
        if data.isascii() and b"\0" not in data:
            return
        try:
            data.decode("utf-8")
            at = data.find(b"\0")
        except UnicodeDecodeError as error:
            at = error.start
        if at >= 0:
            line = self.next_line + data.count(b"\n", 0, at) - 1
            what = "a NUL byte" if data[at] == 0 else f"byte 0x{data[at]:02x}"
            raise BatchRefused(f"{self.where}, line {line}, holds {what}, which is no text (UTF-8).")

    def _read(self, headed: bytes) -> pl.DataFrame | None:
        """The read columns of lines that all have the header's count; None when polars finds that they have not.

        Those that are seldom needed are left out as long as no row of the file has needed them.
        """
        if not self._needs_all:
            frame = self._columns(headed, seldom=False)
            if frame is None or says_all(frame):
                return frame
            self._needs_all = True
        return self._columns(headed, seldom=True)

    def _columns(self, headed: bytes, seldom: bool) -> pl.DataFrame | None:
        columns = self.header.columns
        wanted = [i for i, column in enumerate(columns) if column.is_read and (seldom or column.name not in SELDOM)]
        last = len(columns) - 1                      # polars counts the fields only as far as it must read
        try:
            frame = pl.read_csv(headed, separator=self.header.separator, quote_char=None, infer_schema=False,
                                columns=sorted({*wanted, last}), truncate_ragged_lines=False)
        except pl.exceptions.ComputeError:
            return None
        return frame.select(pl.col(f"c{i}").alias(columns[i].name) for i in wanted)

    def _sorted_out(self, data: bytes, buffer: NDArray[np.uint8], first: int, last: bool) -> pl.DataFrame:
        """Good lines by polars, odd ones one by one, in the order of their lines."""
        ends = np.flatnonzero(buffer == 10) + 1
        starts = np.concatenate([[0], ends[:-1]])
        separators = np.flatnonzero(buffer == ord(self.header.separator))
        counts = np.searchsorted(separators, ends) - np.searchsorted(separators, starts)
        good = counts == len(self.header.columns) - 1
        if len(good) > 20 and good.sum() * 2 < len(good):
            odd = int(np.flatnonzero(~good)[0])
            raise BatchRefused(f"{self.where}: most lines do not have the header's {len(self.header.columns)} columns; "
                               f"line {first + odd} has {counts[odd] + 1}.")
        pieces = _Odd(self, data, starts, ends, good, first, last).resolve()
        good_lines = np.flatnonzero(good)
        parts = [pieces]
        if len(good_lines):
            frame = self._columns(b"".join([self._head(), *(data[a:b] for a, b in _runs(starts, ends, good))]), seldom=True)
            assert frame is not None
            parts.append(frame.insert_column(0, pl.Series("line", good_lines + first, dtype=pl.Int64)))
        return pl.concat(parts).sort("line")


def _occurrences(letters: NDArray[np.uint8], letter: int) -> int:
    """How often it stands there, counted in parts that the processor has at hand."""
    parts = (letters[at:at + AT_ONCE] for at in range(0, len(letters), AT_ONCE))
    return sum(int(np.count_nonzero(part == letter)) for part in parts)


def _runs(starts: NDArray[np.int64], ends: NDArray[np.int64], good: Mask) -> list[tuple[int, int]]:
    """Stretches of neighbouring good lines as (first byte, byte after the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], good.astype(np.int8), [0]])))
    return [(int(starts[a]), int(ends[b - 1])) for a, b in zip(edges[::2], edges[1::2], strict=True)]


@dataclass(slots=True)
class _Odd:
    """The lines of one block that have too few or too many separators; `good` is corrected where they take one along."""

    reader: TextReader
    data: bytes
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    good: Mask
    first: int
    last: bool

    def resolve(self) -> pl.DataFrame:
        """Raw rows made of odd lines."""
        names = [column.name for column in self.reader.header.columns if column.is_read]
        rows: list[tuple[int, list[str]]] = []
        i = 0
        while (i := self._next_odd(i)) < len(self.good):
            i = self._row(i, rows)
        columns = {"line": pl.Series([line for line, _ in rows], dtype=pl.Int64)}
        columns |= {name: pl.Series([values[n] for _, values in rows], dtype=pl.String) for n, name in enumerate(names)}
        return pl.DataFrame(columns)

    def _next_odd(self, i: int) -> int:
        found = np.flatnonzero(~self.good[i:])
        return i + int(found[0]) if len(found) else len(self.good)

    def _row(self, i: int, rows: list[tuple[int, list[str]]]) -> int:
        """Read the row that odd line `i` begins or ends; the index of the line after it."""
        if self._line(i) == "":
            return i + 1
        if i and self.good[i - 1] and not self._begins_row(i) and (taken := self._joined(i - 1, rows)):
            return taken
        return self._joined(i, rows) or self._reject(i, i + 1, self._misfit(i))

    def _joined(self, i: int, rows: list[tuple[int, list[str]]]) -> int:
        """Join lines from `i` on until they make a row; the index after it, 0 when they do not."""
        text, columns = self._line(i), len(self.reader.header.columns)
        for n in range(i + 1, min(i + MOST_LINES, len(self.good) + 1)):
            ends_here = n == len(self.good) or self._begins_row(n)
            if ends_here and text.count(self.reader.header.separator) + 1 >= columns:
                return self._keep(i, n, text, rows)
            if n == len(self.good):
                return self._unfinished(i, text)
            if self.good[n] and self._stands_alone(n):
                return self._reject(i, n, self._misfit(i)) if not self.good[i] else 0
            text = f"{text}\n{self._line(n)}"
        return 0

    def _unfinished(self, i: int, text: str) -> int:
        if not self.last:
            return 0
        has, columns = text.count(self.reader.header.separator) + 1, len(self.reader.header.columns)
        raise BatchRefused(f"{self.reader.where}: the last line ({self.first + i}) is cut off: {has} of {columns} columns.")

    def _stands_alone(self, n: int) -> bool:
        """True when line `n` is a whole row and the next one does not continue it: what precedes it is damaged."""
        header = self.reader.header
        whole = not isinstance(fit(header, self._line(n).split(header.separator)), str)
        return whole and (n + 1 == len(self.good) or self._begins_row(n + 1))

    def _keep(self, i: int, end: int, text: str, rows: list[tuple[int, list[str]]]) -> int:
        pieces = text.split(self.reader.header.separator)
        fitted = fit(self.reader.header, pieces) if len(pieces) <= MOST_PIECES else MISFIT
        if isinstance(fitted, str):
            return self._reject(i + 1 if self.good[i] else i, end, fitted)     # a good line stands for itself
        self.good[i:end] = False
        rows.append((self.first + i, fitted))
        self.reader.texts[self.first + i] = text[:KEPT_TEXT]
        self.reader.joined += 1
        return end

    def _misfit(self, i: int) -> str:
        has = self._line(i).count(self.reader.header.separator) + 1
        return f"it has {has} columns, the header {len(self.reader.header.columns)}"

    def _reject(self, i: int, end: int, why: str) -> int:
        text = "\n".join(self._line(n)[:KEPT_TEXT] for n in range(i, min(end, i + 50)))
        self.reader.rejected.append(Rejection(self.first + i, why, text[:KEPT_TEXT]))
        self.good[i:end] = False
        if raw_id := self._raw_id(i):
            self.reader.broken.append((self.first + i, raw_id))
        return end

    def _raw_id(self, i: int) -> str:
        """The raw job id at the beginning of a rejected line, where it can be told and is no step's; else nothing."""
        header = self.reader.header
        at = header.position("JobIDRaw") if header.position("JobIDRaw") is not None else header.position("JobID")
        pieces = self._line(i).split(header.separator)
        known = at is not None and at < header.leading and at < len(pieces) and pieces[at].isdigit()
        return pieces[at] if known and at is not None else ""

    def _line(self, n: int) -> str:
        return self.data[self.starts[n]:self.ends[n] - 1].decode()

    def _begins_row(self, n: int) -> bool:
        header = self.reader.header
        pieces = self._line(n).split(header.separator, header.leading)[:header.leading]
        return all(column.pattern.fullmatch(piece) for column, piece in zip(header.columns, pieces, strict=False)
                   if column.pattern)


def fit(header: Header, pieces: list[str]) -> list[str] | str:
    """The read columns' values when `pieces` are dealt out to the header's columns, or why that cannot be done.

    A typed column takes one piece that matches it, a free one any number from one. Every way to do so must give the
    same value in each column that decides money.
    """
    reach = _reachable(header, pieces)
    if not reach[-1][-1]:
        return MISFIT
    finish = _finishing(header, pieces, reach)
    values, at = [], 0
    for c, column in enumerate(header.columns):
        places = np.flatnonzero(reach[c][:-1] & finish[c][:-1])
        if column.pattern is not None and column.decides_money and len({pieces[p] for p in places}) > 1:
            return f"a separator inside a name leaves its {column.name} open"
        end = at + 1 + int(np.flatnonzero(finish[c + 1][at + 1:] & (column.pattern is None or _first(len(pieces) - at)))[0])
        values.append(header.separator.join(pieces[at:end]))
        at = end
    return [value for value, column in zip(values, header.columns, strict=True) if column.is_read]


def _first(length: int) -> Mask:
    mask = np.zeros(length, dtype=np.bool_)
    mask[0] = True
    return mask


def _reachable(header: Header, pieces: list[str]) -> list[Mask]:
    """reach[c][p]: the first c columns can take exactly the first p pieces."""
    reach = [np.zeros(len(pieces) + 1, dtype=np.bool_)]
    reach[0][0] = True
    for column in header.columns:
        before, after = reach[-1], np.zeros(len(pieces) + 1, dtype=np.bool_)
        if column.pattern is None:
            after[1:] = np.logical_or.accumulate(before[:-1])
        else:
            for p in np.flatnonzero(before[:-1]):
                after[p + 1] = column.pattern.fullmatch(pieces[p]) is not None
        reach.append(after)
    return reach


def _finishing(header: Header, pieces: list[str], reach: list[Mask]) -> list[Mask]:
    """finish[c][p]: from there the columns c… can take the pieces p…; only where `reach` is possible too."""
    finish = [np.zeros(len(pieces) + 1, dtype=np.bool_)]
    finish[0][-1] = True
    for c in range(len(header.columns) - 1, -1, -1):
        column, after, before = header.columns[c], finish[0], np.zeros(len(pieces) + 1, dtype=np.bool_)
        if column.pattern is None:
            before[:-1] = np.logical_or.accumulate(after[::-1])[::-1][1:]
        else:
            for p in np.flatnonzero(reach[c][:-1] & after[1:]):
                before[p] = column.pattern.fullmatch(pieces[p]) is not None
        finish.insert(0, before & reach[c])
    return finish
