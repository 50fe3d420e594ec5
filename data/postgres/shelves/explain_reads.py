"""What an explanation is made of: runs by any of their ids, what brought and corrected them, the receipts they stand on,
lines that could not be read, and how far usage is known. Read-only; who may see what is decided by the caller.
"""
# ruff: noqa: S608  statements are put together from constants; every value of a person's is bound

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa

from data.postgres.bulk import as_columns, copy_out
from data.postgres.shelves.shelf import Shelf
from engine.explained import Brought, Complete, OnReceipt, Rejected, Revision, Run, TierSince
from engine.revisions import STORED_SCHEMA

_RUN = ", ".join(Run.__slots__)
MOST_RUNS = 200                         # of one id: a job that was requeued more often is cut
MOST_REJECTED = 200


class ExplainReadsShelf(Shelf):
    """Reads for explanations."""

    def run_keys(self, job: str, raw_id: int | None, cluster: str = "") -> list[str]:
        """Run keys of `job`: a run key itself, a raw id where one is given, else the id as people write it.

        Runs without a SLUID are found by their run key, those with one by the index on raw ids; only an id of an array
        task has none and is looked for in all runs."""
        if "/" in job:
            found = self.rows("select run_key from usage_record where run_key = :job", job=job)
        elif raw_id is None:
            found = self.rows("select run_key from usage_record where job_id = :job and (:cluster = '' or cluster = :cluster)"
                              " limit :most", job=job, cluster=cluster, most=MOST_RUNS)
        else:
            prefixes = {f"begins_{number}": prefix for number, prefix in enumerate(self._prefixes(raw_id))}
            any_of = "".join(f" or run_key like :{name}" for name in prefixes)
            found = self.rows(f"select run_key from usage_record where ((job_id_raw = :raw and sluid is not null){any_of})"
                              " and (:cluster = '' or cluster = :cluster) limit :most",
                              raw=raw_id, cluster=cluster, most=MOST_RUNS, **prefixes)
        return [row.run_key for row in found]

    def _prefixes(self, raw_id: int) -> list[str]:
        """How run keys of a raw id begin, on each cluster there is."""
        clusters = self.rows("select cluster from ingest_watermark union"
                             " select unnest(string_to_array(cluster, ', ')) from ingest_run order by 1")
        return [row.cluster.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + f"/{raw_id}/%" for row in clusters]

    def runs(self, keys: Sequence[str]) -> list[Run]:
        """These runs as they are kept."""
        return [_run(row) for row in self.rows(f"select {_RUN} from usage_record where run_key = any(:keys)", keys=list(keys))]

    def newest(self, most: int) -> list[Run]:
        """The runs that were written last."""
        return [_run(row) for row in self.rows(f"select {_RUN} from usage_record order by id desc limit :most", most=most)]

    def stored(self, keys: Sequence[str]) -> pl.DataFrame:
        """The same runs as rating reads them (STORED_SCHEMA, by run key)."""
        return copy_out(self.connection, f"select {as_columns(STORED_SCHEMA)} from usage_record u where run_key = any(%(keys)s)"
                        " order by run_key", STORED_SCHEMA, keys=list(keys))

    def receipts_of(self, run_key: str) -> list[OnReceipt]:
        """The receipts a run stands on, live ones first, then the newest; void ones included."""
        return [OnReceipt(row.id, row.number, row.status, row.kind, row.live, row.revision, row.cost_micro, row.issued_at)
                for row in self.rows(
                    "select r.id, r.number, r.status, l.kind, l.live, l.revision, l.cost_micro, r.issued_at from usage_record u"
                    " join receipt_line l on l.usage_id = u.id join receipt r on r.id = l.receipt_id where u.run_key = :key"
                    " order by l.live desc, l.id desc", key=run_key)]

    def brought(self, run_id: int) -> Brought | None:
        """The ingest run `run_id`."""
        row = self.one("select id, source, origin, started_at from ingest_run where id = :id", id=run_id)
        return Brought(row.id, row.source, row.origin, row.started_at) if row else None

    def revisions(self, run_key: str) -> list[Revision]:
        """What corrections replaced, the newest first."""
        return [Revision(row.revision, row.run_id, row.replaced_at, row.replaced_by, dict(row.was)) for row in self.rows(
            "select v.revision, v.run_id, v.replaced_at, v.replaced_by, v.was from usage_revision v"
            " join usage_record u on u.id = v.usage_id where u.run_key = :key order by v.revision desc", key=run_key)]

    def tier_since(self, payer: str, tier: str) -> TierSince | None:
        """When `payer` was last given `tier` by somebody; None when they began with it."""
        rows = self.rows("select at, actor, body from audit_entry where subject = :subject and action = 'payer.tier_set'"
                         " order by id desc", subject=f"payer:{payer}")
        given = (row for row in rows if json.loads(bytes(row.body))["facts"].get("tier") == tier)
        return next((TierSince(row.at, row.actor) for row in given), None)

    def rejected(self, ids: Collection[str]) -> list[Rejected]:
        """Lines no run has read well yet that hold one of `ids` somewhere, the newest first."""
        return [Rejected(row.run_id, row.source, row.origin, row.started_at, row.line, row.reason, row.text) for row in self.rows(
            "select r.run_id, i.source, i.origin, i.started_at, r.line, r.reason, r.text from ingest_rejection r"
            " join ingest_run i on i.id = r.run_id where r.resolved_at is null"
            " and exists (select 1 from unnest(cast(:ids as text[])) as one where position(one in r.text) > 0)"
            " order by r.id desc limit :most", ids=list(ids), most=MOST_REJECTED)]

    def refused(self) -> Brought | None:
        """The last run of the ingest, when its whole batch was set aside; files that somebody loads do not count."""
        row = self.one("select id, source, origin, started_at, state from ingest_run where state in ('taken', 'refused')"
                       " and source <> 'file' order by id desc limit 1")
        return Brought(row.id, row.source, row.origin, row.started_at) if row and row.state == "refused" else None

    def complete(self) -> list[Complete]:
        """Up to when usage is complete, by cluster."""
        return [Complete(row.cluster, row.complete_to, row.source) for row in self.rows(
            "select cluster, complete_to, source from ingest_watermark order by cluster")]


def _run(row: sa.Row[Any]) -> Run:
    return Run(**{name: getattr(row, name) for name in Run.__slots__})
