-- Entries are posted a statement at a time, however many. Whoever posts numbers them and says the balance after each; the books
-- move each account once and refuse what does not follow it. (A trigger a row wrote the account that all post to once an entry,
-- and read again what that left behind each time: its work grew with the square of their number.)

drop trigger post_entry on ledger_entry;
drop function post_entry();
drop trigger sums_to_zero on ledger_entry;

-- Both are asked once a statement by post_entries below, not once an entry; what they name is never deleted and keeps its id.
alter table ledger_entry drop constraint ledger_entry_transaction_id_fkey, drop constraint ledger_entry_ledger_account_id_fkey;
create or replace function guard_balance() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' or (new.id, new.balance_micro, new.version, new.kind, new.owner, new.currency, new.side)
      <> (old.id, old.balance_micro, old.version, old.kind, old.owner, old.currency, old.side) then
    raise exception using errcode = 'restrict_violation', message = 'balances move by ledger entries only';
  end if;
  return new;
end $$;

-- What a statement left open is looked at when its database transaction ends; every other ledger transaction sums to zero after
-- each statement.
create table ledger_open (
  transaction_id bigint not null references ledger_transaction,
  currency char(3) not null
);
create or replace function sums_to_zero() returns trigger language plpgsql as $$
declare off record;
begin
  select currency, sum(amount_micro) as rest into off from ledger_entry
    where transaction_id = new.transaction_id group by currency having sum(amount_micro) <> 0 order by currency limit 1;
  if found then
    raise exception using errcode = 'check_violation',
      message = 'ledger transaction ' || new.transaction_id || ' is off by ' || off.rest || ' micro ' || off.currency;
  end if;
  delete from ledger_open where transaction_id = new.transaction_id;
  return null;
end $$;
create constraint trigger sums_to_zero after insert on ledger_open deferrable initially deferred
  for each row execute function sums_to_zero();

-- Moves every account that was posted to, once, and refuses what does not follow it.
create function post_entries() returns trigger language plpgsql
  set enable_hashjoin = off set enable_mergejoin = off     -- a plan is kept: it must fit two entries as well as a million
as $$
declare wrong record; account ledger_account;
begin
  with entered as (
    select ledger_account_id as id, currency, amount_micro, account_version, balance_after_micro,
      lag(balance_after_micro) over (partition by ledger_account_id order by account_version) as balance_before_micro
    from fresh),
  touched as (
    select id, min(currency) as currency, max(currency) as other_currency, sum(amount_micro)::bigint as moved_micro,
      count(*) as entries, min(account_version) as first, max(account_version) as last,
      max(balance_after_micro - amount_micro) filter (where balance_before_micro is null) as starts_at_micro,
      coalesce(bool_and(balance_after_micro - amount_micro = balance_before_micro), true) as runs_on,
      min(balance_after_micro) as lowest_micro, max(balance_after_micro) as highest_micro
    from entered group by id),
  moved as (
    update ledger_account a set balance_micro = a.balance_micro + t.moved_micro, version = t.last from touched t
    where a.id = t.id and a.currency = t.currency and a.currency = t.other_currency
      and t.first = a.version + 1 and t.last = a.version + t.entries and t.starts_at_micro = a.balance_micro and t.runs_on
      and (a.floor_micro is null or case a.side when 1 then t.lowest_micro else -t.highest_micro end >= a.floor_micro)
    returning a.id)
  select * into wrong from touched where id = (
    select id from (select id from touched union all select id from moved) either group by id having count(*) = 1 order by id limit 1);
  if found then
    select * into account from ledger_account where id = wrong.id;
    if not found then
      raise exception using errcode = 'foreign_key_violation', message = 'there is no ledger account ' || wrong.id;
    end if;
    raise exception using errcode = 'check_violation', message = case
      when wrong.currency <> account.currency or wrong.other_currency <> account.currency then
        'entry in ' || case when wrong.currency <> account.currency then wrong.currency else wrong.other_currency end
          || ' on an account in ' || account.currency
      when wrong.first <> account.version + 1 or wrong.last <> account.version + wrong.entries then
        'entries of ledger account ' || account.id || ' are not numbered on from ' || account.version
      when wrong.starts_at_micro <> account.balance_micro or not wrong.runs_on then
        'balances after entries of ledger account ' || account.id || ' do not run on from ' || account.balance_micro
      else 'ledger account ' || account.id || ' would come under its floor: balance_over_floor' end;
  end if;
  with summed as (select transaction_id, currency, sum(amount_micro) as rest_micro from fresh group by transaction_id, currency),
  opened as (insert into ledger_open (transaction_id, currency) select transaction_id, currency from summed where rest_micro <> 0)
  select transaction_id into wrong from summed s
    where not exists (select from ledger_transaction t where t.id = s.transaction_id) order by transaction_id limit 1;
  if found then
    raise exception using errcode = 'foreign_key_violation', message = 'there is no ledger transaction ' || wrong.transaction_id;
  end if;
  return null;
end $$;
create trigger post_entries after insert on ledger_entry referencing new table as fresh
  for each statement execute function post_entries();
