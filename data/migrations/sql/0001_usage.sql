-- What was used: one row a run of a job, its measured quantities, and what they cost by the card that was valid
-- when it ended. Rows arrive in bulk; corrections raise the revision.

create table ingest_run (
  id bigint generated always as identity primary key,
  source text not null,                        -- slurmrestd, sacct, file
  origin text not null default '',             -- address, command or file name
  cluster text not null default '',
  state text not null check (state in ('running', 'taken', 'refused', 'abandoned')),
  started_at timestamptz not null default now(),
  ended_at timestamptz,
  window_start timestamptz,
  window_end timestamptz,
  lines bigint not null default 0,
  jobs bigint not null default 0,
  new bigint not null default 0,
  changed bigint not null default 0,
  unchanged bigint not null default 0,
  rejected bigint not null default 0,
  reason text not null default '',             -- why it was refused; why the sources before it did not answer
  notes jsonb not null default '[]'
);
create index on ingest_run (started_at desc);

-- Lines that could not be read: kept and named, never priced.
create table ingest_rejection (
  id bigint generated always as identity primary key,
  run_id bigint not null references ingest_run,
  line bigint not null,
  reason text not null,
  text text not null,
  resolved_at timestamptz                      -- a later run read the same row well
);
create index on ingest_rejection (run_id);

-- Up to when usage is complete, per cluster; it moves only when a whole batch was taken.
create table ingest_watermark (
  cluster text primary key,
  complete_to timestamptz not null,
  source text not null,
  run_id bigint not null references ingest_run,
  updated_at timestamptz not null default now()
);

create table usage_record (
  id bigint generated always as identity (cache 1000) primary key,   -- in bulk; a session leaves gaps
  digest bigint,                               -- of what is compared when it is told again; null: compare the columns
  run_key text not null,
  cluster text not null,
  job_id text not null,                        -- as people write it: 12, 12_3, 12+1
  job_id_raw bigint not null,
  sluid text,
  job_name text not null default '',
  user_name text not null,
  account_name text not null,                  -- the Slurm account (project)
  partition_name text not null,
  qos text not null default '',
  node_list text not null default '',
  state text not null,
  submit_at timestamptz not null,
  start_at timestamptz,
  end_at timestamptz,
  elapsed_seconds bigint not null,
  alloc_tres text not null default '',
  alloc_cpus bigint not null,
  alloc_gpus bigint not null,
  alloc_mem_mib bigint not null,
  cpu_used_core_seconds bigint not null,
  cpu_used_from text not null,                 -- steps.TotalCPU, job.TotalCPU
  mem_used_mib_seconds bigint not null,
  mem_used_from text not null,                 -- steps.AveRSS, AllocTRES
  ended boolean not null,                      -- a terminal state
  detail smallint not null default 0,          -- 1 when its steps were seen: never overwritten by a row without
  revision int not null default 1,
  run_id bigint not null,                      -- the ingest run that wrote this revision
  -- the charge
  payer text not null,
  tier text not null,
  rate_card text not null,
  policy text not null,
  currency char(3) not null,
  cpu_core_seconds bigint not null,
  gpu_seconds bigint not null,
  mem_mib_seconds bigint not null,
  extra_seconds bigint not null default 0,     -- of nodes, or of Slurm's billing units
  cpu_micro bigint not null,
  gpu_micro bigint not null,
  mem_micro bigint not null,
  extra_micro bigint not null default 0,
  rounding_micro bigint not null,
  cost_micro bigint not null,
  billed_micro bigint,                         -- sum of its live receipt lines; null when on none
  constraint usage_record_quantities check (least(     -- one look at a row, not ten
    elapsed_seconds, alloc_cpus, alloc_gpus, alloc_mem_mib, cpu_used_core_seconds, mem_used_mib_seconds,
    cpu_core_seconds, gpu_seconds, mem_mib_seconds, extra_seconds) >= 0),
  check (cost_micro = cpu_micro + gpu_micro + mem_micro + extra_micro + rounding_micro),
  check (ended or cost_micro = 0),
  check (not ended or end_at is not null)
);
create unique index usage_record_run_key on usage_record (run_key) include (digest);  -- indexes, not constraints: a first load makes them last
create index usage_record_by_payer on usage_record (payer, end_at);
create index usage_record_alias on usage_record (job_id_raw, submit_at) where sluid is not null;   -- told without its SLUID

-- Who corrects a run without saying its new digest leaves it without one.
create function forget_digest() returns trigger language plpgsql as $$
begin
  new.digest := null;
  return new;
end $$;

create trigger forget_digest before update of digest, user_name, account_name, partition_name, state, start_at, end_at, elapsed_seconds,
    alloc_cpus, alloc_gpus, alloc_mem_mib, cpu_used_core_seconds, mem_used_mib_seconds, ended, detail on usage_record for each row
  when (old.digest = new.digest and (
    (old.user_name, old.account_name, old.partition_name, old.state, old.start_at, old.end_at, old.elapsed_seconds, old.alloc_cpus,
     old.alloc_gpus, old.alloc_mem_mib, old.cpu_used_core_seconds, old.mem_used_mib_seconds, old.ended, old.detail) is distinct from
    (new.user_name, new.account_name, new.partition_name, new.state, new.start_at, new.end_at, new.elapsed_seconds, new.alloc_cpus,
     new.alloc_gpus, new.alloc_mem_mib, new.cpu_used_core_seconds, new.mem_used_mib_seconds, new.ended, new.detail)))
  execute function forget_digest();

-- Batches on their way to the analytics copy; one that stays pending means: rebuild the copy.
create table lake_batch (
  id bigint generated always as identity primary key,
  state text not null default 'pending' check (state in ('pending', 'copied')),
  created_at timestamptz not null default now(),
  copied_at timestamptz
);
