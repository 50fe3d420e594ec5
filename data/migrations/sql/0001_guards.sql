-- Functions that other tables use to say no.

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception using errcode = 'restrict_violation',
    message = 'rows of ' || tg_table_name || ' are written once: ' || lower(tg_op) || ' is refused';
end $$;

create procedure write_once(target text) language plpgsql as $$
begin
  execute format('create trigger write_once before update or delete on %I for each row execute function refuse_change()', target);
  execute format('create trigger write_once_all before truncate on %I for each statement execute function refuse_change()', target);
end $$;
