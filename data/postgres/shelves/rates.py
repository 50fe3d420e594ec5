"""The rate book's table: cards are added, never changed."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf
from engine.rate_text import modifiers_of, prices_of, terms
from engine.rates import Policy, RateCard, Rounding


class RateShelf(Shelf):
    """Published cards."""

    def book(self) -> list[RateCard]:
        """Every published card: the tiers' by tier and version, then the projects' likewise."""
        return [_card(row) for row in self.rows("select * from rate_card order by tier nulls last, project, version")]

    def lock(self) -> None:
        """Hold the book until the transaction ends: cards are published one by one."""
        self.execute("lock table rate_card in share row exclusive mode")

    def hold(self) -> None:
        """Keep the book as it is until the transaction ends: nobody publishes meanwhile. Taken before any other lock."""
        self.execute("lock table rate_card in share mode")

    def publish(self, card: RateCard, by: str) -> None:
        """Add `card`, which has its version."""
        self.execute(
            "insert into rate_card (name, tier, project, version, currency, valid_from, policy, rounding, terms, note, published_by)"
            " values (:name, :tier, :project, :version, :currency, :valid_from, :policy, :rounding, cast(:terms as jsonb), :note, :by)",
            name=card.name, tier=card.tier or None, project=card.project or None, version=card.version, currency=card.currency,
            valid_from=card.valid_from, policy=str(card.policy), rounding=str(card.rounding), terms=json.dumps(terms(card)),
            note=card.note, by=by)

    def last_billed_end(self, tier: str = "", project: str = "") -> datetime | None:
        """When the last job that stands on a live receipt ended: of those run in `project`, else of those a card of `tier` priced."""
        row = self.one("""
            select max(u.end_at) as last from usage_record u left join rate_card c on c.name = u.rate_card
            where u.billed_micro is not null and not u.settled
              and case when :project <> '' then u.account_name = :project else u.tier = :tier and c.tier = u.tier end""",
            tier=tier, project=project)
        return row.last if row else None


def _card(row: sa.Row[Any]) -> RateCard:
    return RateCard(row.tier or "", row.version, row.currency, row.valid_from, Policy(row.policy), Rounding(row.rounding),
                    prices_of(row.terms), modifiers_of(row.terms), row.terms["commitment_micro"], row.terms["time_zone"],
                    row.project or "", row.note, row.terms["commitment_unused"])
