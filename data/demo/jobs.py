"""The demo centre's year of jobs: drawn from a seed, the same for the same `today`, in the shape of real usage.

Knows no price and no table. What the groups run, how long it takes and how it ends are the lists below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import sqrt
from random import Random

import polars as pl

from data.demo.people import MEMBERS, Member
from engine.usage import USAGE_SCHEMA

CLUSTER = "siam"
DAYS = 365
SUBMISSIONS_A_DAY = 7.9
OWN_SUBMISSIONS_A_DAY = 1.7                                # of the one who signs in: a page of one's own is never empty
FIRST_JOB_ID = 180_000
WEEK = (1.15, 1.2, 1.2, 1.1, 1.0, 0.5, 0.4)                # Monday first
QUIET = ((12, 24, 1, 2), (4, 11, 4, 17))                   # month, day to month, day: year's end, Songkran
ENDINGS = (("COMPLETED", 850), ("FAILED", 62), ("CANCELLED", 45), ("TIMEOUT", 30), ("OUT_OF_MEMORY", 11), ("NODE_FAIL", 2))


@dataclass(frozen=True, slots=True)
class Work:
    """Something a group runs: its name, where, how big, for how many hours in the median, and how well it keeps cores busy."""

    name: str
    partition: str
    cores: tuple[int, ...]
    gib_per_core: int
    hours: float
    busy: float
    gpus: tuple[int, ...] = (0,)
    weight: int = 10
    tasks: int = 1                                          # more than one: an array of up to so many


WORK: dict[str, tuple[Work, ...]] = {
    "ai-lab": (
        Work("whisper_th_ft", "gpu", (4, 8), 4, 6.5, 0.55, (1, 2, 4), 12),
        Work("train_vit_l16", "gpu", (8, 16), 4, 9.0, 0.62, (4, 8), 6),
        Work("eval-llama-th", "gpu", (4, 8), 4, 1.6, 0.4, (1, 2), 10),
        Work("prep_corpus", "cpu", (4, 8, 32), 2, 2.6, 0.72, weight=24),
        Work("tokenize_shard", "cpu", (4, 8), 2, 0.6, 0.85, weight=3, tasks=8)),
    "genomics": (
        Work("alphafold_multimer", "gpu", (8, 16), 8, 3.8, 0.35, (1, 2), 12),
        Work("gwas_chr{n}", "cpu", (16, 32, 64), 4, 2.0, 0.7, weight=14),
        Work("bwa_align_{s}", "cpu", (8, 16), 4, 2.1, 0.88, weight=18),
        Work("gatk_joint_call", "cpu", (8, 16), 8, 3.4, 0.5, weight=8),
        Work("fastqc", "cpu", (2, 4), 2, 0.25, 0.8, weight=2, tasks=8)),
    "chem-md": (
        Work("gromacs_npt_310K", "gpu", (8, 16), 2, 7.0, 0.75, (1, 2, 4), 12),
        Work("relax_MoS2_4x4", "cpu", (32, 64), 2, 1.8, 0.9, weight=14),
        Work("dock_batch_{n}", "cpu", (4, 16), 2, 1.4, 0.8, weight=12),
        Work("vasp_bands", "cpu", (16, 32), 4, 3.1, 0.86, weight=9),
        Work("dock_screen", "cpu", (4,), 2, 0.9, 0.82, weight=2, tasks=12)),
    "aero": (
        Work("surrogate_unet", "gpu", (8, 16), 4, 3.0, 0.5, (1, 2), 8),
        Work("cfd_wing_re6", "cpu", (16, 32), 2, 2.8, 0.93, weight=12),
        Work("openfoam_intake", "cpu", (16, 32), 2, 2.1, 0.9, weight=12),
        Work("lbm_sweep", "cpu", (8,), 2, 0.7, 0.9, weight=2, tasks=8)),
}


@dataclass(frozen=True, slots=True)
class Run:
    """One run as it was drawn, before it is looked at from `today`. Times in Unix seconds."""

    name: str
    member: Member
    group: str
    work: Work
    cores: int
    gpus: int
    submit: int
    start: int | None
    end: int
    state: str
    array_task: int | None
    busy: float
    resident: float


def demo_usage(today: datetime, seed: int = 4) -> pl.DataFrame:
    """Twelve months of usage up to `today`: a few thousand rows of USAGE_SCHEMA in order of submission."""
    rng = Random(seed)                                      # noqa: S311  pictures, not secrets
    runs = [run for submission in sorted(_submissions(rng, today), key=lambda runs: runs[0].submit) for run in submission]
    now = int(today.timestamp())
    rows, array_id = [], 0
    for raw, run in enumerate(runs, FIRST_JOB_ID):
        array_id = raw if run.array_task in (None, 0) else array_id
        job_id = str(raw) if run.array_task is None else f"{array_id}_{run.array_task}"
        rows.append(_row(run, raw, job_id, now))
    return pl.DataFrame(rows, schema=USAGE_SCHEMA, orient="row")


def corrected(usage: pl.DataFrame) -> pl.DataFrame:
    """The same runs after the cluster's accounting was repaired: an hour's core time less, as a late correction brings it."""
    return usage.with_columns(cpu_used_core_seconds=(pl.col("cpu_used_core_seconds") - 3600).clip(0))


def _submissions(rng: Random, today: datetime) -> Iterator[list[Run]]:
    day = (today - timedelta(days=DAYS)).replace(hour=0, minute=0, second=0, microsecond=0)
    weights = [member.weight for member in MEMBERS]
    while day < today:
        rhythm = _rhythm(day, today)
        members = rng.choices(MEMBERS, weights, k=_count(rng, SUBMISSIONS_A_DAY * rhythm))
        members += [MEMBERS[0]] * _count(rng, OWN_SUBMISSIONS_A_DAY * rhythm)
        for member in members:
            runs = _submission(rng, member, int(day.timestamp()) + _second_of_day(rng))
            if runs[0].submit < today.timestamp():
                yield runs
        day += timedelta(days=1)
    yield from _now(rng, int(today.timestamp()))


def _rhythm(day: datetime, today: datetime) -> float:
    age = (today - day).days / DAYS
    here = (day.month, day.day)
    quiet = any((first <= here <= last) if first <= last else (here >= first or here <= last)
                for first, last in (((a, b), (c, d)) for a, b, c, d in QUIET))
    return WEEK[day.weekday()] * (1.2 - 0.4 * age) * (0.4 if quiet else 1.0)


def _count(rng: Random, mean: float) -> int:
    return max(0, round(rng.gauss(mean, sqrt(mean))))


def _second_of_day(rng: Random) -> int:
    """Most jobs come in working hours, which in UTC end at noon; a quarter comes at any time."""
    hour = rng.triangular(0, 24, 15) if rng.random() < 0.25 else min(23.9, max(0.0, rng.gauss(8.0, 3.2)))
    return int(hour * 3600) + rng.randrange(60)


def _submission(rng: Random, member: Member, submit: int) -> list[Run]:
    """One sbatch: a single run, or the tasks of an array."""
    group = "chem-md" if member.name == "somchai.p" and rng.random() < 0.12 else member.group
    work = rng.choices(WORK[group], [work.weight for work in WORK[group]])[0]
    name = work.name.format(n=rng.randrange(1, 23), s=f"S{rng.randrange(1, 97):02d}")
    cores, gpus = rng.choice(work.cores), rng.choice(work.gpus)
    tasks: list[int | None] = [None] if work.tasks == 1 else list(range(rng.randrange(4, work.tasks + 1)))
    return [_run(rng, name, member, group, work, cores, gpus, submit, task) for task in tasks]


def _run(rng: Random, name: str, member: Member, group: str, work: Work, cores: int, gpus: int, submit: int,
         task: int | None) -> Run:
    state = rng.choices([word for word, _ in ENDINGS], [weight for _, weight in ENDINGS])[0]
    start: int | None = submit + 2 + int(rng.expovariate(1 / (2400 if gpus else 700)))
    assert start is not None
    seconds = max(20, int(work.hours * 3600 * rng.lognormvariate(0, 0.5)))
    if state in ("FAILED", "OUT_OF_MEMORY"):
        seconds = max(5, int(seconds * rng.random() * 0.6))
    if state == "TIMEOUT":
        seconds = max(1, round(seconds / 3600)) * 3600 + rng.randrange(3, 30)
    end = start + seconds
    if state == "CANCELLED" and rng.random() < 0.35:        # before it began
        start, end = None, submit + rng.randrange(20, 5000)
    busy = min(0.99, max(0.05, rng.gauss(work.busy, 0.12)))
    return Run(name, member, group, work, cores, gpus, submit, start, end, state, task, busy, rng.uniform(0.15, 0.6))


def _now(rng: Random, now: int) -> Iterator[list[Run]]:
    """What runs and waits at this moment, so that there is always something of both."""
    members = {member.name: member for member in MEMBERS}
    for name, number, age, left in (("researcher", 0, 3.2, 4.0), ("researcher", 3, 0.6, 1.5), ("somchai.p", 1, 9.1, 6.0),
                                    ("pi", 1, 1.1, 2.0), ("w.nattapong", 0, 5.4, 1.0), ("r.becker", 1, 2.2, 3.0)):
        member, work = members[name], WORK[members[name].group][number]
        start = now - int(age * 3600)
        label = work.name.format(n=7, s="S42")
        yield [Run(label, member, member.group, work, work.cores[-1], work.gpus[-1], start - 60, start, now + int(left * 3600),
                   "COMPLETED", None, work.busy, 0.5)]
    for name, number in (("researcher", 1), ("m.jones", 1), ("n.okafor", 1)):
        member, work = members[name], WORK[members[name].group][number]
        label, wait = work.name.format(n=11, s="S07"), rng.randrange(600, 4000)
        yield [Run(label, member, member.group, work, work.cores[0], work.gpus[0], now - wait, now + 1800, now + 9000,
                   "COMPLETED", None, work.busy, 0.5)]


def _row(run: Run, raw: int, job_id: str, now: int) -> tuple[object, ...]:
    """The run as accounting shows it at `now`: ended, running or still waiting."""
    ended = run.end <= now
    began = run.start is not None and run.start <= now
    state = run.state if ended else "RUNNING" if began else "PENDING"
    start = run.start if began else None
    elapsed = min(run.end, now) - run.start if began and run.start is not None else 0
    mib = run.cores * run.work.gib_per_core * 1024
    cpus, gpus, mem = (run.cores, run.gpus, mib) if began else (0, 0, 0)
    cpu_used = int(run.cores * elapsed * run.busy) if ended else 0
    mem_used = int(mib * run.resident) * elapsed if ended else 0
    return (
        f"{CLUSTER}/{raw}/{run.submit}", CLUSTER, job_id, raw, None, run.name, run.member.name, run.group, run.work.partition,
        "normal", _node(run, raw) if began else "", state, run.submit, start, run.end if ended else None, elapsed,
        _tres(cpus, gpus, mem), cpus, gpus, mem, cpu_used, "steps TotalCPU", mem_used, "steps AveRSS × Elapsed", ended, 1)


def _node(run: Run, raw: int) -> str:
    return f"{run.work.partition}{raw % (4 if run.gpus else 16) + 1:02d}"


def _tres(cpus: int, gpus: int, mem_mib: int) -> str:
    if not cpus:
        return ""
    cards = f"gres/gpu:a100={gpus},gres/gpu={gpus}," if gpus else ""
    return f"billing={cpus},cpu={cpus},{cards}mem={mem_mib // 1024}G,node=1"


def to_the_minute(moment: datetime) -> datetime:
    """`moment` in UTC without its seconds: what a load calls today."""
    return moment.astimezone(UTC).replace(second=0, microsecond=0)
