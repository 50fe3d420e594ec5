"""What must always hold, in SQL. Each invariant is a query that lists its violations; none means it holds.

The database's own constraints refuse most of these beforehand. This is the second pair of eyes: it trusts no trigger.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from data.postgres import node_invariants, refund_invariants
from data.postgres.store import PostgresTransaction


@dataclass(frozen=True, slots=True)
class Invariant:
    """A promise, and the SQL whose rows (text) break it."""

    name: str
    sql: str


INVARIANTS = (
    Invariant("ledger transactions sum to zero in each currency", """
        select 'transaction ' || t.key || ' is off by ' || sum(e.amount_micro) || ' ' || e.currency
        from ledger_entry e join ledger_transaction t on t.id = e.transaction_id
        group by t.key, e.currency having sum(e.amount_micro) <> 0"""),
    Invariant("ledger entries belong to a transaction, and to an account of their currency", """
        select 'entry ' || e.id from ledger_entry e left join ledger_transaction t on t.id = e.transaction_id
        left join ledger_account a on a.id = e.ledger_account_id and a.currency = e.currency where t.id is null or a.id is null"""),
    Invariant("ledger transactions have entries", """
        select 'transaction ' || key || ' is empty' from ledger_transaction t
        where not exists (select 1 from ledger_entry e where e.transaction_id = t.id)
          and key not like 'receipt%' """),
    Invariant("balances equal their entries", """
        select kind || ':' || owner || ' says ' || balance_micro || ', its entries ' || coalesce(sum(e.amount_micro), 0)
        from ledger_account a left join ledger_entry e on e.ledger_account_id = a.id
        group by a.id having balance_micro <> coalesce(sum(e.amount_micro), 0) or version <> count(e.id)"""),
    Invariant("balances run on without gaps", """
        select 'entry ' || id from (
          select id, account_version, balance_after_micro,
                 row_number() over w as expected_version, sum(amount_micro) over w as expected_balance
          from ledger_entry window w as (partition by ledger_account_id order by account_version)) e
        where account_version <> expected_version or balance_after_micro <> expected_balance"""),
    Invariant("no account is under its floor", """
        select kind || ':' || owner || ' is at ' || side * balance_micro from ledger_account
        where side * balance_micro < floor_micro"""),
    Invariant("a job stands on one live receipt at most", """
        select 'usage ' || usage_id from receipt_line where live and kind = 'usage' group by usage_id having count(*) > 1"""),
    Invariant("a payer's month has one live line for a minimum at most, and corrections of it", """
        select payer || ' ' || month || ' ' || card_line from receipt_line where live and month is not null and kind = 'commitment'
        group by payer, month, card_line having count(*) > 1"""),
    Invariant("a line of a month's minimum is the shortfall it states, less what was billed before", """
        select 'line ' || id from receipt_line where (usage_id is null) <> (month is not null)
          or (month is not null and cost_micro <> greatest(0, minimum_micro - used_micro) - before_micro)
          or (usage_id is not null and commitment_micro <> 0)"""),
    Invariant("what a month's minimum was billed is the shortfall its last line states, until one of its receipts is void", """
        select m.payer || ' ' || m.month || ' ' || m.card_line from (
          select l.payer, l.month, l.card_line, sum(l.cost_micro) filter (where l.live) as billed, max(v.id) as voided,
            (array_agg(greatest(0, minimum_micro - used_micro) order by l.revision desc) filter (where l.live))[1] as stated,
            (array_agg(i.id order by l.revision desc) filter (where l.live))[1] as issued
          from receipt_line l join receipt_event i on i.receipt_id = l.receipt_id and i.from_status is null
          left join receipt_event v on v.receipt_id = l.receipt_id and v.to_status = 'void'
          where l.month is not null group by 1, 2, 3) m
        where billed <> stated and (voided is null or voided < issued)"""),
    Invariant("live lines belong to receipts that are not void", """
        select 'line ' || l.id from receipt_line l join receipt r on r.id = l.receipt_id where l.live = (r.status = 'void')"""),
    Invariant("what a job is billed equals its live lines", """
        select 'usage ' || u.run_key from usage_record u
        left join (select usage_id, sum(cost_micro) as billed from receipt_line where live group by usage_id) l on l.usage_id = u.id
        where case when u.settled then l.billed is not null or u.billed_micro is distinct from u.cost_micro
              else u.billed_micro is distinct from l.billed end"""),
    Invariant("a receipt's total is its lines, tax and rounding", """
        select 'receipt ' || r.number from receipt r join receipt_line l on l.receipt_id = r.id group by r.id
        having r.subtotal_micro <> sum(l.cost_micro) or r.lines <> count(*)
            or r.total_micro <> r.subtotal_micro + r.rounding_micro + case when r.tax_included then 0 else r.tax_micro end"""),
    Invariant("a receipt has lines", """
        select 'receipt ' || number from receipt r where not exists (select 1 from receipt_line l where l.receipt_id = r.id)"""),
    Invariant("a receipt's total stands in the ledger", """
        select 'receipt ' || r.number from receipt r
        left join ledger_transaction t on t.key = 'receipt:' || r.id
        left join ledger_entry e on e.transaction_id = t.id and e.amount_micro > 0
          and e.ledger_account_id in (select id from ledger_account where kind = 'receivable' and owner = r.payer)
        group by r.id, t.id having t.id is null or coalesce(sum(e.amount_micro), 0) <> r.total_micro"""),
    Invariant("a void receipt is reversed in the ledger, no other is", """
        select 'receipt ' || r.number from receipt r left join ledger_transaction t on t.key = 'receipt-void:' || r.id
        where (r.status = 'void') <> (t.id is not null)"""),
    Invariant("a paid receipt has one settled payment, an unpaid one none", """
        select 'receipt ' || r.number from receipt r left join payment p on p.receipt_id = r.id and p.status = 'succeeded'
        group by r.id having count(p.id) <> case when r.status in ('paid', 'refunded') and r.total_micro > 0 then 1 else 0 end"""),
    Invariant("a settled payment is what its receipt asked for", """
        select 'payment ' || p.reference from payment p join receipt r on r.id = p.receipt_id
        where p.status in ('succeeded', 'reverted') and ((p.amount_micro, p.currency) <> (r.total_micro, r.currency)
          or p.received_micro < p.amount_micro)"""),
    Invariant("money that came is posted once, other payments are not", """
        select 'payment ' || p.reference from payment p
        left join ledger_transaction t on t.key = 'pay:' || p.provider || ':' || p.reference
        where (p.received_micro > 0) <> (t.id is not null)"""),
    Invariant("what came stands in the ledger as it came", """
        select 'payment ' || p.reference || ' brought ' || p.received_micro || ', posted ' || coalesce(sum(e.amount_micro), 0)
        from payment p left join ledger_movement e on e.key = 'pay:' || p.provider || ':' || p.reference and e.amount_micro > 0
          and e.currency = p.currency and (e.kind, e.owner) = (case p.provider when 'wallet' then 'wallet' else 'clearing' end,
                                                               case p.provider when 'wallet' then p.wallet else p.provider end)
        where p.received_micro > 0 group by p.id having coalesce(sum(e.amount_micro), 0) <> p.received_micro"""),
    Invariant("what providers hold is what payments brought and nothing else", """
        select 'clearing of ' || a.owner || ' has ' || a.balance_micro || ', payments brought ' || coalesce(p.came, 0)
          || ', by other ways ' || coalesce(o.moved, 0)
        from ledger_account a
        left join (select provider, currency, sum(received_micro) filter (where status <> 'reverted') as came from payment
                   where provider <> 'wallet' group by 1, 2) p on p.provider = a.owner and p.currency = a.currency
        left join (select owner, currency, sum(amount_micro) as moved from ledger_movement e
                   where kind = 'clearing' and key ~ '^(refund|dispute)' group by 1, 2) o on o.owner = a.owner and o.currency = a.currency
        where a.kind = 'clearing' and a.balance_micro <> coalesce(p.came, 0) + coalesce(o.moved, 0)"""),
    Invariant("unapplied money is that of unapplied payments", """
        select 'unapplied of ' || coalesce(a.owner, p.provider) || ' has ' || coalesce(-a.balance_micro, 0) || ', payments '
          || coalesce(p.kept, 0)
        from (select * from ledger_account where kind = 'unapplied') a
        full join (select provider, currency, sum(received_micro) as kept from payment where status = 'unapplied' group by 1, 2) p
          on p.provider = a.owner and p.currency = a.currency
        left join (select owner, currency, sum(amount_micro) as moved from ledger_movement e
                   where kind = 'unapplied' and key ~ '^(refund|dispute)' group by 1, 2) o on o.owner = a.owner and o.currency = a.currency
        where coalesce(a.balance_micro, 0) <> coalesce(o.moved, 0) - coalesce(p.kept, 0)"""),
    Invariant("a wallet holds what came for it and was not spent", """
        with movement as (      -- told by the rows that moved wallets, not by the wallets' own entries
          select wallet as owner, currency,
                 received_micro - case when status = 'succeeded' and purpose = 'receipt' then amount_micro else 0 end as micro
            from payment where status in ('succeeded', 'credited') and provider <> 'wallet'
          union all select wallet, currency, -received_micro from payment where status = 'succeeded' and provider = 'wallet'
          union all select wallet, currency, amount_micro from adjustment_request where status = 'confirmed'
          union all select wallet, currency, -sum(amount_micro) from allocation_charge join allocation on id = allocation_id group by 1, 2
          union all select owner, currency, -amount_micro from ledger_movement where kind = 'wallet' and key ~ '^(refund|dispute)')
        select 'wallet of ' || coalesce(a.owner, m.owner) || ' has ' || coalesce(-a.balance_micro, 0) || ' '
          || coalesce(a.currency, m.currency) || ', its movements ' || coalesce(m.micro, 0)
        from (select * from ledger_account where kind = 'wallet') a
        full join (select owner, currency, sum(micro) as micro from movement group by 1, 2) m
          on m.owner = a.owner and m.currency = a.currency
        where coalesce(-a.balance_micro, 0) <> coalesce(m.micro, 0)"""),
    Invariant("a confirmed adjustment is posted, no other is", """
        select 'adjustment ' || r.id from adjustment_request r left join ledger_transaction t on t.key = 'adjust:' || r.id
        where (r.status = 'confirmed') <> (t.id is not null)"""),
    Invariant("a large adjustment was confirmed by a second person", """
        select 'adjustment ' || id from adjustment_request
        where status = 'confirmed' and needs_second and decided_by is not distinct from requested_by"""),
    Invariant("what payers owe equals their pending receipts", """
        select 'receivable of ' || coalesce(a.owner, r.payer) from
          (select owner, currency, balance_micro from ledger_account where kind = 'receivable') a
        full join (select payer, currency, sum(total_micro) as owed from receipt where status = 'pending' group by payer, currency) r
          on r.payer = a.owner and r.currency = a.currency
        where coalesce(a.balance_micro, 0) <> coalesce(r.owed, 0)"""),
    Invariant("receipt histories hold legal moves only and end where the receipt stands", """
        select 'receipt ' || r.number from receipt r join lateral (
          select id, from_status, to_status, lag(to_status) over (order by id) as before,
                 row_number() over (order by id desc) as from_end from receipt_event where receipt_id = r.id) e on true
        where e.from_status is distinct from e.before or (e.from_end = 1 and e.to_status <> r.status)
           or (e.from_status is null and e.to_status <> 'pending')
           or (e.from_status is not null and (e.from_status, e.to_status) not in
               (('pending', 'paid'), ('pending', 'void'), ('paid', 'refunded'), ('refunded', 'paid'), ('paid', 'pending')))"""),
    Invariant("numbers of receipts and documents have no gap", """
        select s.series || '-' || s.year from document_series s left join (
          select series, year, sequence from receipt union select series, year, sequence from document) r
          on r.series = s.series and r.year = s.year
        group by s.series, s.year, s.last having count(r.sequence) <> s.last or coalesce(max(r.sequence), 0) <> s.last"""),
    Invariant("a line of a bank statement that was applied is the money of its payment", """
        select 'bank line ' || l.id from bank_line l left join payment p on p.id = l.payment_id
        where l.state = 'applied' and (p.provider, p.money_ref, p.received_micro, p.currency) is distinct from
              ('bank_qr', 'line_' || l.id, l.amount_micro, l.currency)"""),
    Invariant("money from a bank stands on its statement", """
        select 'payment ' || p.reference from payment p left join bank_line l on l.payment_id = p.id
        where p.provider = 'bank_qr' and p.received_micro > 0 and l.id is null"""),
    Invariant("a document says the total of what it is about", """
        select 'document ' || d.number from document d
        left join receipt r on d.kind = 'receipt' and d.subject = r.id
        left join payment p on d.kind = 'payment_receipt' and d.subject = p.id
        left join refund f on d.kind in ('credit_note', 'debit_note') and d.subject = f.id
        where (d.kind = 'receipt' and (d.number, d.total_micro, d.currency, d.payer) is distinct from
               (r.number, r.total_micro, r.currency, r.payer))
           or (d.kind = 'payment_receipt' and (d.total_micro, d.currency) is distinct from (p.received_micro, p.currency))
           or (d.kind in ('credit_note', 'debit_note') and (d.total_micro, d.currency) is distinct from (f.amount_micro, f.currency))"""),
    Invariant("a credit note whose refund failed is taken back by a debit note, or is about to be; no other is", """
        select 'document ' || c.number from document c join refund f on f.id = c.subject
        left join document d on d.kind = 'debit_note' and d.subject = c.subject
        where c.kind = 'credit_note' and case f.status when 'failed' then d.id is null and not exists (
            select 1 from outbox o where o.kind = 'document.issue' and o.key = 'debit_note:' || f.id and o.state <> 'done')
          else d.id is not null end"""),
    Invariant("charges are the sum of their meters", """
        select run_key from usage_record
        where cost_micro <> cpu_micro + gpu_micro + mem_micro + extra_micro + rounding_micro or cost_micro < 0"""),
    Invariant("what has not ended costs nothing and is not billed", """
        select run_key from usage_record where not ended and (cost_micro <> 0 or billed_micro is not null)"""),
    Invariant("an unbilled job is priced by the card of its project, else its tier, that was valid when it ended", """
        select u.run_key from usage_record u where u.ended and u.billed_micro is null and u.rate_card is distinct from (
          select c.name from rate_card c where (c.project = u.account_name or c.tier = u.tier) and c.valid_from <= u.end_at
          order by c.tier nulls first, c.valid_from desc, c.version desc limit 1)"""),
    Invariant("an unbilled job is priced at its payer's tier", """
        select u.run_key from usage_record u join payer p on p.name = u.payer where u.billed_micro is null and u.tier <> p.tier"""),
    Invariant("every job has its payer", """
        select u.run_key from usage_record u left join payer p on p.name = u.payer where p.name is null"""),
    Invariant("the same run is kept once", """
        select min(run_key) from usage_record where sluid is null group by cluster, job_id_raw, submit_at having count(*) > 1"""),
    Invariant("audit entries are numbered without gaps up to the head", """
        select 'head at ' || h.id || ', ' || count(e.id) || ' entries up to ' || coalesce(max(e.id), 0)
        from audit_head h left join audit_entry e on true group by h.id, h.hash
        having count(e.id) <> h.id or coalesce(max(e.id), 0) <> h.id"""),
    *(Invariant(name, sql) for promises in (refund_invariants.PROMISES, node_invariants.PROMISES) for name, sql in promises.items()),
)


def violations(tx: PostgresTransaction, invariant: Invariant, most: int = 20) -> tuple[int, list[str]]:
    """How often `invariant` is broken, and the first `most` places."""
    rows = tx.connection.execute(sa.text(f"select cast(v.what as text) from ({invariant.sql}) v(what)")).scalars().all()  # noqa: S608
    return len(rows), [str(row) for row in rows[:most]]
