-- What a payment is for, whose wallet its money may go to, and the money that came.
--
-- Every money object that a provider told us of has one payment row: the one that asked for it, or a row of its own where
-- nobody did, or where a payment that had its money already got more.

alter table payment disable trigger guard_payment;
alter table payment
  alter column receipt_id drop not null,
  add column purpose text not null default 'receipt' check (purpose in ('receipt', 'topup')),
  add column wallet text not null default '',             -- owner of the wallet that gets (or gave) the money; '' when nobody is known
  add column money_ref text check (money_ref <> ''),      -- the provider's own name of the money that came
  add column received_micro bigint not null default 0 check (received_micro >= 0),
  add column note text not null default '';               -- why the money is where it is, in plain words
update payment p set wallet = r.payer from receipt r where r.id = p.receipt_id;
update payment set received_micro = amount_micro where status in ('succeeded', 'reverted', 'unapplied');
update payment set money_ref = reference where received_micro > 0 and provider <> 'manual';
alter table payment alter column purpose drop default, alter column wallet drop default;
alter table payment enable trigger guard_payment;

alter table payment
  drop constraint payment_status_check,
  drop constraint payment_check,
  add constraint payment_status check (status in ('pending', 'processing', 'succeeded', 'credited', 'unapplied', 'failed',
                                                  'expired', 'reverted')),
  add constraint settled_has_a_time check ((status in ('succeeded', 'credited', 'reverted')) = (settled_at is not null)),
  add constraint a_receipt_or_a_topup check ((purpose = 'receipt') = (receipt_id is not null)),
  add constraint money_came check ((status in ('succeeded', 'credited', 'unapplied', 'reverted')) = (received_micro > 0)),
  add constraint a_provider_names_its_money check (received_micro = 0 or money_ref is not null or provider in ('manual', 'wallet')),
  add constraint credited_to_somebody check (status <> 'credited' or wallet <> ''),
  add constraint a_receipt_is_paid_in_full check (status <> 'succeeded' or purpose <> 'receipt' or received_micro >= amount_micro);
create unique index money_is_known_once on payment (provider, livemode, money_ref) where received_micro > 0 and money_ref is not null;
create index on payment (wallet);
create index on payment (status) where status in ('pending', 'processing', 'unapplied');

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
      ('failed', 'processing'), ('failed', 'succeeded'), ('failed', 'credited'), ('failed', 'unapplied'),
      ('expired', 'processing'), ('expired', 'succeeded'), ('expired', 'credited'), ('expired', 'unapplied'),
      ('unapplied', 'succeeded'), ('unapplied', 'credited'), ('succeeded', 'reverted')) then
    raise exception using errcode = 'check_violation', message = 'a payment does not go from ' || old.status || ' to ' || new.status;
  end if;
  return new;
end $$;

-- Every entry with its account and the key it was posted under.
create view ledger_movement as
  select e.id, t.key, t.memo, t.actor, t.created_at as at, a.kind, a.owner, a.currency, e.amount_micro, a.side * e.amount_micro as moved_micro,
         a.side * e.balance_after_micro as balance_after_micro
  from ledger_entry e join ledger_account a on a.id = e.ledger_account_id join ledger_transaction t on t.id = e.transaction_id;
