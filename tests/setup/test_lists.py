"""Columns on their way to Postgres arrive as they were, and what is no column of texts, numbers or bytes is as it always was."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.postgres.lists import Columns

text = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
columns = st.one_of(st.lists(text), st.lists(st.sampled_from(["", "NULL", "{a,b}", '"', "\\", "\\x00", '","', " ", "ไทย"])),
                    st.lists(st.integers(-2**63, 2**63 - 1)), st.lists(st.binary()), st.lists(st.none() | text), st.lists(st.booleans()))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(columns)
def test_a_column_arrives_as_it_was(line: psycopg.Connection, column: list[object]) -> None:
    kind = {str: "text", int: "bigint", bytes: "bytea", bool: "boolean"}[next((type(item) for item in column if item is not None), str)]
    assert line.execute(f"select cast(%s as {kind}[])", [column]).fetchone() == (column,)


def test_what_postgres_cannot_keep_is_refused_as_before(line: psycopg.Connection) -> None:
    for column in (["a", "b\x00"], ["a", 1]):
        with pytest.raises(psycopg.DataError):
            line.execute("select %s::text[]", [column])
    moment = [datetime(2026, 11, 28, 10, tzinfo=UTC)]
    assert line.execute("select %s::timestamptz[]", [moment]).fetchone() == (moment,)


@pytest.fixture
def line(server_url: str) -> Iterator[psycopg.Connection]:
    """A connection of its own."""
    connection = psycopg.connect(server_url, autocommit=True)
    connection.adapters.register_dumper(list, Columns)
    with connection:
        yield connection
