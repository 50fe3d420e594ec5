"""What a quote is set beside: a payer's unbilled usage, and the accounts they compute in."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from data.postgres.frames import frame
from data.postgres.shelves.shelf import Shelf
from engine.quotes import RATED
from engine.usage import USAGE_SCHEMA

INSTANTS = ("submit_at", "start_at", "end_at")


class QuoteShelf(Shelf):
    """Reads for quotes."""

    def unbilled_micro(self, payer: str, since: datetime) -> dict[str, int]:
        """Micro-units by currency of what ended at or after `since` and is on no receipt, or not at its present price."""
        return {row.currency.strip(): row.micro for row in self.rows(
            "select currency, cast(sum(cost_micro - coalesce(billed_micro, 0)) as bigint) as micro from usage_record"
            " where payer = :payer and ended and end_at >= :since and (billed_micro is null or billed_micro <> cost_micro)"
            " group by currency", payer=payer, since=since)}

    def accounts(self, payer: str) -> list[str]:
        """The Slurm accounts this payer's jobs ran in, by name."""
        return [row.account_name for row in self.rows(
            "select distinct account_name from usage_record where payer = :payer and account_name <> '' order by 1", payer=payer)]

    def runs(self, payer: str, since: datetime) -> pl.DataFrame:
        """What this payer's runs used that ended at or after `since`: the columns RATED, instants as Unix seconds."""
        columns = ", ".join(f"cast(extract(epoch from {name}) as bigint)" if name in INSTANTS else name for name in RATED)
        schema = {name: USAGE_SCHEMA.get(name, pl.String()) for name in RATED}
        return frame(self.connection, f"select {columns} from usage_record"  # noqa: S608  names of columns only
                     " where payer = :payer and ended and end_at >= :since", schema, payer=payer, since=since)
