"""The rule the first version of this product billed by, transcribed as it stood: to the cent what the policy `used` makes.

Only rows on which that rule is well defined: sizes and durations its reader understood (HH:MM:SS, G), whole seconds, and
no cost on half a cent, where its floating point falls to either side.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import polars as pl

from engine.rates import DEFAULT_CARDS
from engine.rating import rate
from tests.ingest.reading import job, read, sacct, step

RATES = {"mu": (1.0, 5.0, 0.5), "gov": (3.0, 10.0, 1.0), "private": (5.0, 100.0, 2.0)}


def hours(text: str) -> float:
    """`HH:MM:SS` as hours."""
    hour, minute, second = map(int, text.split(":"))
    return hour + minute / 60 + second / 3600


def gigabytes(text: str) -> float:
    return float(text.removesuffix("G"))


def seed_cost(tier: str, lines: list[dict[str, str]]) -> float:
    """CPU from the steps' TotalCPU, else the job's; GPUs × elapsed; memory from the steps' AveRSS × elapsed, else allocated."""
    whole, *steps = lines
    tres = dict(part.split("=") for part in whole["AllocTRES"].split(","))
    elapsed = int(whole["ElapsedRaw"]) / 3600
    cpu = sum(hours(one["TotalCPU"]) for one in steps) if steps else hours(whole["TotalCPU"])
    gpu = int(tres.get("gres/gpu", 0)) * elapsed
    rss = sum(gigabytes(one["AveRSS"]) * int(one["ElapsedRaw"]) / 3600 for one in steps)
    mem = rss if steps else gigabytes(tres["mem"]) * elapsed
    cpu_rate, gpu_rate, mem_rate = RATES[tier]
    return cpu * cpu_rate + gpu * gpu_rate + mem * mem_rate


def clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def some_job(random: Random, number: int) -> list[dict[str, str]]:
    """A job and its steps, which overlap: together they ran for longer than the job."""
    elapsed = random.randint(1, 80_000)
    gpus = random.choice(("", ",gres/gpu=1", ",gres/gpu=4"))
    whole = {"ElapsedRaw": str(elapsed), "AllocTRES": f"cpu=8{gpus},mem={random.randint(1, 64)}G",
             "TotalCPU": clock(random.randint(0, 90_000))}
    steps = [{"ElapsedRaw": str(random.randint(1, elapsed)), "TotalCPU": clock(random.randint(1, 90_000)),
              "AveRSS": f"{random.randint(1, 16)}G"} for _ in range(random.randint(0, 3))]
    return [whole, *steps]


def test_to_the_cent(tmp_path: Path) -> None:
    random = Random(4)
    jobs = [some_job(random, number) for number in range(1, 401)]
    lines = [line for number, (whole, *steps) in enumerate(jobs, 1) for line in (
        job(str(number), Submit="1790000000", Start="1790000000", End=str(1790000000 + int(whole["ElapsedRaw"])), **whole),
        *(step(f"{number}.{place}", **one) for place, one in enumerate(steps)))]
    usage = read(tmp_path, sacct(*lines)).usage.sort("job_id_raw")
    assert len(usage) == len(jobs)
    for tier in RATES:
        charges = rate(usage.with_columns(tier=pl.lit(tier)), DEFAULT_CARDS)
        for charge, told in zip(charges.iter_rows(named=True), jobs, strict=True):
            wanted = seed_cost(tier, told)
            if abs(wanted * 100 % 1 - 0.5) > 1e-6:
                assert charge["cost_micro"] == round(round(wanted, 2) * 100) * 10_000, told
    overlapping = sum(sum(int(one["ElapsedRaw"]) for one in steps) > int(whole["ElapsedRaw"]) for whole, *steps in jobs)
    assert overlapping > 100
