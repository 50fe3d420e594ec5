"""Money in, money out: the outbox, documents, refunds, disputes, reconciliation.

Revision ID: 0002
"""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"

TOPICS = ("outbox", "payments", "wallets", "refunds", "reconciliation", "documents", "bank")


def upgrade() -> None:
    folder = Path(__file__).parents[1] / "sql"
    postgres = op.get_bind().connection.dbapi_connection   # plain SQL: its % signs are no placeholders
    for topic in TOPICS:
        postgres.execute((folder / f"0002_{topic}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("Money has been written: there is no way back but a backup.")
