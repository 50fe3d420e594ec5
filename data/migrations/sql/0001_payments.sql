-- Money on its way in: our own payment row, and what providers told us.

create table payment (
  id text primary key,
  reference text not null unique check (reference ~ '^TXN_[0-9A-Z]{16}$'),
  receipt_id text not null references receipt,
  provider text not null,
  livemode boolean not null,
  amount_micro bigint not null check (amount_micro > 0),
  currency char(3) not null,
  status text not null check (status in ('pending', 'succeeded', 'reverted', 'failed', 'expired', 'unapplied')),
  provider_ref text,                           -- the provider's own name for it
  checkout_url text,
  created_by text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  settled_at timestamptz,
  check ((status in ('succeeded', 'reverted')) = (settled_at is not null))
);
create index on payment (receipt_id);
create unique index one_settled_payment_a_receipt on payment (receipt_id) where status = 'succeeded';
create unique index one_open_payment_a_receipt on payment (receipt_id, provider) where status = 'pending';

create function guard_payment() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' or (to_jsonb(new) - array['status', 'settled_at', 'provider_ref', 'checkout_url'])
      <> (to_jsonb(old) - array['status', 'settled_at', 'provider_ref', 'checkout_url']) then
    raise exception using errcode = 'restrict_violation', message = 'what a payment asks for never changes';
  end if;
  if new.status <> old.status and (old.status, new.status) not in (
      ('pending', 'succeeded'), ('pending', 'unapplied'), ('pending', 'failed'), ('pending', 'expired'), ('failed', 'succeeded'),
      ('failed', 'unapplied'), ('expired', 'succeeded'), ('expired', 'unapplied'), ('succeeded', 'reverted')) then
    raise exception using errcode = 'check_violation', message = 'a payment does not go from ' || old.status || ' to ' || new.status;
  end if;
  return new;
end $$;
create trigger guard_payment before update or delete on payment for each row execute function guard_payment();
create trigger guard_payment_all before truncate on payment for each statement execute function refuse_change();

create table webhook_inbox (
  id bigint generated always as identity primary key,
  provider text not null,
  livemode boolean not null,
  event_key text not null,
  kind text not null,
  body bytea not null,
  received_at timestamptz not null default now(),
  state text not null default 'received' check (state in ('received', 'processing', 'processed', 'failed')),
  attempts int not null default 0,
  due_at timestamptz not null default now(),
  leased_until timestamptz,
  processed_at timestamptz,
  outcome text not null default '',
  unique (provider, livemode, event_key)
);
create index on webhook_inbox (due_at) where state in ('received', 'processing');
