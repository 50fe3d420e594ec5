"""Books that were kept before wallets came: the migration gives every payment its wallet and its money."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa

from data.postgres import schema
from data.postgres.invariants import INVARIANTS, violations
from data.postgres.store import Store, connect


def test_payments_of_older_books_get_their_wallet_and_money(server_url: str, store: Store) -> None:
    """A settled, a manual, a kept and an open payment at revision 0001, then the migration; every promise holds."""
    admin = sa.make_url(server_url).set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("create database older_books")
    engine = connect(sa.make_url(server_url).set(database="older_books").render_as_string(hide_password=False))
    try:
        with engine.begin() as at_first:
            schema._upgrade(at_first, "0001")
            at_first.exec_driver_sql(_OLDER)
        assert schema.migrate(engine)
        older = Store(engine, store.settings)
        found = older.read(lambda tx: tx.payments.rows(
            "select status, wallet, received_micro, money_ref, provider from payment order by id"))
        assert [tuple(row) for row in found] == [
            ("pending", "alice", 0, None, "dummy"), ("succeeded", "alice", 10_000_000, "TXN_000000000000000B", "dummy"),
            ("succeeded", "bob", 10_000_000, None, "manual"), ("unapplied", "bob", 10_000_000, "TXN_000000000000000D", "dummy")]
        money = [promise for promise in INVARIANTS if "payment" in promise.name or "wallet" in promise.name or "hold" in promise.name
                 or "money" in promise.name]
        assert len(money) >= 7 and older.read(lambda tx: [violations(tx, promise)[1] for promise in money]) == [[]] * len(money)
        with pytest.raises(sa.exc.DBAPIError, match="never changes"):
            older.run(lambda tx: tx.payments.execute("update payment set received_micro = 1 where received_micro > 0"))
    finally:
        engine.dispose()
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute("drop database older_books with (force)")


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
