"""The ledger's tables. Accounts are locked in ascending id; a key is posted once, whoever comes second is told so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf
from engine.ledger import Kind, LedgerName, Posting, balanced

_FIND = ("select id, kind, owner, currency from ledger_account where (kind, owner, currency) in"
         " (select * from unnest(cast(:kinds as text[]), cast(:owners as text[]), cast(:currencies as text[]))) order by id")


class LedgerShelf(Shelf):
    """Post transactions and read balances."""

    def __init__(self, connection: sa.Connection, actor: str, told: Callable[[], datetime | None] = lambda: None) -> None:
        super().__init__(connection)
        self.actor, self.told = actor, told         # what the transaction was told the time is, where it asked or was told

    def post(self, key: str, memo: str, postings: Sequence[Posting]) -> bool:
        """Post once under `key` (named after the money object); False when that key was posted before."""
        return self.post_many([(key, memo, postings)]) == [key]

    def post_many(self, transactions: Sequence[tuple[str, str, Sequence[Posting]]]) -> list[str]:
        """Post many, each once under its key (key, memo, postings); the keys that were not posted before."""
        entries = {key: balanced(postings) for key, _, postings in transactions}
        made = {row.key: row.id for row in self.rows(
            "insert into ledger_transaction (key, memo, actor, created_at) select key, memo, :actor, coalesce(:at, now())"
            " from unnest(cast(:keys as text[]), cast(:memos as text[])) with ordinality t(key, memo, ordinal) order by ordinal"
            " on conflict (key) do nothing returning id, key",
            keys=[key for key, _, _ in transactions], memos=[memo for _, memo, _ in transactions], actor=self.actor,
            at=self.told())}
        self._enter([(made[key], entry) for key in entries if key in made for entry in entries[key]])
        return [key for key in entries if key in made]

    def _enter(self, entries: Sequence[tuple[int, Posting]]) -> None:
        """Write entries of ledger transactions, account by account."""
        if not entries:
            return
        ids = self.lock([entry.account for _, entry in entries])
        rows = sorted((ids[entry.account], transaction, entry.account.currency, entry.amount_micro) for transaction, entry in entries)
        accounts, transactions, currencies, amounts = zip(*rows, strict=True)
        self.execute(
            "insert into ledger_entry (transaction_id, ledger_account_id, currency, amount_micro, balance_after_micro, account_version)"
            " select transaction, account, currency, amount, 0, 0 from unnest(cast(:transactions as bigint[]), cast(:accounts as bigint[]),"
            " cast(:currencies as text[]), cast(:amounts as bigint[])) with ordinality e(transaction, account, currency, amount, ordinal)"
            " order by ordinal",
            transactions=list(transactions), accounts=list(accounts), currencies=list(currencies), amounts=list(amounts))

    def lock(self, accounts: Sequence[LedgerName]) -> dict[LedgerName, int]:
        """Make missing accounts, then lock all of them in ascending id: name every account that this transaction will post to."""
        names = sorted(set(accounts))
        if missing := sorted(set(names) - set(self._find(names))):
            self.execute(
                "insert into ledger_account (kind, owner, currency, side, floor_micro) select * from unnest(cast(:kinds as text[]),"
                " cast(:owners as text[]), cast(:currencies as text[]), cast(:sides as smallint[]), cast(:floors as bigint[]))"
                " on conflict do nothing", **_columns(missing), sides=[name.side for name in missing],
                floors=[name.floor_micro for name in missing])
        return self._find(names, "for update")

    def _find(self, names: Sequence[LedgerName], lock: str = "") -> dict[LedgerName, int]:
        rows = self.rows(f"{_FIND} {lock}", **_columns(names))
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


def _columns(names: Sequence[LedgerName]) -> dict[str, list[str]]:
    return {"kinds": [str(name.kind) for name in names], "owners": [name.owner for name in names],
            "currencies": [name.currency for name in names]}
