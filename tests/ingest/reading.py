"""Short ways to read a sample, a text, or rows written in a test."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from engine.usage import UsageBatch
from ingest.sources.file import read_file

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "slurm"
COLUMNS = ("JobIDRaw|JobID|JobName|User|Account|Partition|QOS|Cluster|State|Submit|Start|End|ElapsedRaw|TotalCPU|AllocTRES|AveRSS"
           "|NodeList|Comment")
JOB = {"JobName": "train", "User": "alice", "Account": "physics", "Partition": "cpu", "QOS": "normal", "Cluster": "rig",
       "State": "COMPLETED", "Submit": "2026-11-01T08:00:00", "Start": "2026-11-01T08:00:00", "End": "2026-11-01T10:00:00",
       "ElapsedRaw": "7200", "TotalCPU": "00:00:00", "AllocTRES": "cpu=4,mem=16G", "AveRSS": "", "NodeList": "c1", "Comment": ""}
STEP = {"JobName": "batch", "User": "", "Partition": "", "QOS": "", "Comment": ""}


def job(raw_id: str = "1", **columns: str) -> str:
    """One line of sacct: a job of four CPUs and two hours, and what the test changes."""
    row = {"JobIDRaw": raw_id, "JobID": raw_id, **JOB, **columns}
    return "|".join(row[name] for name in COLUMNS.split("|"))


def step(raw_id: str = "1.batch", **columns: str) -> str:
    """One line of sacct for a step."""
    return job(raw_id, **{**STEP, **columns})


def sacct(*lines: str) -> str:
    """A whole output."""
    return "\n".join([COLUMNS, *lines, ""])


def read(folder: Path, text: str | bytes, cluster: str = "") -> UsageBatch:
    """The batch in a file that holds `text`."""
    path = folder / "usage.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_file(path, cluster)


def sample(name: str) -> pl.DataFrame:
    """The usage in a captured file, sorted by run."""
    return read_file(SAMPLES / name).usage.sort("run_key")
