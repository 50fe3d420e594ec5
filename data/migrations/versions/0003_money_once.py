"""Disputed money taken once, debit notes, events that wake the workers.

Revision ID: 0003
"""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"

TOPICS = ("ledger", "payments", "disputes", "documents", "inbox")


def upgrade() -> None:
    folder = Path(__file__).parents[1] / "sql"
    postgres = op.get_bind().connection.dbapi_connection   # plain SQL: its % signs are no placeholders
    for topic in TOPICS:
        postgres.execute((folder / f"0003_{topic}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("Money has been written: there is no way back but a backup.")
