-- Who signs in, who is billed, and whose projects they may see.

create table tier (
  name text primary key check (name ~ '^[a-z][a-z0-9_-]{0,31}$')
);
insert into tier values ('mu'), ('gov'), ('private');

-- Whoever a job is billed to; by default the Slurm user who ran it. The tier stands here and nowhere else.
create table payer (
  name text primary key check (name <> '' and length(name) <= 256),
  tier text not null references tier,
  created_at timestamptz not null default now()
);

create table app_user (
  id bigint generated always as identity primary key,
  name text not null unique check (name ~ '^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}$'),
  role text not null check (role in ('researcher', 'admin', 'finance', 'auditor')),
  payer text not null,                         -- whose usage and receipts are this person's own
  password_hash text not null,
  created_at timestamptz not null default now(),
  disabled_at timestamptz
);

-- A principal investigator is a researcher who may see what a whole project (Slurm account) used.
create table project_lead (
  project text not null,
  user_id bigint not null references app_user,
  primary key (project, user_id)
);

create table app_session (
  token_hash bytea primary key check (length(token_hash) = 32),
  user_id bigint not null references app_user,
  created_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  address text not null default '',
  agent text not null default ''
);
create index on app_session (user_id) where revoked_at is null;

-- A password that was right, waiting for its browser to fetch the session cookie: once, within seconds.
create table sign_in_ticket (
  door_hash bytea primary key check (length(door_hash) = 32),    -- the browser it was typed in
  user_id bigint not null references app_user,
  target text not null,                        -- where the person wanted to go
  expires_at timestamptz not null
);

create table sign_in_throttle (
  name text not null,
  address text not null,
  tried_at timestamptz[] not null default '{}',   -- attempts that have not succeeded, oldest first
  locked_until timestamptz,
  primary key (name, address)
);
