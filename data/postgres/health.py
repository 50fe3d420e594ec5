"""How the store is: what counts as an outage, whether it may be worked with, and the figures that operators watch."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from data.postgres.schema import current, newest
from data.postgres.store import Store

# The database does not answer or broke off; the work was not done and may be tried again.
OUTAGE: tuple[type[Exception], ...] = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)
# The same, or it refused: the tables may not be made yet.
TROUBLE: tuple[type[Exception], ...] = (sa.exc.DBAPIError, sa.exc.TimeoutError)


@dataclass(frozen=True, slots=True)
class Figures:
    """What is worth an alarm. `usage_age_seconds` is None before the first usage; `unapplied_micro` by (provider, currency);
    nodes and live allocations by their state; `allocations_behind_seconds` is how far the active one that is furthest behind is charged."""

    inbox_waiting: int
    inbox_failed: int
    inbox_oldest_seconds: float
    outbox_waiting: int
    outbox_dead: int
    outbox_oldest_seconds: float
    usage_age_seconds: float | None
    unapplied_micro: dict[tuple[str, str], int]
    sign_in_failures: int
    sign_in_locked: int
    nodes: dict[str, int]
    nodes_out_of_reach: int
    allocations: dict[str, int]
    allocations_behind_seconds: float


def reasons(store: Store) -> list[str]:
    """Why nothing should be sent here, in plain words; empty when all is well."""
    try:
        found = current(store.engine)
    except TROUBLE as error:
        return [f"the database does not answer: {str(getattr(error, 'orig', error)).splitlines()[0][:200]}"]
    if found != newest():
        return [f"the tables are at {found or 'nothing'}, this code needs {newest()}: run ./corehours migrate"]
    return []


def figures(store: Store) -> Figures:
    """The figures of one instant."""
    with store.engine.connect() as connection:
        row = connection.execute(sa.text(_FIGURES)).one()
        kept = connection.execute(sa.text("select owner, currency, side * balance_micro from ledger_account"
                                          " where kind = 'unapplied'")).all()
        nodes = connection.execute(sa.text("select state, count(*) from node where state <> 'retired' group by 1")).all()
        held = connection.execute(sa.text("select state, count(*) from allocation where state not in ('released', 'failed')"
                                          " group by 1")).all()
    return Figures(row.waiting, row.failed, float(row.oldest or 0), row.jobs, row.dead, float(row.oldest_job or 0),
                   None if row.usage_age is None else float(row.usage_age),
                   {(owner, currency): int(micro) for owner, currency, micro in kept}, row.failures, row.locked,
                   {state: int(count) for state, count in nodes}, row.away, {state: int(count) for state, count in held}, float(row.behind))


_FIGURES = """
select count(*) filter (where state in ('received', 'processing')) as waiting,
       count(*) filter (where state = 'failed') as failed,
       max(extract(epoch from clock_timestamp() - received_at)) filter (where state in ('received', 'processing')) as oldest,
       (select count(*) from outbox where state in ('queued', 'working')) as jobs,
       (select count(*) from outbox where state = 'dead') as dead,
       (select max(extract(epoch from clock_timestamp() - created_at)) from outbox where state in ('queued', 'working')) as oldest_job,
       (select extract(epoch from clock_timestamp()
          - coalesce(min(complete_to) filter (where source <> 'file'), min(complete_to)))
        from ingest_watermark) as usage_age,
       (select coalesce(sum(cardinality(tried_at)), 0) from sign_in_throttle) as failures,
       (select count(*) from node_watch w join node n on n.id = w.node_id where missed >= 2 and state <> 'retired') as away,
       (select coalesce(max(extract(epoch from site_now() - charged_to)), 0) from allocation where state = 'active') as behind,
       (select count(*) from sign_in_throttle where locked_until > clock_timestamp()) as locked
from webhook_inbox
"""
