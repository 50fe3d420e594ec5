"""The ledger's tables. Accounts are locked in ascending id, then what is posted is entered in one statement; a key is posted once,
whoever comes second is told so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf
from engine.ledger import Kind, LedgerName, Posting, balanced

_FIND = ("select id, kind, owner, currency from ledger_account where (kind, owner, currency) in"
         " (select * from unnest(cast(:kinds as text[]), cast(:owners as text[]), cast(:currencies as text[]))) order by id")

# A row an entry, in the order they are entered; one without an account and with the amount 0 is a transaction without entries.
_POST = """
with given as materialized (
  select *, row_number() over () as place
  from unnest(cast(:keys as text[]), cast(:memos as text[]), cast(:accounts as bigint[]), cast(:amounts as bigint[]))
    as given(key, memo, account, amount_micro)),
made as (
  insert into ledger_transaction (key, memo, actor, created_at)
    select key, min(memo), :actor, coalesce(:at, site_now()) from given group by key order by min(place)
    on conflict (key) do nothing returning id, key),
entered as (
  insert into ledger_entry (transaction_id, ledger_account_id, currency, amount_micro, balance_after_micro, account_version)
    select m.id, g.account, a.currency, g.amount_micro, a.balance_micro + micro_sum(g.amount_micro) over run,
      a.version + row_number() over run
    from given g join made m using (key) left join ledger_account a on a.id = g.account
    where g.account is not null or g.amount_micro is distinct from 0 window run as (partition by g.account order by g.place))
select key from made order by id"""

# Every account of {accounts} is locked: its balance and version are those of the ledger.
_POST_NUMBERED = """
with made as (
  insert into ledger_transaction (id, key, memo, actor, created_at) overriding system value
    select transaction_id, key, memo, :actor, coalesce(:at, (select site_now())) from ({transactions}) source)
insert into ledger_entry (transaction_id, ledger_account_id, currency, amount_micro, balance_after_micro, account_version)
  select transaction_id, account, a.currency, amount_micro, a.balance_micro + micro_sum(amount_micro) over run,
    a.version + row_number() over run
  from ({entries}) source join {accounts} a on a.id = account window run as (partition by account order by transaction_id)"""


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
        memos = {key: memo for key, memo, _ in transactions}
        ids = self.lock([entry.account for postings in entries.values() for entry in postings])
        rows: list[tuple[str, str, int | None, int]] = [
            (key, memos[key], ids[entry.account], entry.amount_micro) for key, postings in entries.items() for entry in postings]
        rows += [(key, memos[key], None, 0) for key, postings in entries.items() if not postings]
        keys, words, accounts, amounts = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
        made = self.rows(_POST, actor=self.actor, at=self.told(), keys=keys, memos=words, accounts=accounts, amounts=amounts)
        return [row.key for row in made]

    def post_numbered(self, transactions: str, entries: str, accounts: str) -> None:
        """Post what two selects of temporary tables give, in one statement however much it is: `transactions` the `transaction_id`
        (drawn by the caller from the sequence of ledger_transaction), `key` and `memo` of each, `entries` the `transaction_id`,
        `account` (its id) and `amount_micro`, at most one a transaction and account. `accounts` is a temporary table of the rows of
        all of them (`id, currency, balance_micro, version`), locked by an earlier statement in ascending id: who forgets it is
        refused by the database or waits in a deadlock, but posts nothing wrong.

        For what cannot have been posted before: a key that was is refused, and the whole with it. The database also refuses what
        does not sum to zero under each key in each currency.
        """
        self.execute(_POST_NUMBERED.format(transactions=transactions, entries=entries, accounts=accounts), actor=self.actor, at=self.told())

    def lock(self, accounts: Sequence[LedgerName]) -> dict[LedgerName, int]:
        """Make missing accounts, then lock all of them in ascending id: name every account that this transaction will post to."""
        names = sorted(set(accounts))
        if not names:
            return {}
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
