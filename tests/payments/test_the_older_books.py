"""Books that were kept by older schemas: the migration gives every payment its wallet and its money, and a dispute that was lost
what it was taken from.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa

from data.postgres import schema
from data.postgres.invariants import INVARIANTS, violations
from data.postgres.store import Store, connect


@pytest.fixture
def older(server_url: str, store: Store) -> Iterator[Store]:
    """A database with nothing in it."""
    admin, name = sa.make_url(server_url).set(database="postgres").render_as_string(hide_password=False), f"older_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    engine = connect(sa.make_url(server_url).set(database=name).render_as_string(hide_password=False))
    yield Store(engine, store.settings)
    engine.dispose()
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


def test_payments_of_older_books_get_their_wallet_and_money(older: Store) -> None:
    """A settled, a manual, a kept and an open payment at revision 0001, then the migration; every promise holds."""
    with older.engine.begin() as at_first:
        schema._upgrade(at_first, "0001")
        at_first.exec_driver_sql(_OLDER)
    assert schema.migrate(older.engine)
    found = older.read(lambda tx: tx.payments.rows("select status, wallet, received_micro, money_ref, provider from payment order by id"))
    assert [tuple(row) for row in found] == [
        ("pending", "alice", 0, None, "dummy"), ("succeeded", "alice", 10_000_000, "TXN_000000000000000B", "dummy"),
        ("succeeded", "bob", 10_000_000, None, "manual"), ("unapplied", "bob", 10_000_000, "TXN_000000000000000D", "dummy")]
    assert _broken(older, "payment", "wallet", "hold", "money") == []
    with pytest.raises(sa.exc.DBAPIError, match="never changes"):
        older.run(lambda tx: tx.payments.execute("update payment set received_micro = 1 where received_micro > 0"))


def test_a_dispute_that_was_lost_before_knows_what_it_took(older: Store) -> None:
    """Eight of ten were lost at revision 0002, written off: they were the receipt's."""
    with older.engine.begin() as at_first:
        schema._upgrade(at_first, "0001")
        at_first.exec_driver_sql(_OLDER)
        schema._upgrade(at_first, "0002")
        at_first.exec_driver_sql(_LOST)
    assert schema.migrate(older.engine)
    found = older.read(lambda tx: tx.payments.rows(
        "select from_receipt_micro, from_wallet_micro, from_unapplied_micro, from_write_off_micro from dispute"))
    assert [tuple(row) for row in found] == [(8_000_000, 0, 0, 0)]
    assert _broken(older, "dispute", "balance", "zero") == []


def _broken(store: Store, *words: str) -> list[str]:
    """Promises that name one of the words and do not hold."""
    about = [promise for promise in INVARIANTS if any(word in promise.name for word in words)]
    assert len(about) >= 3
    return store.read(lambda tx: [promise.name for promise in about if violations(tx, promise)[1]])


_LOST = """
insert into dispute (id, payment_id, provider, livemode, provider_ref, amount_micro, currency, status, withdrawn_at, closed_at)
  values ('dis_a', 'pay_b', 'dummy', false, 'dp_1', 8000000, 'THB', 'lost', now(), now());
insert into ledger_account (kind, owner, currency, side) values ('dispute', 'dummy', 'THB', 1), ('write_off', '', 'THB', 1);
insert into ledger_transaction (key, actor) values ('dispute-withdrawn:dis_a', 'worker'), ('dispute-lost:dis_a', 'worker');
insert into ledger_entry (transaction_id, ledger_account_id, currency, amount_micro, balance_after_micro, account_version)
  select t.id, a.id, 'THB', m.amount, 0, 0 from (values
    ('dispute-withdrawn:dis_a', 'dispute', 'dummy', 8000000), ('dispute-withdrawn:dis_a', 'clearing', 'dummy', -8000000),
    ('dispute-lost:dis_a', 'write_off', '', 8000000), ('dispute-lost:dis_a', 'dispute', 'dummy', -8000000))
    m(key, kind, owner, amount) join ledger_transaction t using (key) join ledger_account a on a.kind = m.kind and a.owner = m.owner;
"""
_OLDER = """
insert into payer values ('alice', 'mu'), ('bob', 'mu');
insert into receipt (id, series, year, sequence, number, payer, tier, currency, status, ended_before, lines, subtotal_micro, total_micro,
                     issued_by, due_at, paid_at)
  select 'rcpt_' || n, 'CH', 2026, n, 'CH-2026-' || n, payer, 'mu', 'THB', status, now(), 1, 10000000, 10000000, 'finn', now(),
         case status when 'paid' then now() end
  from (values (1, 'alice', 'pending'), (2, 'alice', 'paid'), (3, 'bob', 'paid')) r(n, payer, status);
insert into payment (id, reference, receipt_id, provider, livemode, amount_micro, currency, status, created_by, expires_at, settled_at)
  values ('pay_a', 'TXN_000000000000000A', 'rcpt_1', 'dummy', false, 10000000, 'THB', 'pending', 'alice', now(), null),
         ('pay_b', 'TXN_000000000000000B', 'rcpt_2', 'dummy', false, 10000000, 'THB', 'succeeded', 'alice', now(), now()),
         ('pay_c', 'TXN_000000000000000C', 'rcpt_3', 'manual', true, 10000000, 'THB', 'succeeded', 'finn', now(), now()),
         ('pay_d', 'TXN_000000000000000D', 'rcpt_3', 'dummy', false, 10000000, 'THB', 'unapplied', 'bob', now(), null);
insert into ledger_account (kind, owner, currency, side) values ('clearing', 'dummy', 'THB', 1), ('clearing', 'manual', 'THB', 1),
  ('unapplied', 'dummy', 'THB', -1), ('receivable', 'alice', 'THB', 1), ('receivable', 'bob', 'THB', 1), ('income', 'cpu', 'THB', -1);
insert into ledger_transaction (key, actor) select 'receipt:rcpt_' || n, 'finn' from generate_series(1, 3) n;
insert into ledger_transaction (key, actor) values ('pay:dummy:TXN_000000000000000B', 'worker'),
  ('pay:manual:TXN_000000000000000C', 'finn'), ('pay:dummy:TXN_000000000000000D', 'worker');
insert into ledger_entry (transaction_id, ledger_account_id, currency, amount_micro, balance_after_micro, account_version)
  select t.id, a.id, 'THB', m.amount, 0, 0 from (values
    ('receipt:rcpt_1', 'receivable', 'alice', 10000000), ('receipt:rcpt_1', 'income', 'cpu', -10000000),
    ('receipt:rcpt_2', 'receivable', 'alice', 10000000), ('receipt:rcpt_2', 'income', 'cpu', -10000000),
    ('receipt:rcpt_3', 'receivable', 'bob', 10000000), ('receipt:rcpt_3', 'income', 'cpu', -10000000),
    ('pay:dummy:TXN_000000000000000B', 'clearing', 'dummy', 10000000),
    ('pay:dummy:TXN_000000000000000B', 'receivable', 'alice', -10000000),
    ('pay:manual:TXN_000000000000000C', 'clearing', 'manual', 10000000),
    ('pay:manual:TXN_000000000000000C', 'receivable', 'bob', -10000000),
    ('pay:dummy:TXN_000000000000000D', 'clearing', 'dummy', 10000000), ('pay:dummy:TXN_000000000000000D', 'unapplied', 'dummy', -10000000))
    m(key, kind, owner, amount) join ledger_transaction t using (key) join ledger_account a on a.kind = m.kind and a.owner = m.owner;
"""
