-- The billing loop: what each allocation was charged for which stretch of time, and how the loop went.

create table billing_run (
  id bigint generated always as identity primary key,
  started_at timestamptz not null default site_now(),
  ended_at timestamptz,
  by text not null,                            -- which sidecar
  batches int not null default 0,
  allocations int not null default 0,
  depleted int not null default 0,
  warned int not null default 0,
  totals jsonb not null default '{}',          -- micro-units by currency
  lag_seconds bigint not null default 0        -- how far the furthest behind was when it began
);

-- Whether charges may go on. A clock that jumped stops the loop until a person says that it is right again.
create table billing_loop (
  only_one boolean primary key default true check (only_one),
  beat_at timestamptz,                         -- the site's clock at the last turn
  stopped_at timestamptz,
  reason text not null default '',
  check ((stopped_at is null) = (reason = ''))
);
insert into billing_loop default values;

-- A stretch of an allocation's time and what it cost. Stretches of one allocation join without gap or overlap; one in which
-- its node was out of reach bills no seconds.
create table allocation_charge (               -- what it refers to is asked once a statement, by charge_allocations
  allocation_id text not null,
  starts_at timestamptz not null,
  ends_at timestamptz not null check (ends_at > starts_at),
  billed_seconds bigint not null check (billed_seconds >= 0),
  amount_micro bigint not null check (amount_micro >= 0),
  run_id bigint,                               -- of billing_run; null: at its end, or when it paused
  primary key (allocation_id, starts_at),
  constraint billed_whole_or_not_at_all check (billed_seconds in (0, date_part('epoch', ends_at - starts_at))),
  check (billed_seconds > 0 or amount_micro = 0)
);
call write_once('allocation_charge');

-- A charge moves its allocation; one that does not follow the last one moves none and is refused.
create function charge_allocations() returns trigger language plpgsql
  set enable_hashjoin = off set enable_mergejoin = off     -- few of many: each is looked up
as $$
declare rows bigint; moved bigint;
begin
  select count(*) into rows from fresh;
  update allocation a set charged_to = f.ends_at, billed_seconds = a.billed_seconds + f.billed_seconds,
      charged_micro = a.charged_micro + f.amount_micro
    from fresh f where a.id = f.allocation_id and a.charged_to = f.starts_at and a.stopped_at is null;
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
create trigger charge_allocations after insert on allocation_charge referencing new table as fresh
  for each statement execute function charge_allocations();

-- How low a wallet was when people were last told: 1 a day left, 2 an hour, 3 ten minutes.
create table runway_warning (
  wallet text not null,
  currency char(3) not null,
  level smallint not null check (level between 1 and 3),
  at timestamptz not null default site_now(),
  primary key (wallet, currency)
);
