-- A turn of the billing loop posts thousands of entries: what is summed for each is summed as it is kept.

-- Micro-units are whole numbers of 64 bits, and so is their sum: one that is larger is an error. (sum() makes a numeric of each.)
create aggregate micro_sum(bigint) (sfunc = int8pl, stype = bigint, initcond = '0', parallel = safe, combinefunc = int8pl);

-- Moves every account that was posted to, once, and refuses what does not follow it.
create or replace function post_entries() returns trigger language plpgsql
  set enable_hashjoin = off set enable_mergejoin = off     -- a plan is kept: it must fit two entries as well as a million
as $$
declare wrong record; account ledger_account;
begin
  with entered as (
    select ledger_account_id as id, currency, amount_micro, account_version, balance_after_micro,
      lag(balance_after_micro) over (partition by ledger_account_id order by account_version) as balance_before_micro
    from fresh),
  touched as (
    select id, min(currency) as currency, max(currency) as other_currency, micro_sum(amount_micro) as moved_micro,
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
  with summed as (select transaction_id, currency, micro_sum(amount_micro) as rest_micro from fresh group by transaction_id, currency),
  opened as (insert into ledger_open (transaction_id, currency) select transaction_id, currency from summed where rest_micro <> 0)
  select transaction_id into wrong from summed s
    where not exists (select from ledger_transaction t where t.id = s.transaction_id) order by transaction_id limit 1;
  if found then
    raise exception using errcode = 'foreign_key_violation', message = 'there is no ledger transaction ' || wrong.transaction_id;
  end if;
  return null;
end $$;

-- A charge moves its allocation; one that does not follow the last one moves none and is refused.
create or replace function charge_allocations() returns trigger language plpgsql
as $$
declare rows bigint; moved bigint;
begin
  select count(*) into rows from fresh;
  execute 'update allocation a set charged_to = f.ends_at, billed_seconds = a.billed_seconds + f.billed_seconds,'
      ' charged_micro = a.charged_micro + f.amount_micro'
      ' from fresh f where a.id = f.allocation_id and a.charged_to = f.starts_at and a.stopped_at is null';   -- planned for how many there are
  get diagnostics moved = row_count;
  if moved <> rows then
    raise exception using errcode = 'check_violation',
      message = 'a charge begins where the one before it ended, while its allocation runs: ' || rows - moved || ' do not';
  end if;
  if exists (select from (select distinct run_id from fresh) f where run_id is not null
             and not exists (select from billing_run r where r.id = f.run_id)) then
    raise exception using errcode = 'foreign_key_violation', message = 'a charge belongs to a run of the billing loop, or to none';
  end if;
  return null;
end $$;
