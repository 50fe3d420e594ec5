"""Usage records: told again, matched, written and priced in bulk. No row is touched on its own."""
# ruff: noqa: S608  statements are put together from constants; every value is bound or copied

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime

import polars as pl

from data.postgres.bulk import as_columns, copy_blocks, copy_in, copy_out, copy_slices, silent
from data.postgres.shelves.shelf import Shelf
from engine.daily import RUN_SCHEMA
from engine.rating import CHARGE_SCHEMA
from engine.revisions import ALIAS, BILLING, COMPARED, MATCH_SCHEMA, STORED_SCHEMA, told_digest
from engine.usage import USAGE_SCHEMA, Asked

# How people see a stored run: column here, name outside.
LISTED = {"run_key": "run_key", "cluster": "cluster", "job_id": "job_id", "user_name": "user", "account_name": "account",
          "partition_name": "partition", "state": "state", "start_at": "start", "end_at": "end",
          **{name: name for name in ("cpu_core_seconds", "gpu_seconds", "mem_mib_seconds", "extra_seconds", "tier", "currency",
                                     "rate_card", "cost_micro")}}
CHARGES = ("payer", "tier", *CHARGE_SCHEMA)
FIRST_LOAD = 20_000             # rows from which dropping and making the indexes pays
WRITTEN = (*USAGE_SCHEMA, *CHARGES)
# In this order a COPY is made fastest: numbers and texts that are mostly the same side by side, then the others.
_TEXTS = [name for name in WRITTEN if {**USAGE_SCHEMA, **CHARGE_SCHEMA}.get(name, pl.String()) == pl.String()]
_SAME_TEXTS = ("cluster", "sluid", "qos", "cpu_used_from", "mem_used_from", "tier", "rate_card", "policy", "currency")
_COPIED = ("run_id", "digest", *(name for name in WRITTEN if name not in _TEXTS), *_SAME_TEXTS,
           *(name for name in _TEXTS if name not in _SAME_TEXTS))
_STORED = as_columns(STORED_SCHEMA)
_SAME = " and ".join(f"u.{name} is not distinct from t.{name}" for name in COMPARED)
# What a correction of an ended run replaces is kept, for explanations.
_REPLACED = f"""
insert into usage_revision (usage_id, revision, run_id, replaced_by, was)
select u.id, u.revision, u.run_id, :run_id, jsonb_build_object({", ".join(f"'{name}', u.{name}" for name in (*BILLING, "alloc_tres",
       "rate_card", "cost_micro"))})
from revised r join usage_record u on u.id = r.id where u.ended and r.step = 1 order by u.id
"""
_UNLIKE = ("select s.row from said s where not exists (select from usage_record u where u.run_key = s.run_key and u.digest = s.digest)"
           " order by s.row")
_FREE = "not exists (select from said s where s.run_key = u.run_key)"           # whom the batch names by its run key, it means
# Pairs by run key; a SLUID told of a run stored without one; a run told without the SLUID it is stored with.
_BY_KEY = f"select t.row, u.id, true as exact, {_SAME} as same from told t join usage_record u on u.run_key = t.run_key"
_BY_ALIAS = (f"select t.row, u.id, false, {_SAME} from told t join usage_record u on u.run_key = t.alias"
             f" where t.sluid is not null and t.alias <> t.run_key and (u.sluid is null or u.sluid = t.sluid) and {_FREE}")
_WITHOUT_SLUID = (f"select t.row, u.id, false, {_SAME} from told t"
                  " join usage_record u on (u.cluster, u.job_id_raw, u.submit_at) = (t.cluster, t.job_id_raw, t.submit_at)"
                  f" where t.sluid is null and u.sluid is not null and u.run_key <> t.run_key and {_FREE}")
_ANY_SLUID = "select 1 from usage_record where sluid is not null order by job_id_raw limit 1"        # ordered: by its index
UNBILLED_SCHEMA = {**STORED_SCHEMA, "payer_tier": pl.String()}


class UsageShelf(Shelf):
    """Every run that is known, and what it costs."""

    def take_turn(self) -> None:
        """Hold the rate book as it is until the transaction ends: nobody publishes while usage is priced."""
        self.execute("lock table rate_card in share mode")

    def tiers(self, payers: Collection[str]) -> pl.DataFrame:
        """Payers with their tier, which nobody changes until the transaction ends (payer, tier)."""
        rows = self.rows("select name, tier from payer where name = any(:names) order by name for share", names=sorted(payers))
        return pl.DataFrame([tuple(row) for row in rows], schema={"payer": pl.String, "tier": pl.String}, orient="row")

    def is_empty(self) -> bool:
        """True when nothing was ever kept."""
        return self.one("select 1 from usage_record limit 1") is None

    def unlike(self, told: Iterable[pl.DataFrame]) -> pl.Series:
        """Numbers, ascending (Int64, counted through all frames), of the rows that are not known just as they are told.

        To be asked of a whole batch before `matches` is asked of some of its rows.
        """
        self._temporary("said", ("row", "run_key", "digest"), key="row bigint")
        self.execute("set local work_mem = '64MB'")
        copy_slices(self.connection, "said", ("row", "run_key", "digest"), _said(told), silent, fresh=True)
        self.execute("analyze said")
        return copy_out(self.connection, _UNLIKE, {"row": pl.Int64()})["row"]

    def matches(self, told: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Stored runs that `told` may tell again: same run key, or same alias where one knows no SLUID.

        All pairs (MATCH_SCHEMA), and the stored runs (STORED_SCHEMA) in which anything that is compared differs.
        """
        alias = pl.format("{}/{}/{}", *ALIAS).alias("alias")        # the run key of a run without a SLUID
        columns = told.with_row_index("row").select("row", alias, "run_key", *ALIAS, *COMPARED)
        self._stage("told", columns, key="row bigint, alias text")
        self.execute("drop table if exists pg_temp.told_match")
        self.execute(f"create temp table told_match on commit drop as {' union all '.join(self._ways(told))}")
        pairs = copy_out(self.connection, "select row, id, exact, same from told_match", MATCH_SCHEMA)
        if pairs["same"].all():
            return pairs, pl.DataFrame(schema=STORED_SCHEMA)
        differ = f"select {_STORED} from usage_record u where id in (select id from told_match where not same)"
        return pairs, copy_out(self.connection, differ, STORED_SCHEMA)

    def _ways(self, told: pl.DataFrame) -> list[str]:
        """The statements that can find a pair: most clusters tell SLUIDs always or never."""
        ways = [_BY_KEY]
        if told["sluid"].count():
            ways.append(_BY_ALIAS)
        if told["sluid"].null_count() and self.one(_ANY_SLUID):
            ways.append(_WITHOUT_SLUID)
        return ways

    def lock(self, ids: Sequence[int]) -> pl.DataFrame:
        """These runs as they are now (STORED_SCHEMA, by run key), locked until the transaction ends."""
        query = f"select {_STORED} from usage_record u where id = any(%(ids)s) order by run_key for update"
        return copy_out(self.connection, query, STORED_SCHEMA, ids=list(ids))

    def add(self, priced: Iterable[pl.DataFrame], count: int, run_id: int, told: Callable[[int], None]) -> None:
        """Write `count` runs nobody knew, with their charge, slice by slice. `told` hears how many are in.

        A first load makes the indexes when the rows are in, and its rows need no journal where nothing follows the
        server: half the work.
        """
        later = self._without_indexes() if count >= FIRST_LOAD and self.is_empty() else []
        self.execute("set local backend_flush_after = '1MB'")       # the disk works beside the COPY, not after it
        slices = (part.with_columns(told_digest(part), run_id=pl.lit(run_id)) for part in priced)
        copy_slices(self.connection, "usage_record", _COPIED, slices, told, fresh=bool(later))
        if later:
            self.execute("set local maintenance_work_mem = '128MB'")
        for index in later:
            self.execute(index)

    def _without_indexes(self) -> list[str]:
        """Drop the indexes that every row goes into, but the primary key; the statements that make them again.

        The empty table gets a new file: with wal_level minimal its rows are synced at the commit instead of being
        written twice. A rollback brings all back.
        """
        self.execute("cluster usage_record using usage_record_pkey")
        made = self.rows("select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as statement from pg_index"
                         " where indrelid = 'usage_record'::regclass and not indisprimary and indpred is null order by 1")
        for index in made:
            self.execute(f"drop index {index.name}")
        return [index.statement for index in made]

    def revise(self, priced: pl.DataFrame, run_id: int) -> None:
        """Write runs known by `id` anew; `step` 1 counts it as a correction, 0 as the same told better."""
        kept = ("run_key", "sluid")
        columns = [name for name in WRITTEN if name not in kept]
        columns.append("digest")
        self._stage("revised", priced.with_columns(told_digest(priced)).select("id", "step", "sluid", *columns), key="id bigint, step int")
        changes = ", ".join(f"{name} = r.{name}" for name in columns)
        self.execute(_REPLACED, run_id=run_id)
        self.execute(f"update usage_record u set {changes}, sluid = coalesce(u.sluid, r.sluid), revision = u.revision + r.step,"
                     " run_id = :run_id from revised r where u.id = r.id", run_id=run_id)

    def adopt(self, sluids: pl.DataFrame) -> None:
        """Give runs known by `id` the SLUID they were told without."""
        self._stage("adopted", sluids.select("id", "sluid"), key="id bigint")
        self.execute("update usage_record u set sluid = a.sluid from adopted a where u.id = a.id and u.sluid is null")

    def unbilled(self, payer: str | None = None, tier: str | None = None, since: datetime | None = None,
                 project: str | None = None) -> pl.DataFrame:
        """Runs on no live receipt, locked, with `payer_tier`, what their payer's tier is now (UNBILLED_SCHEMA, by run key)."""
        return copy_out(
            self.connection, f"select {_STORED}, p.tier from usage_record u join payer p on p.name = u.payer"
            " where u.billed_micro is null and (%(payer)s::text is null or u.payer = %(payer)s)"
            " and (%(tier)s::text is null or p.tier = %(tier)s) and (%(project)s::text is null or u.account_name = %(project)s)"
            " and (%(since)s::timestamptz is null or u.end_at is null or u.end_at >= %(since)s)"
            " order by u.run_key for update of u", UNBILLED_SCHEMA, payer=payer, tier=tier, since=since, project=project)

    def store_charges(self, priced: pl.DataFrame) -> None:
        """Write the charges of runs known by `id`, which the caller has locked."""
        columns = CHARGES[1:]
        self._stage("charged", priced.select("id", *columns), key="id bigint")
        self.execute(f"update usage_record u set {', '.join(f'{name} = c.{name}' for name in columns)}"
                     " from charged c where u.id = c.id")

    def settle(self, run_keys: Sequence[str]) -> None:
        """Mark runs that were paid as they ran: nothing of them is open, and the database refuses to change them."""
        self.execute("update usage_record set settled = true, billed_micro = cost_micro where run_key = any(:keys)", keys=list(run_keys))

    def listed(self, asked: Asked) -> pl.DataFrame:
        """What was asked for (STORED_SCHEMA), by end, then run key; what has not ended comes last."""
        bounded = asked.since is not None or asked.until is not None
        query = (f"select {_STORED} from usage_record u where (not %(bounded)s or ended)"
                 " and (%(since)s::timestamptz is null or end_at >= %(since)s)"
                 " and (%(until)s::timestamptz is null or end_at < %(until)s)"
                 " and (%(users)s::text[] is null or user_name = any(%(users)s))"
                 " and (%(accounts)s::text[] is null or account_name = any(%(accounts)s))"
                 " order by end_at desc nulls first, run_key desc limit %(limit)s")
        rows = copy_out(self.connection, query, STORED_SCHEMA, bounded=bounded, since=asked.since, until=asked.until,
                        users=list(asked.users) or None, accounts=list(asked.accounts) or None, limit=asked.limit)
        return rows.reverse()

    def ended(self, asked: Asked, ran_in: bool) -> Iterator[pl.DataFrame]:
        """Ended runs (RUN_SCHEMA) in blocks, in any order: those that ended in [since, until), or, with `ran_in`, those
        that ran in it. Policy and limit of `asked` do not count here."""
        begins = "least(coalesce(start_at, end_at), end_at)" if ran_in else "end_at"
        query = (f"select {as_columns(RUN_SCHEMA)} from usage_record u where ended"
                 " and (%(since)s::timestamptz is null or end_at >= %(since)s)"
                 f" and (%(until)s::timestamptz is null or {begins} < %(until)s)"
                 " and (%(users)s::text[] is null or user_name = any(%(users)s))"
                 " and (%(accounts)s::text[] is null or account_name = any(%(accounts)s))")
        return copy_blocks(self.connection, query, RUN_SCHEMA, since=asked.since, until=asked.until,
                           users=list(asked.users) or None, accounts=list(asked.accounts) or None)

    def _stage(self, table: str, rows: pl.DataFrame, key: str) -> None:
        """A temporary table of `rows`."""
        self._temporary(table, rows.columns, key)
        copy_in(self.connection, table, rows)
        self.execute(f"analyze {table}")

    def _temporary(self, table: str, columns: Sequence[str], key: str) -> None:
        """An empty temporary table; columns named in `key` have the types said there, the others usage_record's."""
        own = dict(word.split() for word in key.split(", "))
        typed = ", ".join(f"cast(null as {own[name]}) as {name}" if name in own else name for name in columns)
        self.execute(f"drop table if exists pg_temp.{table}")
        self.execute(f"create temp table {table} on commit drop as select {typed} from usage_record limit 0")


def _said(told: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The run key and digest of every row, with its number."""
    count = 0
    for frame in told:
        yield frame.select("run_key", told_digest(frame), row=pl.int_range(count, count + len(frame), dtype=pl.Int64))
        count += len(frame)
