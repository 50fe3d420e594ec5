-- Wallets: money of payers that is kept for them. The balance is the ledger's (kind wallet, owner, currency); here stands who
-- shares a project's, what is frozen, and what was changed by hand.

alter table ledger_account
  drop constraint ledger_account_kind_check,
  add constraint ledger_account_kind check (kind in ('wallet', 'held', 'receivable', 'income', 'clearing', 'refund_pending', 'tax',
                                                     'rounding', 'unapplied', 'write_off', 'dispute', 'adjustment'));

-- The wallet that the members of a project share; its owner in the ledger is project:NAME.
create table project_wallet (
  project text primary key check (project <> '' and length(project) <= 256),
  owner_id bigint not null references app_user,
  created_by text not null,
  created_at timestamptz not null default now()
);
create table project_wallet_member (
  project text not null references project_wallet,
  user_id bigint not null references app_user,
  primary key (project, user_id)
);

-- Money that stays in a wallet and cannot be spent, such as the sum of an open dispute.
create table wallet_freeze (
  subject text primary key check (subject <> ''),        -- what it is frozen for: dispute:ID
  owner text not null,
  currency char(3) not null,
  amount_micro bigint not null check (amount_micro > 0),
  reason text not null check (reason <> ''),
  created_at timestamptz not null default now(),
  lifted_at timestamptz
);
create index on wallet_freeze (owner, currency) where lifted_at is null;

-- A change by hand. Above the site's limit it moves money only once a second person confirmed it.
create table adjustment_request (
  id text primary key,
  wallet text not null check (wallet <> ''),
  currency char(3) not null,
  amount_micro bigint not null check (amount_micro <> 0),   -- positive: into the wallet
  reason text not null check (length(reason) >= 10),
  needs_second boolean not null,
  status text not null check (status in ('requested', 'confirmed', 'rejected', 'withdrawn')),
  requested_by text not null,
  requested_at timestamptz not null default now(),
  decided_by text,
  decided_at timestamptz,
  decision text not null default '',
  check ((status = 'requested') = (decided_by is null)),
  check ((decided_by is null) = (decided_at is null)),
  constraint a_second_person check (not needs_second or status not in ('confirmed', 'rejected') or decided_by <> requested_by),
  constraint withdrawn_by_who_asked check (status <> 'withdrawn' or decided_by = requested_by)
);
create index on adjustment_request (wallet, requested_at desc);

create function guard_adjustment() returns trigger language plpgsql as $$
declare moving text[] := array['status', 'decided_by', 'decided_at', 'decision'];
begin
  if tg_op = 'DELETE' or (to_jsonb(new) - moving) <> (to_jsonb(old) - moving) or old.status <> 'requested' then
    raise exception using errcode = 'restrict_violation', message = 'an adjustment is decided once and never changes';
  end if;
  return new;
end $$;
create trigger guard_adjustment before update or delete on adjustment_request for each row execute function guard_adjustment();
create trigger guard_adjustment_all before truncate on adjustment_request for each statement execute function refuse_change();
