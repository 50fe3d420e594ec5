-- A late word that money is on its way does not reopen a payment that was declined.

create or replace function guard_payment() returns trigger language plpgsql as $$
declare moving text[] := array['status', 'settled_at', 'provider_ref', 'checkout_url', 'money_ref', 'received_micro', 'note'];
begin
  if tg_op <> 'DELETE' and old.status = 'unapplied' then
    moving := moving || array['purpose', 'receipt_id', 'wallet', 'amount_micro'];      -- somebody found out whose money it is
  end if;
  if tg_op = 'DELETE' or (to_jsonb(new) - moving) <> (to_jsonb(old) - moving) then
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
