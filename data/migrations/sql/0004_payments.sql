-- What may not change of a payment is compared as rows, not as JSON made of them: payments are settled hundreds at a time.

create or replace function guard_payment() returns trigger language plpgsql as $$
declare kept payment := new;
begin
  kept.status := old.status;
  kept.settled_at := old.settled_at;
  kept.provider_ref := old.provider_ref;
  kept.checkout_url := old.checkout_url;
  kept.money_ref := old.money_ref;
  kept.received_micro := old.received_micro;
  kept.note := old.note;
  if tg_op <> 'DELETE' and old.status = 'unapplied' then      -- somebody found out whose money it is
    kept.purpose := old.purpose;
    kept.receipt_id := old.receipt_id;
    kept.wallet := old.wallet;
    kept.amount_micro := old.amount_micro;
  end if;
  if tg_op = 'DELETE' or kept is distinct from old then
    raise exception using errcode = 'restrict_violation', message = 'what a payment asks for never changes';
  end if;
  if old.received_micro > 0 and (new.received_micro, new.money_ref) is distinct from (old.received_micro, old.money_ref) then
    raise exception using errcode = 'restrict_violation', message = 'the money that came for a payment never changes';
  end if;
  if new.status <> old.status and (old.status, new.status) not in (
      ('pending', 'processing'), ('pending', 'succeeded'), ('pending', 'credited'), ('pending', 'unapplied'), ('pending', 'failed'),
      ('pending', 'expired'),
      ('processing', 'succeeded'), ('processing', 'credited'), ('processing', 'unapplied'), ('processing', 'failed'),
      ('failed', 'succeeded'), ('failed', 'credited'), ('failed', 'unapplied'),
      ('expired', 'processing'), ('expired', 'succeeded'), ('expired', 'credited'), ('expired', 'unapplied'),
      ('unapplied', 'succeeded'), ('unapplied', 'credited'), ('succeeded', 'reverted')) then
    raise exception using errcode = 'check_violation', message = 'a payment does not go from ' || old.status || ' to ' || new.status;
  end if;
  return new;
end $$;
