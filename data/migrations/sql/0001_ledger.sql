-- Double entry. Debits are positive, credits negative; a transaction sums to zero in each currency.

create table ledger_account (
  id bigint generated always as identity primary key,
  kind text not null check (kind in ('wallet', 'held', 'receivable', 'income', 'clearing', 'refund_pending', 'tax',
                                     'rounding', 'unapplied', 'write_off', 'dispute')),
  owner text not null default '',              -- payer, meter or provider
  currency char(3) not null,
  side smallint not null check (side in (1, -1)),   -- +1 grows by debit (assets), -1 by credit (liabilities, income)
  balance_micro bigint not null default 0,
  floor_micro bigint,                          -- the balance, seen from its side, never falls below
  version bigint not null default 0,
  unique (kind, owner, currency),
  constraint balance_over_floor check (floor_micro is null or side * balance_micro >= floor_micro)
);

create table ledger_transaction (
  id bigint generated always as identity primary key,
  key text not null unique,                    -- named after the money object: receipt:ID, pay:dummy:REF
  memo text not null default '',
  actor text not null,
  created_at timestamptz not null default now()
);
call write_once('ledger_transaction');

create table ledger_entry (
  id bigint generated always as identity primary key,
  transaction_id bigint not null references ledger_transaction,
  ledger_account_id bigint not null references ledger_account,
  currency char(3) not null,
  amount_micro bigint not null check (amount_micro <> 0),
  balance_after_micro bigint not null,
  account_version bigint not null,
  unique (ledger_account_id, account_version)
);
create index on ledger_entry (transaction_id);
call write_once('ledger_entry');

-- The entry moves the balance: nothing else can, and it can't be forgotten.
create function post_entry() returns trigger language plpgsql as $$
declare account ledger_account;
begin
  update ledger_account set balance_micro = balance_micro + new.amount_micro, version = version + 1
    where id = new.ledger_account_id returning * into account;
  if account.currency <> new.currency then
    raise exception using errcode = 'check_violation', message = 'entry in ' || new.currency || ' on an account in ' || account.currency;
  end if;
  new.balance_after_micro := account.balance_micro;
  new.account_version := account.version;
  return new;
end $$;
create trigger post_entry before insert on ledger_entry for each row execute function post_entry();

create function guard_balance() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' or (pg_trigger_depth() < 2 and (new.balance_micro <> old.balance_micro or new.version <> old.version
      or new.kind <> old.kind or new.owner <> old.owner or new.currency <> old.currency or new.side <> old.side)) then
    raise exception using errcode = 'restrict_violation', message = 'balances move by ledger entries only';
  end if;
  return new;
end $$;
create trigger guard_balance before update or delete on ledger_account for each row execute function guard_balance();
create trigger guard_balance_all before truncate on ledger_account for each statement execute function refuse_change();
create function start_at_zero() returns trigger language plpgsql as $$
begin
  if new.balance_micro <> 0 or new.version <> 0 then
    raise exception using errcode = 'restrict_violation', message = 'a ledger account starts at zero';
  end if;
  return new;
end $$;
create trigger start_at_zero before insert on ledger_account for each row execute function start_at_zero();

create function sums_to_zero() returns trigger language plpgsql as $$
declare off record;
begin
  select currency, sum(amount_micro) as rest into off from ledger_entry
    where transaction_id = new.transaction_id group by currency having sum(amount_micro) <> 0 limit 1;
  if found then
    raise exception using errcode = 'check_violation',
      message = 'ledger transaction ' || new.transaction_id || ' is off by ' || off.rest || ' micro ' || off.currency;
  end if;
  return null;
end $$;
create constraint trigger sums_to_zero after insert on ledger_entry deferrable initially deferred
  for each row execute function sums_to_zero();
