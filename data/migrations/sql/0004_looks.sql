-- What a sidecar saw at a node's address, for whoever asked: first the key it shows, and once somebody compared that, what it has.

create table look (
  id text primary key check (id ~ '^look_[0-9A-Z]{26}$'),
  node_id text references node,                -- a test of one we have; null: somebody wants to add one
  name text not null check (name ~ '^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$'),
  host text not null check (host <> '' and length(host) <= 253),
  port int not null check (port between 1 and 65535),
  asked_by text not null,
  asked_at timestamptz not null default site_now(),
  host_key text check (host_key ~ '^ssh-ed25519 [A-Za-z0-9+/=]+$'),
  confirmed_by text,                           -- who says that it is the right one; nothing of ours is shown to a node before
  probe jsonb,
  trouble text not null default '',            -- why it could not be seen
  done_at timestamptz,                         -- of what was asked last
  constraint seen_after_it_was_confirmed check (probe is null or (host_key is not null and confirmed_by is not null))
);
create index on look (node_id, asked_at desc);
