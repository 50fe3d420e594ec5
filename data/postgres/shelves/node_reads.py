"""What pages and commands read of nodes: loads, and charges by day. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from data.postgres.frames import frame
from data.postgres.shelves.shelf import Shelf

LOAD_SCHEMA: dict[str, pl.DataType] = {"at": pl.Datetime("us", "UTC"), "percent": pl.Float64(), "memory_mib": pl.Float64()}


@dataclass(frozen=True, slots=True)
class Load:
    """What a node's GPUs did on the average of a stretch: percent of their time, MiB of each GPU's memory."""

    percent: float | None
    memory_mib: float | None


@dataclass(frozen=True, slots=True)
class DayOfCharges:
    """What an allocation was charged for the stretches that began on one day of the site's calendar."""

    day: date
    billed_seconds: int
    unbilled_seconds: int
    micro: int
    charges: int


class NodeReadsShelf(Shelf):
    """Reads over node_sample and allocation_charge."""

    def loads(self, since: datetime) -> Mapping[str, Load]:
        """What each node's GPUs did since then, by node id."""
        return {row.node_id: Load(_float(row.percent), _float(row.memory)) for row in self.rows(
            "select node_id, avg(utilisation_percent) as percent, avg(memory_used_mib) as memory from node_sample"
            " where at >= :since group by 1", since=since)}

    def load_of(self, allocation_id: str, since: datetime, step_seconds: int) -> pl.DataFrame:
        """What an allocation's GPUs did since then, a row for each `step_seconds` in which they were looked at (LOAD_SCHEMA)."""
        return frame(self.connection, "select to_timestamp(floor(extract(epoch from at) / :step) * :step) as at,"
                     " cast(avg(utilisation_percent) as float8) as percent, cast(avg(memory_used_mib) as float8) as memory_mib"
                     " from node_sample where allocation_id = :id and at >= :since group by 1 order by 1", LOAD_SCHEMA,
                     id=allocation_id, since=since, step=step_seconds)

    def charges_by_day(self, allocation_id: str, zone: str) -> list[DayOfCharges]:
        """What it was charged day by day in that zone, the oldest first."""
        return [DayOfCharges(row.day, int(row.billed), int(row.unbilled), int(row.micro), row.charges) for row in self.rows(
            "select cast(starts_at at time zone :zone as date) as day, sum(billed_seconds) as billed,"
            " sum(extract(epoch from ends_at - starts_at) - billed_seconds) as unbilled, sum(amount_micro) as micro, count(*) as charges"
            " from allocation_charge where allocation_id = :id group by 1 order by 1", id=allocation_id, zone=zone)]

    def signature(self, user_id: int) -> str:
        """A word that changes when one of somebody's allocations changes its state, or a node becomes free, taken or another."""
        row = self.one("select md5(concat("
                       "(select string_agg(id || state, ',' order by id) from allocation where user_id = :user and"
                       " state not in ('released', 'failed')), '|',"
                       "(select string_agg(n.id || n.state || coalesce(a.id, ''), ',' order by n.id) from node n left join allocation a"
                       " on a.node_id = n.id and a.state not in ('released', 'failed')))) as word", user=user_id)
        assert row is not None
        return str(row.word)

    def attention(self) -> Sequence[str]:
        """Allocations whose node could not be cleaned, by id."""
        return [row.id for row in self.rows("select id from allocation where state = 'cleanup_failed' order by id")]


def _float(value: object) -> float | None:
    return None if value is None else float(str(value))
