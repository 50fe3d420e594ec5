"""Postings are summed in 64 bits.

Revision ID: 0005
"""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"

TOPICS = ("postings",)


def upgrade() -> None:
    folder = Path(__file__).parents[1] / "sql"
    postgres = op.get_bind().connection.dbapi_connection   # plain SQL: its % signs are no placeholders
    for topic in TOPICS:
        postgres.execute((folder / f"0005_{topic}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("Money has been written: there is no way back but a backup.")
