"""What the flows share: usage that is kept the way real usage is, people, and a look at the books."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from data.postgres.invariants import INVARIANTS, violations
from data.postgres.store import Store
from engine.policy import OPERATOR
from engine.receipts import Receipt
from engine.services.receipts import create_receipt
from engine.usage import UsageBatch
from engine.users import Person, Role
from ingest.keep import Kept, keep
from tests.engine.usage_frames import ENDED, frame

LATER = datetime.fromtimestamp(ENDED, UTC) + timedelta(days=10)
ALICE = Person(1, "alice", Role.RESEARCHER, "alice")
BOB = Person(2, "bob", Role.RESEARCHER, "bob")
FINANCE = Person(3, "fin", Role.FINANCE, "fin")
AUDITOR = Person(4, "aud", Role.AUDITOR, "aud")


def keep_runs(store: Store, *runs: dict[str, object]) -> Kept:
    """Runs as one batch from a file."""
    return keep(store, UsageBatch(source="file", origin="example", lines=len(runs), frames=(frame(*runs),)))


def forget_copy(store: Store) -> None:
    """The catalog of the analytics copy is not there: as in an installation that was just made."""
    store.lake.close()
    with store.engine.begin() as connection:
        connection.exec_driver_sql("drop schema lake cascade")


def bill(store: Store, payer: str = "alice", before: datetime = LATER) -> Receipt:
    """A receipt made by the operator."""
    return store.run(lambda tx: create_receipt(tx, payer, before, OPERATOR), actor="operator")


def books(store: Store) -> dict[str, int]:
    """Every ledger account that is not at zero, seen from its side, in micro-units."""
    return {f"{name.kind}:{name.owner}": micro for name, micro in store.read(lambda tx: tx.ledger.balances()).items() if micro}


def broken(store: Store) -> list[tuple[str, list[str]]]:
    """Invariants that do not hold, and where."""
    found = store.read(lambda tx: [(invariant.name, violations(tx, invariant)[1]) for invariant in INVARIANTS])
    return [(name, where) for name, where in found if where]
