-- Events that came wake the workers at commit; whoever misses it finds them at the next look.

create function wake_inbox() returns trigger language plpgsql as $$
begin
  perform pg_notify('corehours_inbox', '');
  return null;
end $$;
create trigger wake_inbox after insert on webhook_inbox for each statement execute function wake_inbox();
