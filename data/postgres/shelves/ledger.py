"""The ledger's tables. Accounts are locked in ascending id; a key is posted once, whoever comes second is told so."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf
from engine.ledger import Kind, LedgerName, Posting, balanced


class LedgerShelf(Shelf):
    """Post transactions and read balances."""

    def __init__(self, connection: sa.Connection, actor: str) -> None:
        super().__init__(connection)
        self.actor = actor

    def post(self, key: str, memo: str, postings: Sequence[Posting]) -> bool:
        """Post once under `key` (named after the money object); False when that key was posted before."""
        entries = balanced(postings)
        row = self.one("insert into ledger_transaction (key, memo, actor) values (:key, :memo, :actor)"
                       " on conflict (key) do nothing returning id", key=key, memo=memo, actor=self.actor)
        if row is None:
            return False
        ids = self.lock([entry.account for entry in entries])
        self.execute_many(
            "insert into ledger_entry (transaction_id, ledger_account_id, currency, amount_micro, balance_after_micro, account_version)"
            " values (:transaction, :account, :currency, :amount, 0, 0)",
            [{"transaction": row.id, "account": ids[entry.account], "currency": entry.account.currency,
              "amount": entry.amount_micro} for entry in sorted(entries, key=lambda entry: ids[entry.account])])
        return True

    def lock(self, accounts: Sequence[LedgerName]) -> dict[LedgerName, int]:
        """Make missing accounts, then lock all of them in ascending id: name every account that this transaction will post to."""
        self.execute_many(
            "insert into ledger_account (kind, owner, currency, side, floor_micro)"
            " values (:kind, :owner, :currency, :side, :floor) on conflict do nothing",
            [{"kind": str(name.kind), "owner": name.owner, "currency": name.currency, "side": name.side,
              "floor": name.floor_micro} for name in sorted(accounts)])
        rows = self.rows(
            "select id, kind, owner, currency from ledger_account where (kind, owner, currency) in"
            " (select * from unnest(cast(:kinds as text[]), cast(:owners as text[]), cast(:currencies as text[])))"
            " order by id for update",
            kinds=[str(name.kind) for name in accounts], owners=[name.owner for name in accounts],
            currencies=[name.currency for name in accounts])
        return {LedgerName(Kind(row.kind), row.owner, row.currency): row.id for row in rows}

    def postings(self, key: str) -> list[Posting]:
        """What was posted under `key`; empty when nothing was."""
        rows = self.rows(
            "select a.kind, a.owner, a.currency, e.amount_micro from ledger_entry e join ledger_account a on a.id = e.ledger_account_id"
            " join ledger_transaction t on t.id = e.transaction_id where t.key = :key order by a.id", key=key)
        return [Posting(LedgerName(Kind(row.kind), row.owner, row.currency), row.amount_micro) for row in rows]

    def balance_micro(self, name: LedgerName) -> int:
        """The balance seen from the account's side; 0 for one that was never used."""
        row = self.one("select side * balance_micro as balance from ledger_account"
                       " where kind = :kind and owner = :owner and currency = :currency",
                       kind=str(name.kind), owner=name.owner, currency=name.currency)
        return int(row.balance) if row else 0

    def balances(self) -> dict[LedgerName, int]:
        """Every account's balance seen from its side, in micro-units."""
        rows = self.rows("select kind, owner, currency, side * balance_micro as balance from ledger_account order by kind, owner, currency")
        return {LedgerName(Kind(row.kind), row.owner, row.currency): int(row.balance) for row in rows}
