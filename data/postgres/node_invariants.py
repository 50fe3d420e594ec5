"""What must always hold of nodes, allocations and their charges: by name, the SQL whose rows break it."""

from __future__ import annotations

_MOVES = """select '{noun}' || ' ' || subject || ': ' || coalesce(from_state, 'nothing') || ' to ' || to_state from (
          select e.{noun}_id as subject, e.from_state, e.to_state, r.state,
                 lag(e.to_state) over w as before, row_number() over (partition by e.{noun}_id order by e.id desc) as from_end
          from {noun}_event e join {noun} r on r.id = e.{noun}_id window w as (partition by e.{noun}_id order by e.id)) e
        where e.from_state is distinct from e.before or (e.from_end = 1 and e.to_state <> e.state)
           or (e.from_state is null) <> (e.before is null)
           or (e.from_state is not null and (e.from_state, e.to_state) not in ({legal}))"""

PROMISES = {
    "charges of an allocation join without gap or overlap, from its beginning to where it is charged": """
        select 'allocation ' || a.id || ' from ' || c.starts_at from allocation a join (
          select allocation_id, starts_at, ends_at, lag(ends_at) over w as before, lead(starts_at) over w as after
          from allocation_charge window w as (partition by allocation_id order by starts_at)) c on c.allocation_id = a.id
        where c.starts_at <> coalesce(c.before, a.active_at) or (c.after is null and c.ends_at is distinct from a.charged_to)
        union all select 'allocation ' || id from allocation a where charged_to > active_at
          and not exists (select 1 from allocation_charge c where c.allocation_id = a.id)""",
    "an allocation was charged what its seconds cost, rounded down once": """
        select 'allocation ' || a.id || ' was charged ' || coalesce(c.micro, 0) || ' for ' || coalesce(c.seconds, 0) || ' s'
        from allocation a left join (select allocation_id, sum(amount_micro) as micro, sum(billed_seconds) as seconds
                                     from allocation_charge group by 1) c on c.allocation_id = a.id
        where (a.charged_micro, a.billed_seconds) <> (coalesce(c.micro, 0), coalesce(c.seconds, 0))
           or a.charged_micro <> div(a.billed_seconds::numeric * a.price_micro_per_hour, 3600)""",
    "a charge is posted once as it is, and no other is": """
        select 'charge ' || coalesce(c.key, e.key) || ' of ' || coalesce(c.micro, 0) || ' posted ' || coalesce(e.micro, 0) from (
          select 'charge:' || allocation_id || ':' || extract(epoch from starts_at)::bigint as key, amount_micro as micro, a.wallet
          from allocation_charge join allocation a on a.id = allocation_id where amount_micro > 0) c
        full join (select key, sum(amount_micro) as micro, min(owner) as wallet from ledger_movement
                   where kind = 'wallet' and key like 'charge:%' group by key) e on e.key = c.key
        where (c.micro, c.wallet) is distinct from (e.micro, e.wallet)""",
    "a node has one live allocation at most": """
        select 'node ' || node_id from allocation where state not in ('released', 'failed') group by node_id having count(*) > 1""",
    "what an allocation became follows its history": _MOVES.format(noun="allocation", legal="""
          ('requested', 'provisioning'), ('requested', 'failed'), ('requested', 'stopping'),
          ('provisioning', 'active'), ('provisioning', 'failed'), ('provisioning', 'stopping'),
          ('active', 'suspended'), ('active', 'stopping'), ('suspended', 'active'), ('suspended', 'stopping'),
          ('stopping', 'released'), ('stopping', 'cleanup_failed'), ('cleanup_failed', 'released'), ('cleanup_failed', 'stopping')"""),
    "what a node became follows its history": _MOVES.format(noun="node", legal="""
          ('available', 'draining'), ('available', 'maintenance'), ('available', 'quarantined'), ('available', 'retired'),
          ('draining', 'available'), ('draining', 'maintenance'), ('draining', 'quarantined'), ('draining', 'retired'),
          ('maintenance', 'available'), ('maintenance', 'quarantined'), ('maintenance', 'retired'),
          ('quarantined', 'maintenance'), ('quarantined', 'retired')"""),
    "usage of an allocation is what it was charged, kept once": """
        select 'allocation ' || coalesce(a.id, u.job_id) from (select * from allocation where usage_run is not null) a
        full join (select * from usage_record where settled) u on u.job_id = a.id
        where (a.charged_micro, a.billed_seconds, a.currency) is distinct from (u.cost_micro, u.elapsed_seconds, u.currency)
        union all select 'allocation ' || job_id from usage_record where settled group by job_id having count(*) > 1""",
    "an allocation that is to be set up or cleaned has its job": """
        select 'allocation ' || a.id || ' is ' || a.state from allocation a
        where (a.state in ('requested', 'provisioning') and not exists (
                 select 1 from outbox o where o.kind = 'node.provision' and o.key ^@ a.id and o.state <> 'done'))
           or (a.state in ('stopping', 'cleanup_failed') and not exists (
                 select 1 from outbox o where o.kind = 'node.release' and o.key ^@ a.id and o.state <> 'done'))""",
}
