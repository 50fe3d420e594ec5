-- The audit chain: each entry carries an HMAC over the one before and its own bytes; the key is not in here.

create table audit_entry (
  id bigint primary key check (id > 0),        -- gap-free: 1, 2, 3 …
  at timestamptz not null,
  actor text not null,
  action text not null,
  subject text not null,
  body bytea not null,                         -- the canonical bytes that were signed
  key_id text not null,
  prev_hash bytea not null unique check (length(prev_hash) = 32),
  hash bytea not null unique check (length(hash) = 32)
);
create index on audit_entry (subject);
call write_once('audit_entry');

create table audit_head (
  one boolean primary key default true check (one),
  id bigint not null,
  hash bytea not null check (length(hash) = 32)
);
insert into audit_head (id, hash) values (0, decode(repeat('00', 32), 'hex'));
create trigger keep_head before delete on audit_head for each row execute function refuse_change();
create trigger keep_head_all before truncate on audit_head for each statement execute function refuse_change();
