"""The first bill: people, rates, usage, ledger, receipts, payments, audit.

Revision ID: 0001
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

TOPICS = ("guards", "people", "rates", "usage", "ledger", "receipts", "payments", "audit", "explain")


def upgrade() -> None:
    folder = Path(__file__).parents[1] / "sql"
    postgres = op.get_bind().connection.dbapi_connection   # plain SQL: its % signs are no placeholders
    for topic in TOPICS:
        postgres.execute((folder / f"0001_{topic}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("Money has been written: there is no way back but a backup.")
