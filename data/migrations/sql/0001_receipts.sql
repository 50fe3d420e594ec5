-- Receipts: issued once, never edited; only their status moves, and every move is kept.

create table document_series (
  series text not null,
  year int not null,
  last int not null default 0 check (last >= 0),
  primary key (series, year)
);

create table receipt (
  id text primary key,
  series text not null,
  year int not null,
  sequence int not null check (sequence > 0),
  number text not null unique,
  payer text not null references payer,
  tier text not null,
  currency char(3) not null,
  status text not null check (status in ('pending', 'paid', 'refunded', 'void')),
  ended_before timestamptz not null,           -- the jobs on it ended before this instant
  lines int not null check (lines > 0),
  subtotal_micro bigint not null,              -- what its lines cost
  tax_name text not null default '',
  tax_ppm int not null default 0 check (tax_ppm >= 0),   -- parts per million: 70_000 is 7 %
  tax_micro bigint not null default 0,
  rounding_micro bigint not null default 0,
  total_micro bigint not null,
  issued_at timestamptz not null default now(),
  issued_by text not null,
  due_at timestamptz not null,
  paid_at timestamptz,
  unique (series, year, sequence),
  unique (id, payer),
  check (total_micro = subtotal_micro + tax_micro + rounding_micro),
  check ((status in ('paid', 'refunded')) = (paid_at is not null))
);
create index on receipt (payer, issued_at desc);

create function guard_receipt() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' or (to_jsonb(new) - array['status', 'paid_at']) <> (to_jsonb(old) - array['status', 'paid_at']) then
    raise exception using errcode = 'restrict_violation', message = 'an issued receipt never changes';
  end if;
  if new.status <> old.status and (old.status, new.status) not in
      (('pending', 'paid'), ('pending', 'void'), ('paid', 'refunded'), ('paid', 'pending')) then
    raise exception using errcode = 'check_violation', message = 'a receipt does not go from ' || old.status || ' to ' || new.status;
  end if;
  return new;
end $$;
create trigger guard_receipt before update or delete on receipt for each row execute function guard_receipt();
create trigger guard_receipt_all before truncate on receipt for each statement execute function refuse_change();

create table receipt_event (
  id bigint generated always as identity primary key,
  receipt_id text not null references receipt,
  from_status text,
  to_status text not null,
  at timestamptz not null default now(),
  actor text not null,
  reason text not null default ''
);
create index on receipt_event (receipt_id);
call write_once('receipt_event');

-- One line a job: what it cost when the receipt was made. A later correction is a line of its own on the next one.
-- A payer's month that cost less than a card's minimum has a line without a job, and corrections of it likewise.
create table receipt_line (
  id bigint generated always as identity primary key,
  receipt_id text not null references receipt,
  usage_id bigint references usage_record,     -- null: a month's minimum
  revision int not null,
  kind text not null check (kind in ('usage', 'adjustment', 'commitment')),
  live boolean not null default true,          -- false once its receipt is void
  run_key text,
  rate_card text not null,                     -- of a month's minimum the last one it comes from
  policy text not null,
  cpu_core_seconds bigint not null,
  gpu_seconds bigint not null,
  mem_mib_seconds bigint not null,
  extra_seconds bigint not null default 0,
  cpu_micro bigint not null,
  gpu_micro bigint not null,
  mem_micro bigint not null,
  extra_micro bigint not null default 0,
  rounding_micro bigint not null,
  commitment_micro bigint not null default 0,  -- what it adds for a month's minimum
  cost_micro bigint not null,
  payer text,                                  -- from here on: of a month's minimum only
  card_line text,                              -- the line of the rate book: a tier, or project:ACCOUNT
  month date check (extract(day from month) = 1),
  minimum_micro bigint check (minimum_micro >= 0),
  used_micro bigint,                           -- what the month's usage on that line cost
  before_micro bigint,                         -- what live lines had billed of the shortfall
  shares jsonb,                                -- [card, days, micro] of each card that held
  foreign key (receipt_id, payer) references receipt (id, payer),
  check (cost_micro = cpu_micro + gpu_micro + mem_micro + extra_micro + rounding_micro + commitment_micro),
  check ((usage_id is null) = (run_key is null) and kind <> case when usage_id is null then 'usage' else 'commitment' end),
  check (num_nulls(payer, card_line, month, minimum_micro, used_micro, before_micro, shares) = case when usage_id is null then 0 else 7 end),
  constraint shortfall_of_a_month check (commitment_micro = case when usage_id is null
    then greatest(0, minimum_micro - used_micro) - before_micro else 0 end),
  check (usage_id is not null or cost_micro = commitment_micro)
);
create index on receipt_line (receipt_id);
create unique index one_live_receipt_a_job on receipt_line (usage_id) where live and kind = 'usage';
create unique index one_adjustment_a_revision on receipt_line (usage_id, revision) where live and kind = 'adjustment';
create unique index one_live_commitment_a_month on receipt_line (payer, card_line, month) where live and kind = 'commitment';
create unique index one_line_a_revision_of_a_month on receipt_line (payer, card_line, month, revision) where month is not null;

create function guard_line() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' or (to_jsonb(new) - 'live') <> (to_jsonb(old) - 'live') or (new.live and not old.live) then
    raise exception using errcode = 'restrict_violation', message = 'a receipt line is written once';
  end if;
  return new;
end $$;
create trigger guard_line before update or delete on receipt_line for each row execute function guard_line();
create trigger guard_line_all before truncate on receipt_line for each statement execute function refuse_change();
