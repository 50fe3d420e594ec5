"""Frames go into Postgres by binary COPY and come out as they went in, whatever stands in them and however they are cut."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest
import sqlalchemy as sa

from data.postgres.bulk import copy_in, copy_out
from data.postgres.store import Store

AT = int(datetime(2026, 11, 28, tzinfo=UTC).timestamp())
SCHEMA: dict[str, pl.DataType] = {
    "line": pl.Int64(), "name": pl.String(), "currency": pl.String(), "many": pl.Int64(), "middling": pl.Int32(), "few": pl.Int16(),
    "flag": pl.Boolean(), "end_at": pl.Int64(), "same": pl.String(), "nothing": pl.String(), "mostly": pl.String(), "empty": pl.String()}
ROWS = pl.DataFrame({
    "line": [1, 2, 3, 4, 5],
    "name": ["a|b\n\"c\"", "ก\u202e=1+1", None, "", "x" * 10_000],
    "currency": ["THB", None, "EUR", "THB", "THB"],
    "many": [2**62, -1, None, 0, 1], "middling": [None, None, 3, 4, 5], "few": [1, 1, 1, 1, 1],
    "flag": [True, None, False, True, True], "end_at": [AT, None, AT - 86_400 * 365 * 50, AT + 1, AT],
    "same": ["ä"] * 5, "nothing": [None] * 5, "mostly": ["job", "job", "other", "job", "job"], "empty": [""] * 5}, schema=SCHEMA)
TYPES = {"line": "bigint", "name": "text", "currency": "char(3)", "many": "bigint", "middling": "int", "few": "smallint", "flag": "boolean",
         "end_at": "timestamptz", "same": "text", "nothing": "text", "mostly": "text", "empty": "text"}


def through(store: Store, rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` as they come out of a table again."""
    columns = ", ".join("extract(epoch from end_at)::bigint" if name == "end_at" else name for name in SCHEMA)
    with store.engine.begin() as connection:
        connection.execute(sa.text(f"create temp table odd ({', '.join(f'{name} {kind}' for name, kind in TYPES.items())}) on commit drop"))
        copy_in(connection, "odd", rows)
        return copy_out(connection, f"select {columns} from odd order by line", SCHEMA)


@pytest.mark.parametrize("cut", [slice(0, 5), slice(1, 3), slice(2, 3), slice(4, 5), slice(0, 0)], ids=str)
def test_what_goes_in_comes_out(store: Store, cut: slice) -> None:
    assert through(store, ROWS[cut]).equals(ROWS[cut])


def test_of_several_chunks_too(store: Store) -> None:
    chunks = pl.concat([ROWS[3:], ROWS[:3]], rechunk=False)
    assert through(store, chunks).equals(ROWS)


@pytest.mark.parametrize("names", [["a\0b", "c"], ["\0", "\0"], ["ok", None]], ids=["in one", "in all", "in none"])
def test_what_postgres_cannot_keep_is_replaced(store: Store, names: list[str | None]) -> None:
    rows = pl.DataFrame({"line": [1, 2], "name": names}, schema={"line": pl.Int64, "name": pl.String})
    with store.engine.begin() as connection:
        connection.execute(sa.text("create temp table odd (line bigint, name text) on commit drop"))
        copy_in(connection, "odd", rows)
        found = connection.execute(sa.text("select name from odd order by line")).scalars().all()
    assert found == [name and name.replace("\0", "\N{REPLACEMENT CHARACTER}") for name in names]


def test_a_type_that_nobody_encodes_is_an_error(store: Store) -> None:
    with store.engine.begin() as connection:
        connection.execute(sa.text("create temp table odd (line numeric) on commit drop"))
        with pytest.raises(TypeError, match="cannot be copied: numeric"):
            copy_in(connection, "odd", pl.DataFrame({"line": [1]}))
