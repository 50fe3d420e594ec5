-- What a correction of an ended run replaced: kept so that a price can be explained back to its first telling.

create table usage_revision (
  usage_id bigint not null references usage_record,
  revision int not null check (revision > 0),  -- the one that was replaced
  run_id bigint not null references ingest_run,        -- brought it
  replaced_by bigint not null references ingest_run,   -- brought the next one
  replaced_at timestamptz not null default now(),
  was jsonb not null,                          -- what was measured, the card, and what it cost
  primary key (usage_id, revision)
);
call write_once('usage_revision');
