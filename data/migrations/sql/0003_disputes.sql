-- What a lost dispute was taken from stands with it, as with a refund, and is taken once.

create or replace function guard_dispute() returns trigger language plpgsql as $$
declare moving text[] := array['status', 'withdrawn_at', 'reinstated_at', 'closed_at', 'from_receipt_micro', 'from_wallet_micro',
                               'from_unapplied_micro', 'from_write_off_micro'];
begin
  if tg_op = 'DELETE' or (to_jsonb(new) - moving) <> (to_jsonb(old) - moving)
      or (old.withdrawn_at is not null and new.withdrawn_at is distinct from old.withdrawn_at)
      or (old.reinstated_at is not null and new.reinstated_at is distinct from old.reinstated_at) then
    raise exception using errcode = 'restrict_violation', message = 'what a dispute is about never changes';
  end if;
  if new.status <> old.status and (old.status, new.status) not in (('open', 'won'), ('open', 'lost'), ('lost', 'won')) then
    raise exception using errcode = 'check_violation', message = 'a dispute does not go from ' || old.status || ' to ' || new.status;
  end if;
  return new;
end $$;

alter table dispute
  add column from_receipt_micro bigint not null default 0 check (from_receipt_micro >= 0),
  add column from_wallet_micro bigint not null default 0 check (from_wallet_micro >= 0),
  add column from_unapplied_micro bigint not null default 0 check (from_unapplied_micro >= 0),
  add column from_write_off_micro bigint not null default 0 check (from_write_off_micro >= 0);

-- Those that were lost before: as they were posted. What was written off of a receipt's money was the receipt's.
update dispute d set from_wallet_micro = e.wallet, from_unapplied_micro = e.unapplied,
  from_receipt_micro = least(e.written_off, p.settled), from_write_off_micro = e.written_off - least(e.written_off, p.settled)
from (select t.key, coalesce(sum(l.amount_micro) filter (where a.kind = 'wallet'), 0) as wallet,
        coalesce(sum(l.amount_micro) filter (where a.kind = 'unapplied'), 0) as unapplied,
        coalesce(sum(l.amount_micro) filter (where a.kind = 'write_off'), 0) as written_off
      from ledger_transaction t join ledger_entry l on l.transaction_id = t.id join ledger_account a on a.id = l.ledger_account_id
      where t.key like 'dispute-lost:%' group by t.key) e,
  (select id, case when status = 'succeeded' and purpose = 'receipt' then amount_micro else 0 end as settled from payment) p
where d.status = 'lost' and e.key = 'dispute-lost:' || d.id and p.id = d.payment_id;

alter table dispute
  alter column from_receipt_micro drop default, alter column from_wallet_micro drop default,
  alter column from_unapplied_micro drop default, alter column from_write_off_micro drop default,
  add constraint what_is_lost_comes_from_somewhere check (
    status <> 'lost' or amount_micro = from_receipt_micro + from_wallet_micro + from_unapplied_micro + from_write_off_micro);

-- Money that is on its way back, or that a payer's bank asks for or has got, is not used for anything else.
create or replace function keep_refunded() returns trigger language plpgsql as $$
begin
  if (new.status, new.received_micro) is not distinct from (old.status, old.received_micro) then
    return new;
  end if;
  if exists (select 1 from refund where payment_id = old.id and status <> 'failed') then
    raise exception using errcode = 'check_violation',
      message = 'payment ' || old.reference || ' was given back in part or whole: it stays ' || old.status;
  end if;
  if exists (select 1 from dispute where payment_id = old.id and status <> 'won') then
    raise exception using errcode = 'check_violation',
      message = 'there is a dispute over payment ' || old.reference || ': it stays ' || old.status;
  end if;
  return new;
end $$;
