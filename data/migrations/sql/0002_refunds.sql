-- Money on its way back: refunds, and disputes that a payer's bank began.

create table refund (
  id text primary key,
  payment_id text not null references payment,
  provider text not null,
  livemode boolean not null,
  amount_micro bigint not null check (amount_micro > 0),
  currency char(3) not null,
  status text not null check (status in ('requested', 'submitted', 'succeeded', 'failed')),
  from_receipt_micro bigint not null check (from_receipt_micro >= 0),       -- credited on its receipt
  from_wallet_micro bigint not null check (from_wallet_micro >= 0),
  from_unapplied_micro bigint not null check (from_unapplied_micro >= 0),
  from_write_off_micro bigint not null check (from_write_off_micro >= 0),   -- the provider gave back what was spent already
  provider_ref text check (provider_ref <> ''),
  origin text not null check (origin in ('here', 'provider')),
  reason text not null check (reason <> ''),
  why text not null default '',                -- the provider's words
  request_key text unique,                     -- one pressing of a button
  requested_by text not null,
  requested_at timestamptz not null default now(),
  asked_at timestamptz,                        -- the provider was asked, or was about to be
  settled_at timestamptz,
  constraint a_refund_comes_from_somewhere check (
    amount_micro = from_receipt_micro + from_wallet_micro + from_unapplied_micro + from_write_off_micro),
  check ((status in ('succeeded', 'failed')) = (settled_at is not null)),
  check (origin = 'here' or provider_ref is not null),
  unique (provider, livemode, provider_ref)
);
create index on refund (payment_id);
create index on refund (requested_at desc);
create index on refund (status) where status in ('requested', 'submitted');

create function guard_refund() returns trigger language plpgsql as $$
declare moving text[] := array['status', 'provider_ref', 'why', 'asked_at', 'settled_at'];
begin
  if tg_op = 'DELETE' or (to_jsonb(new) - moving) <> (to_jsonb(old) - moving)
      or (old.provider_ref is not null and new.provider_ref is distinct from old.provider_ref)
      or (old.asked_at is not null and new.asked_at is distinct from old.asked_at) then
    raise exception using errcode = 'restrict_violation', message = 'what a refund asks for never changes';
  end if;
  if new.status <> old.status and (old.status, new.status) not in (
      ('requested', 'submitted'), ('requested', 'succeeded'), ('requested', 'failed'), ('submitted', 'succeeded'),
      ('submitted', 'failed'), ('succeeded', 'failed')) then
    raise exception using errcode = 'check_violation', message = 'a refund does not go from ' || old.status || ' to ' || new.status;
  end if;
  return new;
end $$;
create trigger guard_refund before update or delete on refund for each row execute function guard_refund();
create trigger guard_refund_all before truncate on refund for each statement execute function refuse_change();

-- Never more back than came: counted under a lock on the payment, whoever asks.
create function refunds_within_payment() returns trigger language plpgsql as $$
declare came bigint; given bigint; paid_in char(3);
begin
  select received_micro, currency into came, paid_in from payment where id = new.payment_id for update;
  select coalesce(sum(amount_micro), 0) into given from refund
    where payment_id = new.payment_id and status <> 'failed' and id <> new.id;
  if new.currency <> paid_in or (new.status <> 'failed' and given + new.amount_micro > came) then
    raise exception using errcode = 'check_violation', message = 'refunds of ' || (given + new.amount_micro) || ' micro ' || new.currency
      || ' are more than the ' || came || ' micro ' || paid_in || ' that came';
  end if;
  return new;
end $$;
create trigger refunds_within_payment before insert on refund for each row execute function refunds_within_payment();

-- Money that is on its way back is not used for anything else.
create function keep_refunded() returns trigger language plpgsql as $$
begin
  if (new.status, new.received_micro) is distinct from (old.status, old.received_micro)
      and exists (select 1 from refund where payment_id = old.id and status <> 'failed') then
    raise exception using errcode = 'check_violation',
      message = 'payment ' || old.reference || ' was given back in part or whole: it stays ' || old.status;
  end if;
  return new;
end $$;
create trigger keep_refunded before update on payment for each row execute function keep_refunded();

-- Every step in the life of a refund or a dispute.
create table refund_event (
  id bigint generated always as identity primary key,
  refund_id text not null references refund,
  from_status text,
  to_status text not null,
  at timestamptz not null default now(),
  actor text not null,
  why text not null default ''
);
create index on refund_event (refund_id);
call write_once('refund_event');

create table dispute (
  id text primary key,
  payment_id text not null references payment,
  provider text not null,
  livemode boolean not null,
  provider_ref text not null check (provider_ref <> ''),
  amount_micro bigint not null check (amount_micro > 0),
  currency char(3) not null,
  status text not null check (status in ('open', 'won', 'lost')),
  reason text not null default '',
  opened_at timestamptz not null default now(),
  withdrawn_at timestamptz,
  reinstated_at timestamptz,
  closed_at timestamptz,
  check ((status = 'open') = (closed_at is null)),
  unique (provider, livemode, provider_ref)
);
create index on dispute (payment_id);

create function guard_dispute() returns trigger language plpgsql as $$
declare moving text[] := array['status', 'withdrawn_at', 'reinstated_at', 'closed_at'];
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
create trigger guard_dispute before update or delete on dispute for each row execute function guard_dispute();
create trigger guard_dispute_all before truncate on dispute for each statement execute function refuse_change();

-- Words about money that has not come yet: applied again when it comes.
create table inbox_orphan (
  inbox_id bigint primary key references webhook_inbox,
  provider text not null,
  livemode boolean not null,
  money text not null
);
create index on inbox_orphan (provider, livemode, money);

-- A receipt is refunded while all of it is back, and paid again when a refund comes back.
create or replace function guard_receipt() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' or (to_jsonb(new) - array['status', 'paid_at']) <> (to_jsonb(old) - array['status', 'paid_at']) then
    raise exception using errcode = 'restrict_violation', message = 'an issued receipt never changes';
  end if;
  if new.status <> old.status and (old.status, new.status) not in
      (('pending', 'paid'), ('pending', 'void'), ('paid', 'refunded'), ('refunded', 'paid'), ('paid', 'pending')) then
    raise exception using errcode = 'check_violation', message = 'a receipt does not go from ' || old.status || ' to ' || new.status;
  end if;
  return new;
end $$;
