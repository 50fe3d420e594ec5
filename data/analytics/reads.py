"""What pictures ask of the analytics copy: sums by day or month and by whatever else. Money on documents is read from
Postgres, never here. Every value a person gave is bound; column names come from the lists below and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import duckdb
import polars as pl
import sqlalchemy as sa

from data.analytics.lake import Lake
from data.analytics.parts import KEYS, SUMS

GROUPS = (*KEYS, "month")
_MONTH = "date_trunc('month', day)::date"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which sums: days in [since, until), and of each list those named; an empty tuple names nobody, None everybody."""

    since: date | None = None
    until: date | None = None
    payers: tuple[str, ...] | None = None
    accounts: tuple[str, ...] | None = None
    users: tuple[str, ...] | None = None
    partitions: tuple[str, ...] | None = None
    tiers: tuple[str, ...] | None = None


def daily(lake: Lake, asked: Asked = Asked(), by: Sequence[str] = (), sums: Sequence[str] = SUMS) -> pl.DataFrame:
    """One row a day and whatever `by` names (of KEYS), in that order: `day`, the names, `currency`, and `sums`.

    Sums: jobs, elapsed_seconds, core_seconds, gpu_seconds, mem_mib_seconds, and micro-units by meter and in all. Fewer
    are read faster.
    """
    return _sums(lake, asked, ["day", *by], sums)


def monthly(lake: Lake, asked: Asked = Asked(), by: Sequence[str] = (), sums: Sequence[str] = SUMS) -> pl.DataFrame:
    """The same with `month`, the first day of the month in the site's zone."""
    return _sums(lake, asked, ["month", *by], sums)


def totals(lake: Lake, asked: Asked = Asked(), by: Sequence[str] = (), sums: Sequence[str] = SUMS) -> pl.DataFrame:
    """The same over the whole span."""
    return _sums(lake, asked, list(by), sums)


def top(lake: Lake, asked: Asked, by: str, count: int = 20, sums: Sequence[str] = ("jobs", "cost_micro")) -> pl.DataFrame:
    """The `count` names that cost most over the whole span, the dearest first, then by name."""
    return _sums(lake, asked, [by], sums, f"cost_micro desc, {by}, currency limit {int(count)}")


def as_of(lake: Lake) -> datetime | None:
    """When the copy last took something; None when it is empty."""
    with lake.engine.connect() as books:
        moment: datetime | None = books.execute(sa.text("select max(copied_at) from lake_batch")).scalar_one()
        return moment


def _sums(lake: Lake, asked: Asked, by: Sequence[str], columns: Sequence[str], order: str = "") -> pl.DataFrame:
    if unknown := {*(set(by) - set(GROUPS)), *(set(columns) - set(SUMS))}:
        raise ValueError(f"cannot be asked by {', '.join(sorted(unknown))}")
    groups = list(dict.fromkeys([*by, "currency"]))
    named = ", ".join(f"{_MONTH} as month" if name == "month" else name for name in groups)
    where, values = _where(asked)
    sums = ", ".join(f"sum({name})::bigint as {name}" for name in columns)
    try:
        rows = lake.rollup.source(asked.since, asked.until)
        return lake.ask(f"select {named}, {sums} from {rows.sql} where {where} group by all"    # noqa: S608
                        f" having sum(jobs) <> 0 or sum(cost_micro) <> 0 order by {order or ', '.join(groups)}",
                        [*rows.values, *values])
    except duckdb.CatalogException:             # nothing was copied yet
        return pl.DataFrame(schema={**{name: _dtype(name) for name in groups}, **dict.fromkeys(columns, pl.Int64())})


def _where(asked: Asked) -> tuple[str, list[object]]:
    lists = {"payer": asked.payers, "account_name": asked.accounts, "user_name": asked.users,
             "partition_name": asked.partitions, "tier": asked.tiers}
    named = ((f"list_contains(?::varchar[], {name})", None if names is None else list(names)) for name, names in lists.items())
    conditions = [("day >= ?", asked.since), ("day < ?", asked.until), *named]
    given = [(condition, value) for condition, value in conditions if value is not None]
    return " and ".join(condition for condition, _ in given) or "true", [value for _, value in given]


def _dtype(name: str) -> pl.DataType:
    return pl.Date() if name in ("day", "month") else pl.String()
