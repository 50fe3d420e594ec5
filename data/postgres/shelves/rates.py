"""The rate book's table: cards are added, never changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf
from engine.rates import Policy, RateCard, Rounding


class RateShelf(Shelf):
    """Published cards."""

    def book(self) -> list[RateCard]:
        """Every published card, by tier and version."""
        return [_card(row) for row in self.rows("select * from rate_card order by tier, version")]

    def lock(self) -> None:
        """Hold the book until the transaction ends: cards are published one by one."""
        self.execute("lock table rate_card in share row exclusive mode")

    def hold(self) -> None:
        """Keep the book as it is until the transaction ends: nobody publishes meanwhile. Taken before any other lock."""
        self.execute("lock table rate_card in share mode")

    def publish(self, card: RateCard, by: str) -> None:
        """Add `card`, which has its version."""
        self.execute(
            "insert into rate_card (name, tier, version, currency, valid_from, policy, rounding, cpu_micro_per_core_hour,"
            " gpu_micro_per_gpu_hour, mem_micro_per_gib_hour, note, published_by) values (:name, :tier, :version, :currency,"
            " :valid_from, :policy, :rounding, :cpu, :gpu, :mem, :note, :by)",
            name=card.name, tier=card.tier, version=card.version, currency=card.currency, valid_from=card.valid_from,
            policy=str(card.policy), rounding=str(card.rounding), cpu=card.cpu_micro_per_core_hour,
            gpu=card.gpu_micro_per_gpu_hour, mem=card.mem_micro_per_gib_hour, note=card.note, by=by)

    def last_billed_end(self, tier: str) -> datetime | None:
        """When the last job of `tier` that stands on a live receipt ended."""
        row = self.one("select max(end_at) as last from usage_record where tier = :tier and billed_micro is not null", tier=tier)
        return row.last if row else None


def _card(row: sa.Row[Any]) -> RateCard:
    return RateCard(row.tier, row.version, row.currency, row.valid_from, Policy(row.policy), Rounding(row.rounding),
                    row.cpu_micro_per_core_hour, row.gpu_micro_per_gpu_hour, row.mem_micro_per_gib_hour, row.note)
