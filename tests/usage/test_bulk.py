"""Frames into Postgres and back: every type, with and without nulls, and what Postgres cannot keep."""

from __future__ import annotations

import polars as pl
import pytest
import sqlalchemy as sa

from data.postgres.bulk import copy_in, copy_out
from data.postgres.store import Store

SCHEMA = {"n": pl.Int64(), "small": pl.Int16(), "submit_at": pl.Int64(), "flag": pl.Boolean(), "word": pl.String(), "code": pl.String()}
SELECT = "select n, small, extract(epoch from submit_at)::bigint, flag, word, code from b order by row"
TABLE = "create temp table b (row int, n bigint, small smallint, submit_at timestamptz, flag boolean, word text, code char(3))"


@pytest.mark.parametrize("rows", [
    [(1, 2, 0, True, "a", "EUR"), (-(2**62), -3, 1_700_000_000, False, "", "EUR")],
    [(1, 2, 946_684_799, True, "äö,\"\n\\N", "EUR"), (None, None, None, None, None, None), (2, 3, 4, False, "z", "USD")],
    [(None, None, None, None, None, None)],
    [(1, 1, 1, True, "", "EUR")],
], ids=["numbers", "nulls between", "nothing but nulls", "an empty text"])
def test_a_frame_comes_back_as_it_went_in(store: Store, rows: list[tuple[object, ...]]) -> None:
    told = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    with store.engine.begin() as connection:
        connection.execute(sa.text(TABLE))
        copy_in(connection, "b", told.with_row_index("row"))
        assert copy_out(connection, SELECT, SCHEMA).rows() == rows


@pytest.mark.parametrize("words", [["a\0b", "a\0b"], ["a\0b", "c"]])
def test_nul_becomes_the_replacement_character(store: Store, words: list[str]) -> None:
    with store.engine.begin() as connection:
        connection.execute(sa.text(TABLE))
        copy_in(connection, "b", pl.DataFrame({"row": [0, 1], "word": words}))
        read = connection.execute(sa.text("select word from b order by row")).scalars().all()
    assert read == [word.replace("\0", "�") for word in words]


def test_what_does_not_fit_its_column_is_refused(store: Store) -> None:
    with store.engine.begin() as connection:
        connection.execute(sa.text(TABLE))
        with pytest.raises(pl.exceptions.InvalidOperationError):
            copy_in(connection, "b", pl.DataFrame({"small": [70_000]}))


@pytest.mark.parametrize("cut", [slice(0, 4), slice(1, 3), slice(2, 3), slice(0, 0)], ids=str)
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 3, 0, 1]], ids=["whole", "in chunks"])
def test_a_part_of_a_frame_comes_back_as_it_went_in(store: Store, cut: slice, order: list[int]) -> None:
    """Where texts begin is counted from the frame they were cut from, and in chunks anew."""
    words = ["a|b\n", "ก\u202e=1+1", None, "x" * 10_000]
    rows = [(row, None, -row, row % 2 == 0, words[row], "EUR") for row in order]
    halves = [pl.DataFrame(half, schema=SCHEMA, orient="row") for half in (rows[:2], rows[2:])]
    told = pl.concat(halves, rechunk=False)[cut]
    with store.engine.begin() as connection:
        connection.execute(sa.text(TABLE))
        copy_in(connection, "b", told.with_row_index("row"))
        assert copy_out(connection, SELECT, SCHEMA).rows() == told.rows()


def test_a_type_that_nobody_encodes_is_an_error(store: Store) -> None:
    with store.engine.begin() as connection:
        connection.execute(sa.text("create temp table odd (n numeric) on commit drop"))
        with pytest.raises(TypeError, match="cannot be copied: numeric"):
            copy_in(connection, "odd", pl.DataFrame({"n": [1]}))
