-- The rate book. A published card is never edited; a newer one of its line takes over from its valid_from.

create table rate_card (
  name text primary key,                       -- TIER-vN or project:ACCOUNT-vN, as it stands on every charge
  line text not null generated always as (coalesce(tier, 'project:' || project)) stored,
  tier text references tier,                   -- null for a project's card
  project text check (project <> ''),          -- the Slurm account it prices, for payers of any tier
  version int not null check (version > 0),
  currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
  valid_from timestamptz not null,
  policy text not null check (policy in ('used', 'allocated', 'max_of', 'billing_tres')),
  rounding text not null check (rounding in ('per_job_minor', 'per_receipt_minor')),
  terms jsonb not null check (jsonb_typeof(terms) = 'object'),   -- prices in micro-units, modifiers, commitment, time zone
  note text not null default '',
  published_at timestamptz not null default now(),
  published_by text not null,
  unique (line, version),
  check ((tier is null) <> (project is null)),
  check (name = coalesce(tier, 'project:' || project) || '-v' || version)
);
call write_once('rate_card');
