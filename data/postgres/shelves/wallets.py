"""Wallets: what they hold, their movements, who shares a project's, what is frozen, and changes by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from data.postgres.frames import frame
from data.postgres.shelves.shelf import Shelf
from engine.wallets import PROJECT, Adjustment, AdjustmentStatus, ProjectWallet, Wallet

STATEMENT_SCHEMA: dict[str, pl.DataType] = {
    "id": pl.Int64(), "at": pl.Datetime("us", "UTC"), "key": pl.String(), "memo": pl.String(), "actor": pl.String(),
    "moved_micro": pl.Int64(), "balance_micro": pl.Int64(), "currency": pl.String(),
}
# Charges of a node come every minute: here an allocation has a line a day of the site's calendar, with the balance after the last.
_STATEMENT = """
with moved as (
  select *, case when key like 'charge:%' then split_part(key, ':', 2) end as allocation,
         case when key like 'charge:%'
           then cast(to_timestamp(cast(split_part(key, ':', 3) as bigint)) at time zone :zone as date) end as day
  from ledger_movement where kind = 'wallet' and owner = :owner and currency = :currency)
select id, at, key, memo, actor, moved_micro, balance_after_micro, currency from moved where allocation is null
union all
select max(m.id) as id, max(m.at), 'charge:' || m.allocation || ':' || m.day, n.name || ' on ' || m.day, u.name,
       cast(sum(m.moved_micro) as bigint), (array_agg(m.balance_after_micro order by m.id desc))[1], m.currency
from moved m join allocation a on a.id = m.allocation join node n on n.id = a.node_id join app_user u on u.id = a.user_id
group by m.allocation, m.day, m.currency, n.name, u.name
order by id desc"""
_WALLETS = """
select a.owner, a.currency, a.side * a.balance_micro as balance,
       (select coalesce(sum(amount_micro), 0) from wallet_freeze f
        where f.owner = a.owner and f.currency = a.currency and lifted_at is null) as frozen
from ledger_account a where a.kind = 'wallet'"""
_PROJECTS = """
select w.project, o.name as owner, array_remove(array_agg(m.name order by m.name), null) as members from project_wallet w
join app_user o on o.id = w.owner_id left join project_wallet_member pm on pm.project = w.project
left join app_user m on m.id = pm.user_id and m.id <> w.owner_id"""


class WalletShelf(Shelf):
    """Wallets by owner and currency."""

    def get(self, owner: str, currency: str) -> Wallet:
        """What it holds; nothing when it was never used. Lock its account first (LedgerShelf.lock) when that decides something."""
        row = self.one(f"{_WALLETS} and a.owner = :owner and a.currency = :currency", owner=owner, currency=currency)
        return _wallet(row) if row else Wallet(owner, currency, 0)

    def of(self, owner: str) -> list[Wallet]:
        """What the owner's wallet holds, a currency each."""
        return [_wallet(row) for row in self.rows(f"{_WALLETS} and a.owner = :owner order by a.currency", owner=owner)]

    def all(self) -> list[Wallet]:
        """Every wallet that was ever used, by owner."""
        return [_wallet(row) for row in self.rows(f"{_WALLETS} order by a.owner, a.currency")]

    def currencies(self, owner: str, at: datetime, tier: str, site: str) -> list[str]:
        """The currencies the wallet takes: that of its payer's card (a payer that is not known yet is of `tier`; where no card
        is valid, and for a project, the site's), then those it holds."""
        row = self.one("select currency from rate_card where valid_from <= :at and not starts_with(:owner, :project)"
                       " and tier = coalesce((select tier from payer where name = :owner), :tier)"
                       " order by valid_from desc, version desc limit 1", at=at, owner=owner, tier=tier, project=PROJECT)
        return list(dict.fromkeys([row.currency if row else site, *(one.currency for one in self.of(owner) if one.balance_micro)]))

    def known(self, owner: str) -> bool:
        """True when somebody is billed or signs in under that name, or a project has that wallet."""
        row = self.one("select exists (select 1 from payer where name = :owner) or exists (select 1 from app_user where payer = :owner)"
                       " or exists (select 1 from project_wallet where :project || project = :owner) as known",
                       owner=owner, project=PROJECT)
        return bool(row and row.known)

    def statement(self, owner: str, currency: str, zone: str = "UTC") -> pl.DataFrame:
        """Every movement with the balance after it, the newest first (STATEMENT_SCHEMA); what a node was charged is summed by
        allocation and day in that zone, under the key charge:ALLOCATION:DAY, and `actor` is who holds it."""
        return frame(self.connection, _STATEMENT, STATEMENT_SCHEMA, owner=owner, currency=currency, zone=zone)

    def add_project(self, project: str, owner_id: int, by: str) -> bool:
        """Give a project a wallet; False when it has one."""
        return self.execute("insert into project_wallet (project, owner_id, created_by) values (:project, :owner, :by)"
                            " on conflict do nothing", project=project, owner=owner_id, by=by) == 1

    def project(self, project: str) -> ProjectWallet | None:
        """The project's wallet with its people."""
        return _project(self.one(f"{_PROJECTS} where w.project = :project group by 1, 2", project=project))

    def projects(self) -> list[ProjectWallet]:
        """Every project's wallet by name."""
        return [found for row in self.rows(f"{_PROJECTS} group by 1, 2 order by 1") if (found := _project(row))]

    def shared_with(self, user_id: int) -> list[str]:
        """The projects whose wallet that person owns or shares."""
        return [row.project for row in self.rows(
            "select project from project_wallet where owner_id = :user union select project from project_wallet_member"
            " where user_id = :user order by 1", user=user_id)]

    def shared_by_payer(self, payer: str) -> list[str]:
        """The projects whose wallet somebody shares whose receipts are `payer`'s."""
        return [row.project for row in self.rows(
            "select w.project from project_wallet w left join project_wallet_member m on m.project = w.project"
            " join app_user u on u.id in (w.owner_id, m.user_id) where u.payer = :payer group by 1 order by 1", payer=payer)]

    def add_member(self, project: str, user_id: int) -> bool:
        """Let a person share the project's wallet; False when they do."""
        return self.execute("insert into project_wallet_member (project, user_id) values (:project, :user) on conflict do nothing",
                            project=project, user=user_id) == 1

    def remove_member(self, project: str, user_id: int) -> bool:
        """Let a person share it no more; False when they did not."""
        return self.execute("delete from project_wallet_member where project = :project and user_id = :user",
                            project=project, user=user_id) == 1

    def add_adjustment(self, adjustment: Adjustment) -> bool:
        """Write a new one; False when its id is there already."""
        names = Adjustment.__slots__
        return self.execute(f"insert into adjustment_request ({', '.join(names)})"  # noqa: S608
                            f" values ({', '.join(':' + name for name in names)}) on conflict (id) do nothing",
                            **{name: getattr(adjustment, name) for name in names} | {"status": str(adjustment.status)}) == 1

    def adjustment(self, id: str) -> Adjustment | None:
        """The one with that id, locked."""
        return _adjustment(self.one("select * from adjustment_request where id = :id for update", id=id))

    def adjustments(self, status: str | None = None, most: int = 200) -> list[Adjustment]:
        """The newest, in one state when it is named."""
        rows = self.rows("select * from adjustment_request where cast(:status as text) is null or status = :status"
                         " order by requested_at desc, id limit :most", status=status, most=most)
        return [found for row in rows if (found := _adjustment(row))]

    def decide_adjustment(self, adjustment: Adjustment) -> None:
        """Write the decision that `adjustment` now holds."""
        self.execute("update adjustment_request set status = :status, decided_by = :by, decided_at = :at, decision = :decision"
                     " where id = :id", id=adjustment.id, status=str(adjustment.status), by=adjustment.decided_by,
                     at=adjustment.decided_at, decision=adjustment.decision)

    def adjusted_lately_micro(self, wallet: Wallet, by: str, since: datetime) -> int:
        """What `by` changed here alone since then, added up without signs."""
        row = self.one("select coalesce(sum(abs(amount_micro)), 0) as micro from adjustment_request where wallet = :owner"
                       " and currency = :currency and requested_by = :by and requested_at > :since and not needs_second",
                       owner=wallet.owner, currency=wallet.currency, by=by, since=since)
        return int(row.micro) if row else 0


def _wallet(row: sa.Row[Any]) -> Wallet:
    return Wallet(row.owner, row.currency, int(row.balance), int(row.frozen))


def _project(row: sa.Row[Any] | None) -> ProjectWallet | None:
    return ProjectWallet(row.project, row.owner, (row.owner, *row.members)) if row else None


def _adjustment(row: sa.Row[Any] | None) -> Adjustment | None:
    if row is None:
        return None
    values: dict[str, Any] = {name: getattr(row, name) for name in Adjustment.__slots__}
    return Adjustment(**values | {"status": AdjustmentStatus(row.status)})
