-- The one clock that decisions ask: the database's, at the start of the transaction.
create function site_now() returns timestamptz language sql stable parallel safe as 'select transaction_timestamp()';
