"""Charging what runs, many allocations a transaction, a statement a step: claim, lock the wallets, decide, write.

The sum of each step is engine.allocations' (charge_to, affordable_seconds), written as SQL; tests hold the two side by side. Lock
order: the loop (one sidecar charges at a time), allocations (but those that are about to be ended), ledger accounts in ascending id,
the audit head last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from data.postgres.shelves.ledger import LedgerShelf
from data.postgres.shelves.shelf import Shelf
from engine.allocations import METER, RUNWAY_SECONDS, Runway
from engine.billing import BillingRun, Ended, LoopState, Warned
from engine.ledger import Kind, LedgerName

# Made once a connection and emptied with each transaction: a turn would else make and drop them, and plan everything anew.
_TABLES = """
create temp table if not exists billing_due (
  id varchar(30), currency char(3), wallet_account bigint, income_account bigint, price bigint, charged_to timestamptz,
  billed_seconds bigint, charged_micro bigint, seconds bigint) on commit delete rows;
create temp table if not exists billing_account (
  id bigint, currency char(3), side smallint, balance_micro bigint, version bigint) on commit delete rows;
create temp table if not exists billing_charge (
  id varchar(30), currency char(3), wallet_account bigint, income_account bigint, charged_to timestamptz, paid_seconds bigint,
  short boolean, amount bigint, transaction_id bigint) on commit delete rows"""
# Up to when an allocation's time may be charged: now, its agreed end, the last answer of its node if anybody ever looked for one.
_UNTIL = "least((select site_now()), until_at, case when w.node_id is not null then coalesce(w.answered_at, '-infinity') end)"
_DUE = f"state = 'active' and charged_to + interval_seconds * interval '1 second' <= {_UNTIL}"
_CLAIM = f"""
with due as materialized (
  select id, wallet, currency, price_micro_per_hour as price, interval_seconds, charged_to, active_at, billed_seconds, charged_micro,
         {_UNTIL} as until
  from allocation a left join node_watch w using (node_id) where id > :after and {_DUE}
  order by id limit :most for update of a skip locked),
claimed as (
  insert into billing_due
  select d.id, d.currency, w.id as wallet_account, i.id as income_account, price, charged_to, billed_seconds,
         charged_micro, floor(date_part('epoch', until - active_at) / interval_seconds)::bigint * interval_seconds
           - date_part('epoch', charged_to - active_at)::bigint as seconds
  from due d left join ledger_account w on (w.kind, w.owner, w.currency) = ('wallet', d.wallet, d.currency)
  left join ledger_account i on (i.kind, i.owner, i.currency) = ('income', :meter, d.currency)
  returning id, seconds, wallet_account, income_account)
select count(*) as found, coalesce(max(id), '') as last, coalesce(max(seconds), 0) as seconds,
       count(*) filter (where wallet_account is null or income_account is null) as nameless from claimed"""  # noqa: S608
_ACCOUNTS = ("select distinct 'wallet' as kind, a.wallet as owner, a.currency from billing_due d join allocation a on a.id = d.id"
             " union all select distinct 'income', cast(:meter as text), currency from billing_due")
_LOCK_ACCOUNTS = """
insert into billing_account
select id, currency, side, balance_micro, version from ledger_account
where id in (select wallet_account from billing_due union select income_account from billing_due) order by id for update"""
# What all before it in its wallet cost is gone; the rest pays for it, or for as many of its seconds as it can.
_DECIDE = """
with frozen as (
  select a.id, sum(f.amount_micro) as micro from wallet_freeze f
  join ledger_account a on (a.kind, a.owner, a.currency) = ('wallet', f.owner, f.currency) where lifted_at is null group by 1),
priced as (
  select d.*, w.side * w.balance_micro - coalesce(f.micro, 0)::bigint as available,
         (billed_seconds + seconds) * (price / 3600) + (billed_seconds + seconds) * (price % 3600) / 3600 - charged_micro as full_micro
  from billing_due d join billing_account w on w.id = d.wallet_account left join frozen f on f.id = d.wallet_account),
left_over as (
  select *, greatest(0, available - (micro_sum(full_micro) over (partition by wallet_account order by id) - full_micro)) as left_micro
  from priced),
paid as (
  select *, full_micro > left_micro as short, case when full_micro <= left_micro then seconds
      else greatest(0, least(seconds, div((charged_micro + left_micro + 1)::numeric * 3600 - 1, nullif(price, 0))::bigint - billed_seconds))
      end as paid_seconds
  from left_over),
costed as (
  select *, (billed_seconds + paid_seconds) * (price / 3600) + (billed_seconds + paid_seconds) * (price % 3600) / 3600 - charged_micro
      as amount from paid),
decided as (
  insert into billing_charge
  select id, currency, wallet_account, income_account, charged_to, paid_seconds, short, amount,
         case when amount > 0 then nextval('ledger_transaction_id_seq') end
  from (select * from costed order by id) in_order returning currency, amount, short)
select currency, micro_sum(amount) as micro, bool_or(short) as short from decided group by 1"""
# From here on in the order in which they were decided: by id.
_CHARGE = """
insert into allocation_charge (allocation_id, starts_at, ends_at, billed_seconds, amount_micro, run_id)
select id, charged_to, charged_to + paid_seconds * interval '1 second', paid_seconds, amount, :run
from billing_charge where paid_seconds > 0"""
_POSTED = """
select transaction_id, 'charge:' || id || ':' || date_part('epoch', charged_to)::bigint as key, '' as memo
from billing_charge where amount > 0"""
_ENTRIES = """
select transaction_id, account, amount_micro from billing_charge
cross join lateral (values (wallet_account, amount), (income_account, -amount)) entry(account, amount_micro) where amount > 0"""
_STOP = """
with ended as (
  update allocation a set state = 'stopping', reason = :reason, stopped_at = a.charged_to
  where a.id = any(array(select cast(id as text) from billing_charge where short))      -- few of many: each is looked up
  returning a.id, a.user_id, a.node_id, a.wallet, a.currency, a.charged_micro),
told as (
  insert into allocation_event (allocation_id, from_state, to_state, actor, reason)
  select id, 'active', 'stopping', :actor, :reason from ended)
select e.id, e.user_id, n.name as node, e.wallet, e.currency, e.charged_micro from ended e join node n on n.id = e.node_id order by e.id"""
_LEVELS = " ".join(f"when available * 3600 < {seconds} * burn then {int(level)}" for level, seconds in RUNWAY_SECONDS.items())
# Wallets that are lower than when people were last told, and whose holders are told now.
_WARN = f"""
with burnt as (
  select wallet, currency, sum(price_micro_per_hour) as burn from allocation where state = 'active' group by wallet, currency),
frozen as (select owner, currency, sum(amount_micro) as micro from wallet_freeze where lifted_at is null group by 1, 2),
held as (
  select b.*, coalesce(a.side * a.balance_micro, 0) - coalesce(f.micro, 0) as available from burnt b
  left join ledger_account a on (a.kind, a.owner, a.currency) = ('wallet', b.wallet, b.currency)
  left join frozen f on (f.owner, f.currency) = (b.wallet, b.currency)),
levelled as (select *, case {_LEVELS} else 0 end as level from held where burn > 0),
rested as (
  delete from runway_warning w using levelled l where (w.wallet, w.currency) = (l.wallet, l.currency) and l.level = 0),
risen as (
  update runway_warning w set level = l.level, at = site_now() from levelled l
  where (w.wallet, w.currency) = (l.wallet, l.currency) and l.level between 1 and w.level - 1),
fallen as (
  insert into runway_warning (wallet, currency, level)
  select l.wallet, l.currency, l.level from levelled l left join runway_warning w on (w.wallet, w.currency) = (l.wallet, l.currency)
  where l.level > coalesce(w.level, 0) order by 1, 2
  on conflict (wallet, currency) do update set level = excluded.level, at = excluded.at where runway_warning.level < excluded.level
  returning wallet, currency, level)
select wallet, currency, f.level, available, burn, array_agg(distinct user_id order by user_id) as user_ids
from fallen f join levelled l using (wallet, currency) join allocation a using (wallet, currency) where a.state = 'active'
group by 1, 2, 3, 4, 5 order by 1, 2"""  # noqa: S608
_BEAT = f"""
with beat as (update billing_loop set beat_at = site_now() where stopped_at is null)
insert into billing_run (by) select :by where exists (select from allocation left join node_watch w using (node_id) where {_DUE})
returning id"""  # noqa: S608
_RUN = "id, started_at, ended_at, by, batches, allocations, depleted, warned, totals, lag_seconds"
_RUNS = f"select {_RUN} from billing_run order by id desc"  # noqa: S608
_END_RUN = ("update billing_run set ended_at = clock_timestamp(), batches = :batches, allocations = :allocations, depleted = :depleted,"
            " warned = :warned, totals = cast(:totals as jsonb), lag_seconds = :lag where id = :id")


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a transaction has in hand: how many allocations, the last of them, and how far the furthest behind is."""

    allocations: int
    last: str
    lag_seconds: int


@dataclass(frozen=True, slots=True)
class Decided:
    """What the claimed ones cost: micro-units by currency, and whether any wallet could not pay in full."""

    totals: Mapping[str, int]
    short: bool


class BillingShelf(Shelf):
    """The steps of a batch, in their order; the loop's state and its runs."""

    def __init__(self, connection: sa.Connection, actor: str, ledger: LedgerShelf) -> None:
        super().__init__(connection)
        self.actor, self.ledger = actor, ledger

    def claim(self, most: int, after: str) -> Claimed:
        """Take up to `most` allocations with ids above `after` that are due and that nobody has in hand."""
        self.execute(_TABLES)
        row = self._claim(most, after)
        if row.nameless:                # a first charge of its wallet, or of its currency
            self.ledger.lock([LedgerName(Kind(row.kind), row.owner, row.currency) for row in self.rows(_ACCOUNTS, meter=METER)])
            self.execute("delete from billing_due")
            row = self._claim(most, after)
        return Claimed(int(row.found), row.last, int(row.seconds))

    def _claim(self, most: int, after: str) -> sa.Row[Any]:
        row = self.one(_CLAIM, most=most, after=after, meter=METER)
        assert row is not None
        return row

    def decide(self) -> Decided:
        """Lock the wallets of what was claimed, and reckon what each pays."""
        self.execute(_LOCK_ACCOUNTS)
        totals = self.rows(_DECIDE)
        return Decided({row.currency: int(row.micro) for row in totals}, any(row.short for row in totals))

    def write(self, run_id: int) -> None:
        """Write charges and postings."""
        self.execute(_CHARGE, run=run_id)
        self.ledger.post_numbered(_POSTED, _ENTRIES, "billing_account")

    def stop_depleted(self, reason: str) -> list[Ended]:
        """Those that their wallet could not pay in full are over, at the last second that was paid."""
        return [Ended(**row._mapping) for row in self.rows(_STOP, actor=self.actor, reason=reason)]

    def warn(self) -> list[Warned]:
        """The wallets that are lower than when people were last told, with whom to tell: once a level, until it is filled above it."""
        return [Warned(row.wallet, row.currency, Runway(row.level), int(row.available), int(row.burn), tuple(row.user_ids))
                for row in self.rows(_WARN)]

    def loop(self, lock: bool = False) -> LoopState:
        """Whether charges may go on. Locked, nobody stops it and no other sidecar charges before this transaction ends."""
        row = self.one(f"select beat_at, stopped_at, reason, site_now() as at from billing_loop {'for update' if lock else ''}")  # noqa: S608
        assert row is not None
        return LoopState(**row._mapping)

    def beat(self, by: str) -> int:
        """A turn of the loop by that sidecar; the number of a new run where there is something to charge, else 0."""
        row = self.one(_BEAT, by=by)
        return int(row.id) if row else 0

    def stop_loop(self, at: datetime, reason: str) -> bool:
        """Stop it everywhere; False when it was stopped already."""
        return self.execute("update billing_loop set stopped_at = :at, reason = :reason where stopped_at is null",
                            at=at, reason=reason) == 1

    def resume_loop(self, at: datetime) -> bool:
        """Let it go on from `at`; False when it was not stopped."""
        return self.execute("update billing_loop set stopped_at = null, reason = '', beat_at = :at where stopped_at is not null",
                            at=at) == 1

    def end_run(self, run_id: int, *, batches: int, allocations: int, depleted: int, warned: int, totals: Mapping[str, int],
                lag_seconds: int) -> BillingRun:
        """What became of it; `totals` are micro-units by currency."""
        row = self.one(f"{_END_RUN} returning {_RUN}", id=run_id, batches=batches, allocations=allocations, depleted=depleted,
                       warned=warned, totals=json.dumps(dict(totals)), lag=lag_seconds)
        assert row is not None
        return BillingRun(**row._mapping)

    def runs(self, most: int = 100) -> list[BillingRun]:
        """The last ones, the newest first."""
        return [BillingRun(**row._mapping) for row in self.rows(f"{_RUNS} limit :most", most=most)]

    def sweep(self, before: datetime) -> int:
        """Forget the runs before `before` that charged nothing."""
        return self.execute("delete from billing_run where started_at < :before and allocations = 0", before=before)
