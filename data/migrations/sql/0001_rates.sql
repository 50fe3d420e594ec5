-- The rate book. A published card is never edited; a newer one takes over from its valid_from.

create table rate_card (
  name text primary key,                       -- TIER-vN, as it stands on every charge
  tier text not null references tier,
  version int not null check (version > 0),
  currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
  valid_from timestamptz not null,
  policy text not null check (policy in ('used', 'allocated')),
  rounding text not null check (rounding in ('per_job_minor', 'per_receipt_minor')),
  cpu_micro_per_core_hour bigint not null check (cpu_micro_per_core_hour >= 0),
  gpu_micro_per_gpu_hour bigint not null check (gpu_micro_per_gpu_hour >= 0),
  mem_micro_per_gib_hour bigint not null check (mem_micro_per_gib_hour >= 0),
  note text not null default '',
  published_at timestamptz not null default now(),
  published_by text not null,
  unique (tier, version),
  unique (tier, valid_from),
  check (name = tier || '-v' || version)
);
call write_once('rate_card');
