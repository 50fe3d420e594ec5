-- GPU nodes that are rented out. Who holds one is an allocation's business.

create table node (
  id text primary key check (id ~ '^nod_[0-9A-Z]{26}$'),
  site text not null check (site <> '' and length(site) <= 64),
  name text not null unique check (name ~ '^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$'),
  host text not null check (host <> '' and length(host) <= 253),
  port int not null check (port between 1 and 65535),
  host_key text not null check (host_key ~ '^ssh-ed25519 [A-Za-z0-9+/=]+$'),     -- the only one it is believed by
  gpu_model text not null check (gpu_model <> '' and length(gpu_model) <= 128),  -- in its driver's words
  gpu_count int not null check (gpu_count > 0),
  memory_mib int check (memory_mib > 0),       -- of each GPU; null: its driver does not know
  rate_model text not null check (rate_model ~ '^[a-z0-9][a-z0-9_.+-]{0,63}$'),  -- under which rate cards have its price
  per_user int check (per_user > 0),           -- how many of its model one person may hold at once; null: the site's limit
  minimum_balance_micro bigint check (minimum_balance_micro >= 0),               -- to begin; null: the site's rule
  state text not null check (state in ('available', 'draining', 'maintenance', 'quarantined', 'retired')),
  reason text not null default '',             -- why it stands there
  clock_offset_ms int,                         -- ahead of ours, when it was last tested
  tested_at timestamptz,
  created_by text not null,
  created_at timestamptz not null default site_now()
);
create index on node (state, rate_model);

create table node_event (
  id bigint generated always as identity primary key,
  node_id text not null references node,
  from_state text,
  to_state text not null,
  actor text not null,
  reason text not null,
  at timestamptz not null default site_now()
);
create index on node_event (node_id, id);
call write_once('node_event');

create function guard_node() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' or (new.id, new.created_by, new.created_at) <> (old.id, old.created_by, old.created_at) then
    raise exception using errcode = 'restrict_violation', message = 'a node is retired, never deleted or made another';
  end if;
  if new.state <> old.state and (old.state, new.state) not in (
      ('available', 'draining'), ('available', 'maintenance'), ('available', 'quarantined'), ('available', 'retired'),
      ('draining', 'available'), ('draining', 'maintenance'), ('draining', 'quarantined'), ('draining', 'retired'),
      ('maintenance', 'available'), ('maintenance', 'quarantined'), ('maintenance', 'retired'),
      ('quarantined', 'maintenance'), ('quarantined', 'retired')) then
    raise exception using errcode = 'check_violation', message = 'a node does not go from ' || old.state || ' to ' || new.state;
  end if;
  return new;
end $$;
create trigger guard_node before update or delete on node for each row execute function guard_node();
create trigger guard_node_all before truncate on node for each statement execute function refuse_change();

-- What a node's GPUs did, sampled while it is rented.
create table node_sample (
  node_id text not null references node,
  at timestamptz not null,
  gpu smallint not null check (gpu >= 0),
  utilisation_percent smallint check (utilisation_percent between 0 and 100),    -- null: its driver does not know
  memory_used_mib int check (memory_used_mib >= 0),
  allocation_id text,                          -- who held it
  primary key (node_id, at, gpu)
);
create index on node_sample (allocation_id, at) where allocation_id is not null;

-- Whether a node answers: one row, moved by each look.
create table node_watch (
  node_id text primary key references node,
  looked_at timestamptz not null,
  answered_at timestamptz,                     -- when it last did
  missed int not null default 0 check (missed >= 0),     -- looks in a row that it did not answer
  trouble text not null default ''
);
