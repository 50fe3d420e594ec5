-- What is to be done outside: written in the transaction of the decision, done by whichever sidecar is free.

create table outbox (
  id bigint generated always as identity primary key,
  kind text not null check (kind ~ '^[a-z_]+[.][a-z_]+$'),   -- names its handler: refund.submit
  key text not null check (key <> ''),         -- the same kind and key is queued once
  payload jsonb not null default '{}',
  state text not null default 'queued' check (state in ('queued', 'working', 'done', 'dead')),
  attempts int not null default 0,
  created_by text not null,
  created_at timestamptz not null default now(),
  due_at timestamptz not null default now(),
  leased_until timestamptz,
  done_at timestamptz,
  outcome text not null default '',
  unique (kind, key),
  check ((state = 'working') = (leased_until is not null)),
  check ((state = 'done') = (done_at is not null))
);
create index on outbox (due_at) where state = 'queued';
create index on outbox (leased_until) where state = 'working';
create index on outbox (id) where state = 'dead';

create function guard_outbox() returns trigger language plpgsql as $$
declare moving text[] := array['state', 'attempts', 'due_at', 'leased_until', 'done_at', 'outcome'];
begin
  if tg_op = 'DELETE' or (to_jsonb(new) - moving) <> (to_jsonb(old) - moving) then
    raise exception using errcode = 'restrict_violation', message = 'what a job asks for never changes';
  end if;
  if (old.state, new.state) not in (('queued', 'queued'), ('queued', 'working'), ('working', 'working'), ('working', 'queued'),
      ('working', 'done'), ('working', 'dead'), ('dead', 'queued')) then
    raise exception using errcode = 'check_violation', message = 'a job does not go from ' || old.state || ' to ' || new.state;
  end if;
  return new;
end $$;
create trigger guard_outbox before update or delete on outbox for each row execute function guard_outbox();
create trigger guard_outbox_all before truncate on outbox for each statement execute function refuse_change();

-- Wakes the workers at commit; whoever misses it finds the row at the next look.
create function wake_outbox() returns trigger language plpgsql as $$
begin
  perform pg_notify('corehours_outbox', '');
  return null;
end $$;
create trigger wake_outbox after insert on outbox for each statement execute function wake_outbox();
