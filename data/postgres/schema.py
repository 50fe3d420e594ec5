"""The schema is brought up to date here, by alembic, once: several processes may ask at the same time.

Refuses to know what the tables mean; that stands in data/migrations/sql.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"
LOCK = 0x636F7265               # the advisory lock of whoever migrates


def migrate(engine: sa.Engine) -> bool:
    """Bring the database to the newest schema, all or nothing; True when there was something to do."""
    if current(engine) == newest():
        return False
    with engine.begin() as connection:
        connection.execute(sa.text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return True


def current(engine: sa.Engine) -> str | None:
    """The revision the database is at; None when it is empty."""
    with engine.connect() as connection:
        if connection.execute(sa.text("select to_regclass('alembic_version')")).scalar_one() is None:
            return None
        revision: str | None = connection.execute(sa.text("select version_num from alembic_version")).scalar_one_or_none()
        return revision


@lru_cache(maxsize=1)
def newest() -> str | None:
    """The revision this code needs."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
