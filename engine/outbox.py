"""The outbox: what is to be done outside once a decision is committed, and when a job that went wrong is tried again.

A job is written in the transaction of the decision it belongs to, so it exists exactly when that decision does. Pure:
knows no table, no clock, no network; what each kind of job does, its handler knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from engine.errors import DomainError, IllegalMove
from engine.payments import Outcome

ATTEMPTS = 24                   # claims after which a job is left for a person: some three hours of trouble
SLOWEST_SECONDS = 1800.0        # longest pause between attempts


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    """Waits for its time and a free worker."""
    WORKING = "working"
    """A worker has it in hand until its lease runs out."""
    DONE = "done"
    """It was done."""
    DEAD = "dead"
    """It cannot be done, or was tried too often: a person must look, and may have it tried again."""


MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.QUEUED, JobState.WORKING}),
    JobState.WORKING: frozenset({JobState.WORKING, JobState.QUEUED, JobState.DONE, JobState.DEAD}),
    JobState.DONE: frozenset(),
    JobState.DEAD: frozenset({JobState.QUEUED}),
}


@dataclass(frozen=True, slots=True)
class Job:
    """Something to be done outside: `kind` names its handler, `key` makes it one (the same kind and key is queued once),
    `payload` is what the handler parses. `attempts` counts claims, this one included."""

    id: int
    kind: str
    key: str
    payload: Mapping[str, object]
    state: JobState
    attempts: int
    created_by: str
    created_at: datetime
    due_at: datetime
    leased_until: datetime | None
    done_at: datetime | None
    outcome: str

    def word(self, name: str) -> str:
        """A text of the payload; a job without it is a bug."""
        value = self.payload[name]
        if not isinstance(value, str):
            raise TypeError(f"{name} of job {self.id} is {value!r}, not a text")
        return value


class JobTrouble(DomainError):
    """A job could not be done."""

    code, status = "job_trouble", 502

    def __init__(self, detail: str, outcome: Outcome = Outcome.NOT_DONE, retry_after_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a job that went wrong: left for a person, or tried again after `pause_seconds`."""

    dead: bool
    pause_seconds: float = 0.0


def judge(error: Exception, attempts: int, draw: float) -> Verdict:
    """What `error` at attempt number `attempts` (from 1) leads to; `draw` is a random number in [0, 1) for full jitter.

    An error may say more: `outcome` REFUSED means that asking again does not help, `retry_after_seconds` when to come again
    at the earliest. Whether a lost answer may be asked for again is the handler's business: it looks before it acts.
    """
    if getattr(error, "outcome", None) is Outcome.REFUSED or attempts >= ATTEMPTS:
        return Verdict(dead=True)
    least: float = getattr(error, "retry_after_seconds", None) or 0.0
    return Verdict(False, min(least, SLOWEST_SECONDS) + draw * min(SLOWEST_SECONDS, 2.0**attempts))


def check_move(job: str, was: JobState, to: JobState) -> None:
    """Refuse a move that the table does not know."""
    if to not in MOVES[was]:
        raise IllegalMove(f"Job {job} is {was} and cannot become {to}.")
