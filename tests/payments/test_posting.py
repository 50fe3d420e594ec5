"""Posting: many transactions in one statement come to what a plain model says, and what does not follow the books is refused
by the database, whoever writes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.postgres.invariants import INVARIANTS, violations
from data.postgres.store import PostgresTransaction, Store
from engine.ledger import Kind, LedgerName, Posting

_numbers = count(1)
# Who pays whom how much, in one transaction: 0 a wallet that stays above zero, 1 and 2 accounts without a floor.
move = st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(0, 2), st.integers(-50, 50))
batches = st.lists(st.lists(move, max_size=8), max_size=5)


@dataclass
class Model:
    """The books on paper: what each account holds after each of its entries, seen as the ledger keeps it."""

    runs: dict[int, list[int]] = field(default_factory=lambda: {0: [0], 1: [0], 2: [0]})
    keys: set[int] = field(default_factory=set)

    def post(self, moves: list[tuple[int, int, int, int]]) -> Model:
        """The books afterwards; each key counts once, and its last words count."""
        after = Model({account: list(run) for account, run in self.runs.items()}, set(self.keys))
        for key, (out, into, amount) in {key: words for key, *words in moves}.items():
            if key not in self.keys:
                for account, sign in sorted({out: -1, into: 1}.items()) if out != into and amount else ():
                    after.runs[account].append(after.runs[account][-1] + sign * amount)
            after.keys.add(key)
        return after

    @property
    def allowed(self) -> bool:
        """A wallet is a liability: what it holds is a credit, below zero."""
        return max(self.runs[0]) <= 0


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches)
def test_many_at_a_time_come_to_what_a_plain_model_says(store: Store, posted: list[list[tuple[int, int, int, int]]]) -> None:
    mark, model = f"m{next(_numbers)}", Model()
    names = [LedgerName(kind, mark, "THB") for kind in (Kind.WALLET, Kind.CLEARING, Kind.INCOME)]
    for moves in posted:
        after = model.post(moves)
        if after.allowed:
            assert set(_post(store, mark, names, moves)) == {f"receipt{mark}:{key}" for key in after.keys - model.keys}
            model = after
        else:
            with pytest.raises(sa.exc.IntegrityError, match="floor"):
                _post(store, mark, names, moves)
    assert [_run(store, name) for name in names] == [model.runs[number][1:] for number in range(3)]
    assert _broken(store) == []


def _post(store: Store, mark: str, names: list[LedgerName], moves: list[tuple[int, int, int, int]]) -> list[str]:
    return store.run(lambda tx: tx.ledger.post_many([
        (f"receipt{mark}:{key}", "", [Posting(names[out], -amount), Posting(names[into], amount)]) for key, out, into, amount in moves]))


def _run(store: Store, name: LedgerName) -> list[int]:
    """The balances after each entry."""
    return [row.balance_after_micro for row in store.read(lambda tx: tx.ledger.rows(
        "select balance_after_micro from ledger_entry e join ledger_account a on a.id = e.ledger_account_id"
        " where kind = :kind and owner = :owner order by account_version", kind=str(name.kind), owner=name.owner))]


def _broken(store: Store) -> list[str]:
    """Promises on the ledger alone that do not hold: the money here came from nowhere else."""
    about = [promise for promise in INVARIANTS if promise.name.startswith(("ledger ", "balances ", "no account "))]
    assert len(about) == 6
    return store.read(lambda tx: [promise.name for promise in about if violations(tx, promise)[1]])


@pytest.fixture
def kept(store: Store) -> Store:
    """A wallet with 100 from clearing; an account in dollars that was never used; two ledger transactions without entries."""
    def fill(tx: PostgresTransaction) -> None:
        tx.ledger.post("receipt:first", "", [Posting(LedgerName(Kind.CLEARING, "dummy", "THB"), 100),
                                             Posting(LedgerName(Kind.WALLET, "alice", "THB"), -100)])
        tx.ledger.lock([LedgerName(Kind.CLEARING, "dummy", "USD")])
        for key in "ab":
            tx.ledger.post(f"receipt:{key}", "", [])
    store.run(fill)
    return store


# An entry: transaction, account, currency, amount, balance after, version. The wallet is at −100 after its entry 1, clearing at 100.
_ENTER = ("insert into ledger_entry (transaction_id, ledger_account_id, currency, amount_micro, balance_after_micro, account_version)"
          " select coalesce(t.id, 999), coalesce(a.id, 999), left(account, 3), amount, after, number from (values {rows})"
          " e(key, account, amount, after, number) left join ledger_transaction t on t.key = 'receipt:' || e.key"
          " left join ledger_account a on a.kind || a.currency = substr(account, 5)")


def _enter(*rows: str) -> str:
    return _ENTER.format(rows=", ".join(f"({row})" for row in rows))


@pytest.mark.parametrize(("rows", "why"), [
    (["'a', 'THB walletTHB', 5, -95, 3", "'a', 'THB clearingTHB', -5, 95, 2"], "not numbered on from 1"),
    (["'a', 'THB walletTHB', 5, -95, 0", "'a', 'THB clearingTHB', -5, 95, 2"], "not numbered on from 1"),
    (["'a', 'THB walletTHB', 5, -95, 2", "'a', 'THB clearingTHB', -6, 94, 2", "'a', 'THB clearingTHB', 1, 95, 4"],
     "not numbered on from 1"),
    (["'a', 'THB walletTHB', 5, -95, 1", "'a', 'THB clearingTHB', -5, 95, 2"], "account_version"),
    (["'a', 'THB walletTHB', 5, -95, 2", "'a', 'THB clearingTHB', -2, 98, 2", "'a', 'THB clearingTHB', -3, 95, 2"], "account_version"),
    (["'a', 'THB walletTHB', 5, 0, 2", "'a', 'THB clearingTHB', -5, 95, 2"], "do not run on from -100"),
    (["'a', 'THB walletTHB', 5, -95, 2", "'a', 'THB clearingTHB', -2, 99, 2", "'a', 'THB clearingTHB', -3, 95, 3"],
     "do not run on from 100"),
    (["'a', 'USD walletTHB', 5, -95, 2", "'a', 'USD clearingTHB', -5, 95, 2"], "entry in USD on an account in THB"),
    (["'a', 'THB walletTHB', 5, -95, 2", "'a', 'THB clearingUSD', -5, -5, 1"], "entry in THB on an account in USD"),
    (["'a', 'THB walletTHB', 5, -95, 2"], "is off by 5 micro THB"),
    (["'a', 'THB walletTHB', 5, -95, 2", "'a', 'USD clearingUSD', -5, -5, 1"], "is off by 5 micro THB"),
    (["'a', 'THB walletTHB', 5, -95, 2", "'b', 'THB clearingTHB', -5, 95, 2"], "is off by 5 micro THB"),
    (["'a', 'THB nobodyTHB', 5, 5, 1", "'a', 'THB clearingTHB', -5, 95, 2"], "there is no ledger account 999"),
    (["'z', 'THB walletTHB', 5, -95, 2", "'z', 'THB clearingTHB', -5, 95, 2"], "there is no ledger transaction 999"),
    (["'z', 'THB walletTHB', 5, -95, 2"], "999"),
    (["'a', 'THB walletTHB', 101, 1, 2", "'a', 'THB clearingTHB', -101, -1, 2"], "balance_over_floor"),
    (["'a', 'THB walletTHB', 101, 1, 2", "'a', 'THB walletTHB', -1, 0, 3", "'a', 'THB clearingTHB', -100, 0, 2"], "balance_over_floor"),
    (["'a', 'THB walletTHB', 0, -100, 2"], "amount_micro"),
])
def test_entries_that_do_not_follow_the_books_are_refused(kept: Store, rows: list[str], why: str) -> None:
    """The same entries, made right, are taken: see the next test."""
    with pytest.raises(sa.exc.DBAPIError, match=why), kept.engine.begin() as connection:
        connection.execute(sa.text(_enter(*rows)))
    assert _run(kept, LedgerName(Kind.WALLET, "alice", "THB")) == [-100]
    assert _broken(kept) == []


FIRST, SECOND = "'a', 'THB walletTHB', 5, -95, 2", "'a', 'THB clearingTHB', -5, 95, 2"


@pytest.mark.parametrize("statements", [
    [_enter(FIRST, SECOND)], [_enter(FIRST), _enter(SECOND)],
    [_enter(FIRST), "savepoint s", "select 1", "release s", _enter(SECOND), "set constraints all immediate"]])
def test_what_a_statement_left_open_may_be_closed_until_the_end(kept: Store, statements: list[str]) -> None:
    with kept.engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    assert _run(kept, LedgerName(Kind.WALLET, "alice", "THB")) == [-100, -95]
    assert _broken(kept) == []
    assert kept.read(lambda tx: tx.ledger.rows("select from ledger_open")) == []


@pytest.mark.parametrize("statements", [
    [_enter(FIRST), "delete from ledger_open"], [_enter(FIRST), "update ledger_open set currency = 'USD'"],
    [_enter(FIRST), "update ledger_open set transaction_id = (select id from ledger_transaction where key = 'receipt:b')"],
    [_enter(FIRST), "truncate ledger_open"], [_enter(FIRST), "drop table ledger_open"],
    [_enter(FIRST), "savepoint s", _enter(SECOND), "rollback to s"], ["savepoint s", _enter(FIRST), "release s"],
    ["set constraints all immediate", _enter(FIRST), _enter(SECOND)]])
def test_nothing_makes_the_books_forget_what_is_open(kept: Store, statements: list[str]) -> None:
    with pytest.raises(sa.exc.DBAPIError, match=r"is off by|pending trigger events"), kept.engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    assert _run(kept, LedgerName(Kind.WALLET, "alice", "THB")) == [-100]
    assert _broken(kept) == []


@pytest.mark.parametrize("statement", [
    "update ledger_account set balance_micro = balance_micro + 1", "update ledger_account set version = version + 1",
    "update ledger_account set id = default", "update ledger_account set currency = 'USD' where currency = 'THB'",
    "delete from ledger_account", "truncate ledger_account", "delete from ledger_transaction", "truncate ledger_transaction",
    "update ledger_transaction set id = default", "delete from ledger_entry",
    "insert into ledger_account (kind, owner, currency, side, balance_micro) values ('wallet', 'eve', 'THB', -1, -5)"])
def test_balances_and_what_entries_name_change_by_entries_only(kept: Store, statement: str) -> None:
    no = r"balances move by|are written once|starts at zero|cannot truncate"
    with pytest.raises(sa.exc.DBAPIError, match=no), kept.engine.begin() as connection:
        connection.execute(sa.text(statement))


def test_a_hundred_entries_of_an_account_move_it_once(kept: Store) -> None:
    """All from temporary tables: what is reckoned in SQL is posted there. Posted again, it is refused whole."""
    wallet, income = LedgerName(Kind.WALLET, "alice", "THB"), LedgerName(Kind.INCOME, "node", "THB")

    def charge(tx: PostgresTransaction) -> int:
        ids = tx.ledger.lock([wallet, income])
        tx.ledger.execute("create temporary table accounts on commit drop as"
                          " select id, currency, balance_micro, version from ledger_account where id in (:wallet, :income)",
                          wallet=ids[wallet], income=ids[income])
        tx.ledger.execute("create temporary table given on commit drop as select nextval('ledger_transaction_id_seq') as transaction_id,"
                          " 'receipt:n' || n as key, 'an hour' as memo from generate_series(1, 100) n")
        before = _updates(tx)
        tx.ledger.post_numbered("select * from given", "select transaction_id, account, amount as amount_micro from given,"
                                f" (values ({ids[wallet]}, 1), ({ids[income]}, -1)) e(account, amount)", "accounts")
        return _updates(tx) - before
    assert kept.run(charge) == 2
    with pytest.raises(sa.exc.IntegrityError, match="ledger_transaction_key_key"):
        kept.run(charge)
    assert _run(kept, income) == [-number for number in range(1, 101)]
    assert _run(kept, wallet) == [number - 100 for number in range(101)]
    assert _broken(kept) == []


def _updates(tx: PostgresTransaction) -> int:
    """How many rows of ledger_account this session has written."""
    return int(tx.ledger.rows("select n_tup_upd from pg_stat_xact_user_tables where relname = 'ledger_account'")[0].n_tup_upd)


def test_what_is_posted_without_its_locks_is_refused_not_wrong(kept: Store) -> None:
    """Somebody else posts between the reading and the entering: the numbers no longer follow."""
    stale = _enter(FIRST, SECOND)
    kept.run(lambda tx: tx.ledger.post("receipt:c", "", [Posting(LedgerName(Kind.CLEARING, "dummy", "THB"), 7),
                                                         Posting(LedgerName(Kind.WALLET, "alice", "THB"), -7)]))
    with pytest.raises(sa.exc.IntegrityError), kept.engine.begin() as connection:
        connection.execute(sa.text(stale))
    assert _run(kept, LedgerName(Kind.WALLET, "alice", "THB")) == [-100, -107]
