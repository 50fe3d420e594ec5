"""What must always hold of refunds, disputes and the jobs that ask for them: by name, the SQL whose rows break it."""

from __future__ import annotations

_ENTRIES = """select t.key, a.kind, a.owner, a.currency, e.amount_micro from ledger_entry e
  join ledger_account a on a.id = e.ledger_account_id join ledger_transaction t on t.id = e.transaction_id"""

PROMISES = {
    "refunds of a payment are no more than it brought": """
        select 'payment ' || p.reference || ' brought ' || p.received_micro || ', ' || sum(r.amount_micro) || ' were given back'
        from refund r join payment p on p.id = r.payment_id where r.status <> 'failed'
        group by p.id having sum(r.amount_micro) > p.received_micro or bool_or(r.currency <> p.currency)""",
    "a refund is posted as it is taken": f"""
        select 'refund ' || r.id from refund r left join ({_ENTRIES}) e on e.key = 'refund:' || r.id
        where r.status <> 'failed' or r.origin = 'here' group by r.id
        having coalesce(sum(e.amount_micro) filter (where e.kind = 'wallet'), 0) <> r.from_wallet_micro
            or coalesce(sum(e.amount_micro) filter (where e.kind = 'unapplied'), 0) <> r.from_unapplied_micro
            or coalesce(sum(e.amount_micro) filter (where e.kind = 'write_off'), 0) <> r.from_write_off_micro
            or coalesce(sum(e.amount_micro) filter (where e.kind in ('income', 'tax', 'rounding')), 0) <> r.from_receipt_micro
            or coalesce(sum(e.amount_micro) filter (where e.kind = 'refund_pending'), 0) <> -r.amount_micro""",  # noqa: S608
    "a refund that arrived is posted so, one under way is not": """
        select 'refund ' || r.id from refund r left join ledger_transaction t on t.key = 'refund-done:' || r.id
        where r.status <> 'failed' and (r.status = 'succeeded') <> (t.id is not null)""",
    "a refund that failed moved nothing in the end": f"""
        select 'refund ' || r.id || ' moved ' || sum(e.amount_micro) || ' on ' || e.kind || ':' || e.owner
        from refund r join ({_ENTRIES}) e on e.key in ('refund:' || r.id, 'refund-done:' || r.id, 'refund-failed:' || r.id)
        where r.status = 'failed' group by r.id, e.kind, e.owner, e.currency having sum(e.amount_micro) <> 0""",  # noqa: S608
    "money on its way back is that of refunds under way": """
        select 'refunds pending of ' || coalesce(a.owner, r.provider) || ': ' || coalesce(-a.balance_micro, 0) || ', under way '
          || coalesce(r.micro, 0)
        from (select * from ledger_account where kind = 'refund_pending') a
        full join (select provider, currency, sum(amount_micro) as micro from refund where status in ('requested', 'submitted')
                   group by 1, 2) r on r.provider = a.owner and r.currency = a.currency
        where coalesce(-a.balance_micro, 0) <> coalesce(r.micro, 0)""",
    "a receipt is refunded while all of it is back": """
        select 'receipt ' || r.number || ' of ' || r.total_micro || ', back ' || coalesce(b.micro, 0) from receipt r
        left join (select p.receipt_id, sum(f.from_receipt_micro) as micro from refund f join payment p on p.id = f.payment_id
                   where f.status = 'succeeded' group by 1) b on b.receipt_id = r.id
        where (r.status = 'refunded') <> (r.total_micro > 0 and coalesce(b.micro, 0) = r.total_micro)
           or coalesce(b.micro, 0) > r.total_micro""",
    "a receipt that is given back leaves nothing on any meter": f"""
        select 'receipt ' || r.number || ' leaves ' || sum(e.amount_micro) || ' on ' || e.kind || ':' || e.owner from receipt r
        join lateral (select 'receipt:' || r.id as key union all select 'refund:' || f.id from refund f
                      join payment p on p.id = f.payment_id where p.receipt_id = r.id and f.status <> 'failed') k on true
        join ({_ENTRIES}) e on e.key = k.key and e.kind in ('income', 'tax', 'rounding')
        where r.status = 'refunded' group by r.id, e.kind, e.owner having sum(e.amount_micro) <> 0""",  # noqa: S608
    "refund histories hold legal moves only and end where the refund stands": """
        select 'refund ' || r.id from refund r left join lateral (
          select id, from_status, to_status, lag(to_status) over (order by id) as before,
                 row_number() over (order by id desc) as from_end from refund_event where refund_id = r.id) e on true
        where e.id is null or e.from_status is distinct from e.before or (e.from_end = 1 and e.to_status <> r.status)
           or (e.from_status is not null and (e.from_status, e.to_status) not in (
               ('requested', 'submitted'), ('requested', 'succeeded'), ('requested', 'failed'), ('submitted', 'succeeded'),
               ('submitted', 'failed'), ('succeeded', 'failed')))""",
    "a refund that is requested has its job, one whose job is done was answered": """
        select 'refund ' || r.id from refund r left join outbox o on o.kind = 'refund.submit' and o.key = r.id
        where r.status = 'requested' and (o.id is null or o.state = 'done')""",
    "what a dispute moved is posted, once and nothing else": """
        select 'dispute ' || d.id from dispute d where
          (d.withdrawn_at is not null) <> exists (select 1 from ledger_transaction where key = 'dispute-withdrawn:' || d.id)
          or (d.reinstated_at is not null) <> exists (select 1 from ledger_transaction where key = 'dispute-reinstated:' || d.id)
          or (d.status = 'lost') <> (exists (select 1 from ledger_transaction where key = 'dispute-lost:' || d.id)
                                     and not exists (select 1 from ledger_transaction where key = 'dispute-overturned:' || d.id))""",
    "what a lost dispute took is posted as it is taken": f"""
        select 'dispute ' || d.id from dispute d left join ({_ENTRIES}) e on e.key = 'dispute-lost:' || d.id
        where d.status = 'lost' group by d.id
        having coalesce(sum(e.amount_micro) filter (where e.kind = 'wallet'), 0) <> d.from_wallet_micro
            or coalesce(sum(e.amount_micro) filter (where e.kind = 'unapplied'), 0) <> d.from_unapplied_micro
            or coalesce(sum(e.amount_micro) filter (where e.kind = 'write_off'), 0) <> d.from_receipt_micro + d.from_write_off_micro
            or coalesce(sum(e.amount_micro) filter (where e.kind = 'dispute'), 0) <> -d.amount_micro""",  # noqa: S608
    "refunds and lost disputes take from nowhere more than their payment brought there": """
        select 'payment ' || p.reference from payment p join (
          select payment_id, from_receipt_micro, from_wallet_micro, from_unapplied_micro from refund where status <> 'failed'
          union all select payment_id, from_receipt_micro, from_wallet_micro, from_unapplied_micro from dispute where status = 'lost') t
          on t.payment_id = p.id
        cross join lateral (select case when p.status = 'succeeded' and p.purpose = 'receipt' then p.amount_micro else 0 end as settled) s
        group by p.id, s.settled having sum(t.from_receipt_micro) > s.settled
          or sum(t.from_wallet_micro) > case when p.status in ('succeeded', 'credited') and p.provider <> 'wallet'
                                             then p.received_micro - s.settled else 0 end
          or sum(t.from_unapplied_micro) > case when p.status = 'unapplied' then p.received_micro else 0 end""",
    "disputes over a payment are over no more than it brought": """
        select 'payment ' || p.reference || ' brought ' || p.received_micro || ', disputed are ' || sum(d.amount_micro)
        from dispute d join payment p on p.id = d.payment_id where d.status <> 'won'
        group by p.id having sum(d.amount_micro) > p.received_micro or bool_or(d.currency <> p.currency)""",
    "disputed money is what was withdrawn and not given back or lost": """
        select 'dispute account of ' || coalesce(a.owner, d.provider) || ': ' || coalesce(a.balance_micro, 0) || ', disputes '
          || coalesce(d.micro, 0)
        from (select * from ledger_account where kind = 'dispute') a
        full join (select provider, currency, sum(case when withdrawn_at is null then 0 else amount_micro end
                     - case when reinstated_at is null then 0 else amount_micro end
                     - case when status = 'lost' then amount_micro else 0 end) as micro from dispute group by 1, 2) d
          on d.provider = a.owner and d.currency = a.currency
        where coalesce(a.balance_micro, 0) <> coalesce(d.micro, 0)""",
    "a wallet is frozen while its dispute is open": """
        select f.subject from wallet_freeze f left join dispute d on f.subject = 'dispute:' || d.id
        where f.subject like 'dispute:%' and (d.id is null or (d.status = 'open') <> (f.lifted_at is null))""",
    "every posting of a refund or dispute belongs to one": """
        select t.key from ledger_transaction t where (t.key ~ '^refund(-done|-failed)?:' and not exists (
            select 1 from refund where id = split_part(t.key, ':', 2)))
          or (t.key ~ '^dispute(-[a-z]+)?:' and not exists (select 1 from dispute where id = split_part(t.key, ':', 2)))""",
}
