"""The schema comes up to date once, whoever asks, and asking again costs nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import sqlalchemy as sa

from data.postgres.schema import current, migrate, newest
from data.postgres.store import Store, connect


def test_four_at_once_migrate_one_database(server_url: str) -> None:
    name = "migrated_by_four"
    admin = sa.make_url(server_url).set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"drop database if exists {name}")
        connection.execute(f"create database {name}")
        engine = connect(sa.make_url(server_url).set(database=name).render_as_string(hide_password=False))
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(lambda _: migrate(engine), range(4))) >= 1
        assert current(engine) == newest()
        engine.dispose()
        connection.execute(f"drop database {name}")


def test_up_to_date_costs_two_questions(store: Store) -> None:
    asked: list[str] = []
    sa.event.listen(store.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    assert not migrate(store.engine)
    assert len(asked) == 2 and all(statement.startswith("select") for statement in asked)
