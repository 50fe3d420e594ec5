"""Ingest runs: what came, what was rejected and why, and up to when usage is complete."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from data.postgres.bulk import copy_in
from data.postgres.shelves.shelf import Shelf
from engine.usage import Rejection


@dataclass(frozen=True, slots=True)
class Counts:
    """What one batch brought."""

    lines: int
    jobs: int
    new: int
    changed: int
    unchanged: int
    rejected: int


class RunShelf(Shelf):
    """One row a run of the ingest; its rejected lines; the watermark."""

    def begin(self, source: str, origin: str, window: tuple[int, int] | None) -> int:
        """Open a run, in state `running`. Whatever still says so was left by a process that died: it is `abandoned`."""
        self.execute("update ingest_run set state = 'abandoned', ended_at = now(), reason = :why where state = 'running'",
                     why="The process died before it was done.")
        start, end = window or (None, None)
        row = self.one("insert into ingest_run (source, origin, state, window_start, window_end) values (:source, :origin,"
                       " 'running', to_timestamp(:start), to_timestamp(:end)) returning id",
                       source=source, origin=origin, start=start, end=end)
        assert row is not None
        return int(row.id)

    def taken(self, run_id: int, clusters: Collection[str], counts: Counts, notes: Sequence[str], skipped: Sequence[str]) -> None:
        """Close a run whose batch is kept."""
        self.execute(
            "update ingest_run set state = 'taken', ended_at = clock_timestamp(), cluster = :cluster, lines = :lines,"
            " jobs = :jobs, new = :new, changed = :changed, unchanged = :unchanged, rejected = :rejected,"
            " notes = cast(:notes as jsonb), reason = :reason where id = :id",
            id=run_id, cluster=", ".join(sorted(clusters)), lines=counts.lines, jobs=counts.jobs, new=counts.new,
            changed=counts.changed, unchanged=counts.unchanged, rejected=counts.rejected,
            notes=json.dumps(list(notes)), reason="; ".join(skipped))

    def note(self, run_id: int, note: str) -> None:
        """Add a remark to a run."""
        self.execute("update ingest_run set notes = notes || jsonb_build_array(cast(:note as text)) where id = :id",
                     id=run_id, note=note)

    def forget(self, run_id: int) -> None:
        """Take back a run that was begun and brought nothing."""
        self.execute("delete from ingest_run where id = :id and state = 'running'", id=run_id)

    def refuse(self, run_id: int, reason: str) -> None:
        """Close a run whose whole batch was set aside."""
        self.execute("update ingest_run set state = 'refused', ended_at = clock_timestamp(), reason = :reason where id = :id",
                     id=run_id, reason=reason.replace("\0", "�"))

    def reject(self, run_id: int, rejected: Sequence[Rejection]) -> None:
        """Keep and name the lines that could not be read."""
        if rejected:
            rows = pl.DataFrame([(run_id, each.line, each.reason, each.text) for each in rejected], orient="row",
                                schema={"run_id": pl.Int64, "line": pl.Int64, "reason": pl.String, "text": pl.String})
            copy_in(self.connection, "ingest_rejection", rows)

    def resolve(self, run_id: int) -> int:
        """Close rejections of earlier runs of the same source and origin that this run did not meet again."""
        return self.execute(
            "update ingest_rejection r set resolved_at = now() from ingest_run was, ingest_run here where here.id = :id"
            " and was.id = r.run_id and was.id < here.id and (was.source, was.origin) = (here.source, here.origin)"
            " and r.resolved_at is null and not exists (select 1 from ingest_rejection again where again.run_id = here.id"
            " and again.text = r.text)", id=run_id)

    def move_watermark(self, run_id: int, source: str, complete_to: dict[str, int], since: int | None) -> None:
        """Usage of each cluster is complete up to here. A window that leaves a gap after what is complete moves nothing."""
        for cluster, moment in sorted(complete_to.items()):
            self.execute(
                "insert into ingest_watermark as w (cluster, complete_to, source, run_id) values (:cluster,"
                " least(to_timestamp(:moment), now()), :source, :run) on conflict (cluster) do update set"
                " complete_to = excluded.complete_to, source = excluded.source, run_id = excluded.run_id, updated_at = now()"
                " where excluded.complete_to > w.complete_to"
                " and (cast(:since as bigint) is null or to_timestamp(:since) <= w.complete_to)",
                cluster=cluster, moment=moment, source=source, run=run_id, since=since)

    def watermarks(self) -> dict[str, datetime]:
        """Up to when usage is complete, by cluster."""
        rows = self.rows("select cluster, complete_to from ingest_watermark order by cluster")
        return {row.cluster: row.complete_to for row in rows}

    def last_window_of(self, seconds: int) -> datetime | None:
        """When a window at least this long was last taken."""
        row = self.one("select max(started_at) as at from ingest_run where state = 'taken'"
                       " and extract(epoch from window_end - window_start) >= :seconds", seconds=seconds)
        return row.at if row else None
