-- A provider's books beside ours, day by day.

-- What of our books moved money at a provider, under the provider's own names.
create view provider_movement as
  select 'payment' as what, p.provider, p.livemode, p.money_ref as name, p.reference, p.received_micro as amount_micro, p.currency,
         t.created_at as at
    from payment p join ledger_transaction t on t.key = 'pay:' || p.provider || ':' || p.reference
    where p.received_micro > 0 and p.money_ref is not null
  union all
  select 'refund', r.provider, r.livemode, coalesce(r.provider_ref, r.id), p.reference, -r.amount_micro, r.currency, t.created_at
    from refund r join payment p on p.id = r.payment_id join ledger_transaction t on t.key = 'refund-done:' || r.id
    where p.money_ref is not null
  union all
  select 'refund', r.provider, r.livemode, coalesce(r.provider_ref, r.id), p.reference, r.amount_micro, r.currency, f.created_at
    from refund r join payment p on p.id = r.payment_id join ledger_transaction t on t.key = 'refund-done:' || r.id
    join ledger_transaction f on f.key = 'refund-failed:' || r.id
    where p.money_ref is not null
  union all
  select 'dispute', d.provider, d.livemode, d.provider_ref, p.reference, -d.amount_micro, d.currency, d.withdrawn_at
    from dispute d join payment p on p.id = d.payment_id where d.withdrawn_at is not null
  union all
  select 'dispute', d.provider, d.livemode, d.provider_ref, p.reference, d.amount_micro, d.currency, d.reinstated_at
    from dispute d join payment p on p.id = d.payment_id where d.reinstated_at is not null;

create table reconciliation_run (
  id bigint generated always as identity primary key,
  provider text not null,
  livemode boolean not null,
  day date not null,                           -- where the site is
  outcome text not null check (outcome in ('matched', 'differs', 'failed')),
  movements int not null default 0,            -- what the provider told of the day
  applied int not null default 0,              -- of these, what was missing here and was applied
  note text not null default '',
  ran_by text not null,
  ran_at timestamptz not null default now()
);
create index on reconciliation_run (provider, day, id desc);
call write_once('reconciliation_run');

create table reconciliation_sum (
  run_id bigint not null references reconciliation_run,
  currency char(3) not null,
  ours_micro bigint not null,
  theirs_micro bigint not null,
  movements int not null,
  primary key (run_id, currency)
);
call write_once('reconciliation_sum');

create table reconciliation_line (
  run_id bigint not null references reconciliation_run,
  name text not null,
  reference text not null,
  currency char(3) not null,
  ours_micro bigint,
  theirs_micro bigint,
  at timestamptz not null,
  note text not null,
  primary key (run_id, name, currency)
);
call write_once('reconciliation_line');
