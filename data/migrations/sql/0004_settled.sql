-- Usage that was paid from a wallet as it ran: of nodes. It costs what was charged, to the micro-unit, and stands with its cost in
-- billed_micro, so that no receipt ever takes it; it is never priced again.

alter table usage_record add column settled boolean not null default false;
alter table usage_record add constraint settled_usage_is_never_open check (not settled or billed_micro = cost_micro) not valid;
alter table tier add constraint not_that_of_nodes check (name <> 'gpu_node');     -- what they are kept under: no card prices it

create function guard_settled() returns trigger language plpgsql as $$
begin
  raise exception using errcode = 'restrict_violation', message = 'usage that was paid as it ran never changes';
end $$;
create trigger guard_settled before update on usage_record for each row when (old.settled) execute function guard_settled();

-- Which run of the ingest made an allocation's usage.
alter table allocation add column usage_run bigint references ingest_run;
create index on allocation (id) where state = 'released' and active_at is not null and usage_run is null;
