"""The schema is brought up to date here, by alembic, once: several processes may ask at the same time.

Refuses to know what the tables mean; that stands in data/migrations/sql.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import sqlalchemy as sa

MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"
LOCK = 0x636F7265               # the advisory lock of whoever migrates


def migrate(engine: sa.Engine) -> bool:
    """Bring the database to the newest schema, all or nothing; True when there was something to do."""
    if current(engine) == newest():
        return False
    with engine.begin() as connection:
        connection.execute(sa.text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        _upgrade(connection)
    return True


def current(engine: sa.Engine) -> str | None:
    """The revision the database is at; None when it is empty."""
    with engine.connect() as connection:
        if connection.execute(sa.text("select to_regclass('alembic_version')")).scalar_one() is None:
            return None
        revision: str | None = connection.execute(sa.text("select version_num from alembic_version")).scalar_one_or_none()
        return revision


@lru_cache(maxsize=1)
def newest() -> str:
    """The revision this code needs: the number that the last file in versions/ begins with."""
    return max(path.name for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))[:4]


def _upgrade(connection: sa.Connection, to: str = "head") -> None:
    """Run what is missing. Alembic is imported here: commands start faster where nothing is."""
    from alembic import command
    from alembic.config import Config
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, to)
