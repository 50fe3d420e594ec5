"""The analytics copy."""

from __future__ import annotations

import polars as pl
import sqlalchemy as sa

from data.settings import Settings


class Lake:
    """The copy (to come)."""

    def __init__(self, engine: sa.Engine, settings: Settings) -> None:
        self.engine, self.settings = engine, settings

    def append(self, batch_id: int, differences: pl.DataFrame) -> None:
        """Append."""
