"""Who is billed, and at which tier."""

from __future__ import annotations

from collections.abc import Collection

from data.postgres.shelves.shelf import Shelf
from engine.payers import Payer


class PayerShelf(Shelf):
    """Payers and the tiers there are."""

    def ensure(self, names: Collection[str], tier: str) -> int:
        """Make payers that are not there yet, at `tier`; how many were new."""
        return self.execute("insert into payer (name, tier) select distinct name, :tier from unnest(cast(:names as text[])) as name"
                            " order by name on conflict do nothing", names=sorted(names), tier=tier)

    def all(self) -> list[Payer]:
        """Every payer by name."""
        return [Payer(row.name, row.tier) for row in self.rows("select name, tier from payer order by name")]

    def lock(self, name: str) -> Payer | None:
        """The payer, locked until the transaction ends: receipts and tier changes of one payer come one by one."""
        row = self.one("select name, tier from payer where name = :name for update", name=name)
        return Payer(row.name, row.tier) if row else None

    def set_tier(self, name: str, tier: str) -> None:
        """Give the payer another tier."""
        self.execute("update payer set tier = :tier where name = :name", name=name, tier=tier)

    def tiers(self) -> list[str]:
        """The tiers there are."""
        return [row.name for row in self.rows("select name from tier order by name")]

    def ensure_tier(self, name: str) -> None:
        """Make a tier that is not there yet."""
        self.execute("insert into tier values (:name) on conflict do nothing", name=name)
