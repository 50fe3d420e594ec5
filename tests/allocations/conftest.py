"""A small site: two nodes that are not there, and people with money in their wallets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import pytest
import sqlalchemy as sa

from data.postgres.invariants import INVARIANTS, violations
from data.postgres.store import PostgresTransaction, Store
from data.ssh_keys import new_key_pair
from engine.allocations import Allocation, AllocationState, first_second
from engine.ledger import Kind, LedgerName
from engine.money import Money, parse_micro
from engine.nodes import Node, NodeAddress, NodeState
from engine.policy import OPERATOR
from engine.services import users
from engine.services.adjustments import confirm_adjustment, request_adjustment
from engine.services.allocations import request_allocation
from engine.services.nodes import add_node, move_node
from engine.users import Person, Role
from webhooks.provisioners.dummy import DummyProvisioner

T = TypeVar("T")


@dataclass
class Lab:
    """What tests do to a site."""

    store: Store
    provisioner: DummyProvisioner

    def node(self, name: str, host: str = "") -> Node:
        """Add a node and open it."""
        host = host or f"{name}.example"
        address = NodeAddress(name, host, 22, self.provisioner.host_key(host, 22))
        probe = self.provisioner.probe(address)
        self.run(lambda tx: add_node(tx, address, "main", probe, OPERATOR))
        return self.run(lambda tx: move_node(tx, name, NodeState.AVAILABLE, "it was tested", OPERATOR))

    def person(self, name: str, amount: str = "0", role: Role = Role.RESEARCHER) -> Person:
        """Somebody who signs in, with `amount` THB in their wallet."""
        self.run(lambda tx: users.add(tx, name, role, "no password", by=OPERATOR))
        if parse_micro(amount):
            self.fill(name, amount)
        found = self.store.read(lambda tx: tx.users.by_name(name))
        assert found is not None
        return found

    def fill(self, owner: str, amount: str) -> None:
        """Change a wallet by hand."""
        second = Person(0, "second", Role.ADMIN, "")
        asked = self.run(lambda tx: request_adjustment(tx, owner, Money(parse_micro(amount), "THB"), "for the tests", OPERATOR))
        if asked.decided_by is None:
            self.run(lambda tx: confirm_adjustment(tx, asked.id, second))

    def request(self, person: Person, node: str, **more: object) -> Allocation:
        """Ask for a node with a new key."""
        key = new_key_pair().public.line
        return self.run(lambda tx: request_allocation(tx, node, key, person.payer, person, **{"request_key": key[-40:], **more}))  # type: ignore[arg-type]

    def begin(self, allocation: Allocation) -> Allocation:
        """As if its node had been set up."""
        def work(tx: PostgresTransaction) -> Allocation:
            locked = tx.allocations.get(allocation.id, lock=True)
            assert locked is not None
            tried = tx.allocations.move(locked, AllocationState.PROVISIONING, "")
            return tx.allocations.move(tried, AllocationState.ACTIVE, "", active_at=first_second(tx.now))
        return self.run(work)

    def active(self, person: Person, node: str, **more: object) -> Allocation:
        """A node in somebody's hands."""
        return self.begin(self.request(person, node, **more))

    def see(self, allocation: Allocation) -> Allocation:
        """As it stands now."""
        found = self.store.read(lambda tx: tx.allocations.get(allocation.id))
        assert found is not None
        return found

    def balance(self, owner: str) -> int:
        """Micro-units in a wallet."""
        return self.store.read(lambda tx: tx.ledger.balance_micro(LedgerName(Kind.WALLET, owner, "THB")))

    def earned(self) -> int:
        """Micro-units that nodes earned."""
        return self.store.read(lambda tx: tx.ledger.balance_micro(LedgerName(Kind.INCOME, "gpu_node", "THB")))

    def run(self, work: Callable[[PostgresTransaction], T]) -> T:
        """One transaction."""
        return self.store.run(work, actor="tests")

    def broken(self) -> dict[str, list[str]]:
        """Promises that do not hold, with where."""
        return self.store.read(lambda tx: {promise.name: where for promise in INVARIANTS if (where := violations(tx, promise)[1])})

    def set_clock(self, sql: str) -> None:
        """Have the site's clock say `sql`, such as "transaction_timestamp() + interval '1 hour'"."""
        with self.store.engine.begin() as connection:
            connection.execute(sa.text(f"create or replace function site_now() returns timestamptz language sql stable parallel safe"
                                       f" as $$ select {sql} $$"))

    def later(self, since: datetime, **gone: float) -> None:
        """Have the clock stand still at `since` plus so much."""
        words = " ".join(f"{value} {unit}" for unit, value in gone.items())
        self.set_clock(f"timestamptz '{since.isoformat()}' + interval '{words}'")


@pytest.fixture
def lab(store: Store) -> Lab:
    return Lab(store, DummyProvisioner())
