-- An allocation is the right to use a node from one instant to another. It is charged from a wallet as it runs, at the price
-- that was agreed when it was asked for.

-- What is agreed once is looked at once: a domain is asked when a value comes, a table's check each time its row is charged.
create domain allocation_id as text check (value ~ '^alc_[0-9A-Z]{26}$');
create domain tenant_name as text check (value ~ '^[a-z][a-z0-9_-]{0,29}[a-z0-9]$');
create domain key_line as text check (value <> '' and value !~ E'[\\n\\r]');
create domain said_text as text check (value <> '');
create domain micro_per_hour as bigint check (value between 0 and 10000000000000);
create domain billing_interval as int check (value between 1 and 86400);
create domain idle_patience as int check (value > 0);
create domain whole_second as timestamptz check (value = date_trunc('second', value, 'UTC'));

create table allocation (
  id allocation_id primary key,
  request_key said_text not null unique,       -- the same form sent twice is one allocation
  node_id text not null references node,
  user_id bigint not null references app_user,
  wallet said_text not null,                   -- its owner in the ledger
  currency char(3) not null,
  tenant tenant_name not null,                 -- the user's name on the node
  public_key key_line not null,
  rate_card text not null,
  price_micro_per_hour micro_per_hour not null,
  interval_seconds billing_interval not null,  -- the grid that charges end on
  state text not null,
  reason text not null default '',             -- why it stands there
  requested_at timestamptz not null default site_now(),
  until_at timestamptz,                        -- the end that was agreed, if any
  idle_minutes idle_patience,                  -- released when its GPUs did nothing for that long; null: never
  active_at whole_second,                      -- charges begin
  stopped_at timestamptz,                      -- charges end
  closed_at timestamptz,                       -- nothing of it is left on the node
  charged_to timestamptz,                      -- moved by its charges only
  billed_seconds bigint not null default 0,
  charged_micro bigint not null default 0,
  constraint instants_of_its_state check (case state
    when 'active' then active_at is not null and stopped_at is null and closed_at is null
    when 'requested' then active_at is null and stopped_at is null and closed_at is null
    when 'provisioning' then active_at is null and stopped_at is null and closed_at is null
    when 'suspended' then active_at is not null and stopped_at is null and closed_at is null
    when 'stopping' then stopped_at is not null and closed_at is null
    when 'cleanup_failed' then stopped_at is not null and closed_at is null
    when 'released' then stopped_at is not null and closed_at is not null
    when 'failed' then active_at is null and closed_at is not null
    else false end),
  constraint charged_from_begin_to_end check (case when active_at is null then charged_to is null
    else charged_to is not null and charged_to >= active_at and (stopped_at is null or charged_to = stopped_at) end),
  -- seconds x price / 3600, rounded down, without leaving 64 bits; a span that would leave them is refused by the multiplication
  constraint floor_formula check (billed_seconds >= 0 and charged_micro = billed_seconds * (price_micro_per_hour / 3600)
                                  + billed_seconds * (price_micro_per_hour % 3600) / 3600)
) with (fillfactor = 45);                      -- no index is on what charges move: two versions of every row fit on its page
create unique index one_live_allocation_a_node on allocation (node_id) where state not in ('released', 'failed');
create index on allocation (user_id, requested_at desc);
create index on allocation (node_id, requested_at desc);
create index on allocation (wallet, currency) where state in ('active', 'suspended');
create index on allocation (state) where state not in ('released', 'failed');

create table allocation_event (
  id bigint generated always as identity primary key,
  allocation_id text not null references allocation,
  from_state text,
  to_state text not null,
  actor text not null,
  reason text not null,
  at timestamptz not null default site_now()
);
create index on allocation_event (allocation_id, id);
call write_once('allocation_event');

create function guard_allocation() returns trigger language plpgsql as $$
declare moving text[] := array['state', 'reason', 'until_at', 'idle_minutes', 'active_at', 'stopped_at', 'closed_at', 'charged_to', 'usage_run'];
begin
  if tg_op = 'DELETE' or (to_jsonb(new) - moving) <> (to_jsonb(old) - moving) then
    raise exception using errcode = 'restrict_violation', message = 'what an allocation agreed never changes, its charges move by themselves';
  end if;
  if old.active_at is not null and (new.active_at, new.charged_to) is distinct from (old.active_at, old.charged_to)
      or old.active_at is null and new.charged_to is distinct from new.active_at then
    raise exception using errcode = 'restrict_violation', message = 'how far an allocation is charged moves by its charges only';
  end if;
  if old.stopped_at is not null and new.stopped_at is distinct from old.stopped_at then
    raise exception using errcode = 'restrict_violation', message = 'an allocation stops once';
  end if;
  if new.state <> old.state and (old.state, new.state) not in (
      ('requested', 'provisioning'), ('requested', 'failed'), ('requested', 'stopping'),
      ('provisioning', 'active'), ('provisioning', 'failed'), ('provisioning', 'stopping'),
      ('active', 'suspended'), ('active', 'stopping'), ('suspended', 'active'), ('suspended', 'stopping'),
      ('stopping', 'released'), ('stopping', 'cleanup_failed'), ('cleanup_failed', 'released'), ('cleanup_failed', 'stopping')) then
    raise exception using errcode = 'check_violation', message = 'an allocation does not go from ' || old.state || ' to ' || new.state;
  end if;
  return new;
end $$;
create trigger guard_allocation before update on allocation for each row when (pg_trigger_depth() = 0) execute function guard_allocation();
create trigger guard_allocation_gone before delete on allocation for each row execute function guard_allocation();
create trigger guard_allocation_all before truncate on allocation for each statement execute function refuse_change();

-- What was asked of the node and what it said is done: the intent is committed before the act, the result after it.
create table allocation_step (
  allocation_id text not null references allocation,
  step text not null check (step in ('mark', 'account', 'key', 'open', 'close', 'unkey', 'end', 'unmark')),
  begun_at timestamptz not null,
  done_at timestamptz,
  attempts int not null default 1 check (attempts > 0),
  primary key (allocation_id, step)
);

-- What people are told: shown on open pages, and mailed.
create table notice (
  id bigint generated always as identity primary key,
  user_id bigint not null references app_user,
  kind text not null check (kind ~ '^[a-z_]+[.][a-z_]+$'),   -- runway.hour, allocation.depleted
  subject text not null,                       -- allocation:ID or wallet:OWNER
  facts jsonb not null default '{}',           -- what its words are made of
  created_at timestamptz not null default site_now(),
  seen_at timestamptz
);
create index on notice (user_id, id desc);
create index on notice (user_id) where seen_at is null;
create index on notice (subject, kind);
