"""The limit of the billing loop: one bare set-based statement that moves the same money as a turn of it.

The same rows on tables like the product's with the keys that make a charge, a key and a balance one; no trigger, no constraint, no
wallet that may run dry, nobody to tell.
"""

from __future__ import annotations

import json
import sys
from statistics import median

import psycopg

from bench.measure import Measured

_TABLES = """
create table bare_allocation as
  select a.id, w.id as wallet_account, price_micro_per_hour as price, charged_to, billed_seconds, charged_micro
  from allocation a join ledger_account w on w.kind = 'wallet' and w.owner = a.wallet;
alter table bare_allocation set (fillfactor = 45), add primary key (id);
create table bare_account as select id, -balance_micro as balance, version from ledger_account;
insert into bare_account values (0, 0, 0);
alter table bare_account add primary key (id);
create table bare_charge (allocation_id text, starts_at timestamptz, ends_at timestamptz, seconds bigint, amount bigint,
                          primary key (allocation_id, starts_at));
create table bare_transaction (id bigint generated always as identity primary key, key text not null unique);
create table bare_entry (id bigint generated always as identity primary key, transaction_id bigint, account_id bigint, amount bigint,
                         balance_after bigint, version bigint, unique (account_id, version));
create index on bare_entry (transaction_id);
"""
_TURN = """
with due as (
  select id, wallet_account, charged_to, div((billed_seconds + 60)::numeric * price, 3600)::bigint - charged_micro as amount
  from bare_allocation),
charged as (insert into bare_charge select id, charged_to, charged_to + interval '60 s', 60, amount from due),
moved as (update bare_allocation a set charged_to = a.charged_to + interval '60 s', billed_seconds = billed_seconds + 60,
            charged_micro = charged_micro + d.amount from due d where d.id = a.id),
made as (insert into bare_transaction (key) select 'charge:' || id || ':' || extract(epoch from charged_to)::bigint from due
         returning id, key),
entry as (
  select m.id as transaction_id, account, micro from due d
  join made m on m.key = 'charge:' || d.id || ':' || extract(epoch from charged_to)::bigint
  cross join lateral (values (wallet_account, amount), (0, -amount)) e(account, micro)),
summed as (select account, sum(micro) as micro, count(*) as entries from entry group by account),
balanced as (update bare_account a set balance = balance - s.micro, version = version + s.entries from summed s where s.account = a.id)
insert into bare_entry (transaction_id, account_id, amount, balance_after, version)
select transaction_id, account, micro, a.balance - sum(micro) over w, a.version + row_number() over w
from entry join bare_account a on a.id = account window w as (partition by account order by transaction_id)
"""


def main(url: str, postmaster: int, warm_up: int, turns: int) -> str:
    """Medians of some turns after some that are left out."""
    figures = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_TABLES)
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")
        for _ in range(warm_up + turns):
            with Measured(postmaster) as measured:
                connection.execute(_TURN)
            figures.append(measured.figures)
    return json.dumps({name: median(one[name] for one in figures[warm_up:]) for name in figures[0]})


if __name__ == "__main__":
    print(main(sys.argv[1], *map(int, sys.argv[2:])))
