-- Money that came by bank transfer, as the bank's statement says it: typed in, or from its CSV.

create table bank_line (
  id bigint generated always as identity primary key,
  line_key text not null unique,               -- the same line of the same statement, however often it is brought
  booked_on date not null,
  amount_micro bigint not null check (amount_micro > 0),   -- what came in; what went out is not kept
  currency char(3) not null,
  text text not null,                          -- the payer's words and the bank's
  bank_ref text not null default '',           -- the bank's own name for it
  source text not null,                        -- the file's name, or by hand
  brought_by text not null,
  brought_at timestamptz not null default now(),
  state text not null default 'waiting' check (state in ('waiting', 'applied', 'set_aside')),
  payment_id text references payment,          -- that got the money
  note text not null default '',               -- what became of it, or why it is no payer's
  decided_by text,
  decided_at timestamptz,
  check ((state = 'waiting') = (decided_at is null) and (decided_at is null) = (decided_by is null)),
  check ((state = 'applied') = (payment_id is not null)),
  check (state <> 'set_aside' or note <> '')
);
create index on bank_line (booked_on desc, id desc);
create index on bank_line (id) where state = 'waiting';
create unique index one_line_a_payment on bank_line (payment_id) where payment_id is not null;

create function guard_bank_line() returns trigger language plpgsql as $$
declare moving text[] := array['state', 'payment_id', 'note', 'decided_by', 'decided_at'];
begin
  if tg_op = 'DELETE' or (to_jsonb(new) - moving) <> (to_jsonb(old) - moving) then
    raise exception using errcode = 'restrict_violation', message = 'what a bank statement says never changes';
  end if;
  if (old.state, new.state) not in (('waiting', 'applied'), ('waiting', 'set_aside'), ('set_aside', 'waiting')) then
    raise exception using errcode = 'check_violation', message = 'a bank line does not go from ' || old.state || ' to ' || new.state;
  end if;
  return new;
end $$;
create trigger guard_bank_line before update or delete on bank_line for each row execute function guard_bank_line();
create trigger guard_bank_line_all before truncate on bank_line for each statement execute function refuse_change();
