"""Frames as Postgres' binary COPY reads them, made column by column with numpy and put together once a slice.

A row is the number of its fields, then each field as its length and its bytes. Neighbouring fields that have one length
in all rows make one block, which ends with the length of the text after it; texts are joined in between. Refuses to know
what the columns mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
EPOCH = 946_684_800             # Postgres counts microseconds from the year 2000
INSTANT = "timestamp with time zone"
NUMBERS: dict[str, tuple[pl.DataType, str]] = {
    "bigint": (pl.Int64(), ">i8"), INSTANT: (pl.Int64(), ">i8"), "integer": (pl.Int32(), ">i4"),
    "smallint": (pl.Int16(), ">i2"), "boolean": (pl.UInt8(), "u1")}
TEXTS = frozenset({"text", "character(3)"})
_BYTES = pa.large_binary()
# pa.scalar(b"") would do, but it brings in pandas, a quarter of what a command takes to start.
_NOTHING = pa.Array.from_buffers(_BYTES, 1, [None, pa.py_buffer(bytes(16)), pa.py_buffer(b"")])[0]


def encoded(rows: pl.DataFrame, types: Mapping[str, str]) -> memoryview:
    """`rows` as COPY's binary form, without header and trailer; `types` has the Postgres type of each column.

    Instants are Unix seconds; NUL, which Postgres cannot keep in a text, becomes the replacement character.
    """
    pieces: list[Any] = []
    block: list[tuple[Any, str]] = [(len(rows.columns), ">i2")]
    for name, values in _plain(rows, types).items():
        if (even := _even(values, types[name])) is not None:
            block += even
            continue
        lengths, data = _uneven(values, types[name])
        pieces += [_side_by_side([*block, (lengths, ">i4")], len(rows)), data]
        block = []
    if block:
        pieces.append(_side_by_side(block, len(rows)))
    return memoryview(pc.binary_join_element_wise(*pieces, _NOTHING).buffers()[2])


def _plain(rows: pl.DataFrame, types: Mapping[str, str]) -> dict[str, pl.Series]:
    """The columns as integers and texts; what does not fit its type is an error."""
    if unknown := {types[name] for name in rows.columns} - NUMBERS.keys() - TEXTS:
        raise TypeError(f"cannot be copied: {', '.join(sorted(unknown))}")
    instants = [(pl.col(name) - EPOCH) * 1_000_000 for name in rows.columns if types[name] == INSTANT]
    wanted = {name: NUMBERS[types[name]][0] if types[name] in NUMBERS else pl.String() for name in rows.columns}
    return {name: values if values.dtype == wanted[name] else values.cast(wanted[name])
            for name, values in rows.with_columns(instants).to_dict().items()}


def _even(values: pl.Series, kind: str) -> list[tuple[Any, str]] | None:
    """Length and value of a column whose fields all have one length: no value at all, numbers, one text for all."""
    if values.null_count() == len(values):
        return [(-1, ">i4")]
    if values.null_count():
        return None
    if kind in NUMBERS:
        dtype = NUMBERS[kind][1]
        return [(np.dtype(dtype).itemsize, ">i4"), (values.to_numpy(), dtype)]
    if values[0] != values[-1] or not (values == values[0]).all():
        return None
    text = values[0].replace("\0", "\N{REPLACEMENT CHARACTER}").encode()
    return [(len(text), ">i4"), (np.frombuffer(text, np.uint8), f"({len(text)},)u1")]


def _uneven(values: pl.Series, kind: str) -> tuple[Any, Any]:
    """Lengths and bytes of any other column."""
    missing = values.is_null().to_numpy()
    if kind in NUMBERS:
        dtype = np.dtype(NUMBERS[kind][1])
        widths = np.where(missing, 0, dtype.itemsize)
        data = _bytes(np.concatenate([[0], np.cumsum(widths)]), values.drop_nulls().to_numpy().astype(dtype))
        return np.where(missing, -1, widths), data
    texts, bounds = _texts(values.fill_null(""))
    return np.where(missing, -1, np.diff(bounds)), texts


def _texts(values: pl.Series) -> tuple[Any, Any]:
    """The bytes of texts without a null, and where each begins and the last one ends."""
    texts = values.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, letters = texts.buffers()
    bounds = np.frombuffer(offsets, np.int64)[texts.offset:texts.offset + len(texts) + 1]
    if len(letters) and not np.frombuffer(letters, np.uint8).min():
        return _texts(values.str.replace_all("\0", "\N{REPLACEMENT CHARACTER}", literal=True))
    return texts.cast(_BYTES), bounds


def _side_by_side(block: list[tuple[Any, str]], count: int) -> Any:
    """The fields of `block`, each a value for all rows or one a row, as one binary column: what is the same is laid out once."""
    row = np.empty(1, dtype=[(str(number), dtype) for number, (_, dtype) in enumerate(block)])
    each = {str(number) for number, (values, dtype) in enumerate(block) if np.ndim(values) and not dtype.startswith("(")}
    for number, (values, _) in enumerate(block):
        if str(number) not in each:
            row[str(number)] = values
    out = np.frombuffer(bytearray(row.tobytes()) * count, row.dtype)
    for number, (values, _) in enumerate(block):
        if str(number) in each:
            out[str(number)] = values
    return _bytes(np.arange(count + 1) * row.dtype.itemsize, out)


def _bytes(offsets: Any, data: Any) -> Any:
    buffers = [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(data)]
    return pa.Array.from_buffers(_BYTES, len(offsets) - 1, buffers)
