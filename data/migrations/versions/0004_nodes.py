"""One clock for all, GPU nodes, and allocations that are charged as they run.

Revision ID: 0004
"""

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"

TOPICS = ("clock", "ledger", "payments", "nodes", "looks", "allocations", "charges", "settled")


def upgrade() -> None:
    folder = Path(__file__).parents[1] / "sql"
    postgres = op.get_bind().connection.dbapi_connection   # plain SQL: its % signs are no placeholders
    for topic in TOPICS:
        postgres.execute((folder / f"0004_{topic}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("Money has been written: there is no way back but a backup.")
