"""Usage records: what one run of a job used, the same from whichever source it came.

A usage frame has one row a run. Quantities are integers; a value that could not be read is never in here: its row
was rejected with a reason. Knows nothing of prices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import polars as pl

# Instants are Unix seconds, UTC; null means "not yet". Sizes are MiB (Slurm's G is 1024 M), times whole seconds.
USAGE_SCHEMA: dict[str, pl.DataType] = {
    "run_key": pl.String(),                 # cluster/SLUID, else cluster/JobIDRaw/Submit (Unix seconds)
    "cluster": pl.String(),
    "job_id": pl.String(),                  # as people write it: 12, 12_3, 12+1
    "job_id_raw": pl.Int64(),
    "sluid": pl.String(),                   # null before Slurm 26.05
    "job_name": pl.String(),
    "user_name": pl.String(),
    "account_name": pl.String(),
    "partition_name": pl.String(),
    "qos": pl.String(),
    "node_list": pl.String(),
    "state": pl.String(),                   # one word of JobState
    "submit_at": pl.Int64(),
    "start_at": pl.Int64(),
    "end_at": pl.Int64(),
    "elapsed_seconds": pl.Int64(),          # without suspended time; a resized run counts from max(Start, Submit)
    "alloc_tres": pl.String(),              # as the source wrote it, for explanations
    "alloc_cpus": pl.Int64(),
    "alloc_gpus": pl.Int64(),
    "alloc_mem_mib": pl.Int64(),
    "cpu_used_core_seconds": pl.Int64(),    # policy `used`: sum of the steps' TotalCPU, else the job's; milliseconds cut
    "cpu_used_from": pl.String(),           # "steps TotalCPU" or "job TotalCPU"
    "mem_used_mib_seconds": pl.Int64(),     # policy `used`: sum of the steps' AveRSS × their elapsed, else allocated × elapsed
    "mem_used_from": pl.String(),           # "steps AveRSS × Elapsed" or "AllocTRES mem × ElapsedRaw"
    "ended": pl.Boolean(),
    "detail": pl.Int16(),                   # 1 when its steps were read
}


class JobState(StrEnum):
    """Slurm's base states. Those that end a run are billed for the time it ran, whatever the outcome."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    COMPLETING = "COMPLETING"
    CONFIGURING = "CONFIGURING"
    STAGE_OUT = "STAGE_OUT"
    SIGNALING = "SIGNALING"
    STOPPED = "STOPPED"
    SPECIAL_EXIT = "SPECIAL_EXIT"
    REQUEUE_HOLD = "REQUEUE_HOLD"
    REQUEUE_FED = "REQUEUE_FED"
    RESV_DEL_HOLD = "RESV_DEL_HOLD"
    POWER_UP_NODE = "POWER_UP_NODE"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"
    NODE_FAIL = "NODE_FAIL"
    PREEMPTED = "PREEMPTED"
    REQUEUED = "REQUEUED"
    RESIZING = "RESIZING"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    DEADLINE = "DEADLINE"
    BOOT_FAIL = "BOOT_FAIL"
    LAUNCH_FAILED = "LAUNCH_FAILED"
    RECONFIG_FAIL = "RECONFIG_FAIL"
    REVOKED = "REVOKED"


ENDED_STATES = frozenset({
    JobState.COMPLETED, JobState.FAILED, JobState.TIMEOUT, JobState.CANCELLED, JobState.NODE_FAIL, JobState.PREEMPTED,
    JobState.REQUEUED, JobState.RESIZING, JobState.OUT_OF_MEMORY, JobState.DEADLINE, JobState.BOOT_FAIL,
    JobState.LAUNCH_FAILED, JobState.RECONFIG_FAIL, JobState.REVOKED,
})


@dataclass(frozen=True, slots=True)
class Rejection:
    """A line that could not be read: its number in the source (from 1), why, and its text (cut at 2,000 characters)."""

    line: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class UsageBatch:
    """What one reading of one source gave: frames of USAGE_SCHEMA, what was rejected, and remarks for people.

    A run stands in one of the frames only; they may be gone through more than once.
    """

    source: str                             # slurmrestd, sacct, file
    origin: str                             # address, command line or file name
    lines: int                              # data lines (or JSON job records) read, header not counted
    frames: Iterable[pl.DataFrame]
    rejected: tuple[Rejection, ...] = ()
    notes: tuple[str, ...] = ()
    window: tuple[int, int] | None = None   # Unix seconds [from, to) the source was asked for; None for a file
    skipped: tuple[str, ...] = field(default=())  # sources asked before this one, and why they did not answer

    @property
    def usage(self) -> pl.DataFrame:
        """All of it in one frame: for batches that are known to be small."""
        return pl.concat([empty_usage(), *self.frames])


@dataclass(frozen=True, slots=True)
class Asked:
    """Which usage: what ended in [since, until) where one of them is given, else all; of some users or accounts."""

    since: datetime | None = None
    until: datetime | None = None
    users: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    policy: str | None = None               # price by this one instead of the card's own
    limit: int | None = None                # only the last so many


def empty_usage() -> pl.DataFrame:
    """A usage frame without rows."""
    return pl.DataFrame(schema=USAGE_SCHEMA)
