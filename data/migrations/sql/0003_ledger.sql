-- Entries come hundreds at a time by now: the balance is moved without a detour, and the guard is asked only where nobody posts.
create or replace function post_entry() returns trigger language plpgsql as $$
declare held char(3);
begin
  update ledger_account set balance_micro = balance_micro + new.amount_micro, version = version + 1
    where id = new.ledger_account_id returning balance_micro, version, currency
    into new.balance_after_micro, new.account_version, held;
  if held <> new.currency then
    raise exception using errcode = 'check_violation', message = 'entry in ' || new.currency || ' on an account in ' || held;
  end if;
  return new;
end $$;
drop trigger guard_balance on ledger_account;
create trigger guard_balance before update on ledger_account for each row when (pg_trigger_depth() = 0) execute function guard_balance();
create trigger guard_balance_gone before delete on ledger_account for each row execute function guard_balance();
