"""Frames that do not fit in memory come back as they were, and a run stands in a reading once, wherever the blocks are cut."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from ingest import slurm, spool
from ingest.sources.file import read_file
from ingest.spool import Spool
from tests.ingest.reading import SAMPLES, job, sacct, step


def test_frames_come_back_in_their_order_as_often_as_asked() -> None:
    frames = [pl.DataFrame({"n": [n, n + 1], "word": ["ä|\n", None], "flag": [True, None]}) for n in range(5)]
    kept = Spool(room=100)
    for frame in frames:
        kept.append(frame)
    for _ in range(2):
        assert all(back.equals(frame) for back, frame in zip(kept, frames, strict=True))


def test_a_run_told_again_blocks_later_stands_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The later row wins, and a note says so."""
    path = tmp_path / "usage.txt"
    path.write_text(sacct(job("1", State="RUNNING", End="Unknown"), *(job(str(n)) for n in range(2, 9)), job("1")))
    monkeypatch.setattr(slurm, "BLOCK", 200)
    monkeypatch.setattr(spool, "ROOM", 0)
    batch = read_file(path)
    assert len(batch.usage) == 8 and set(batch.usage["state"]) == {"COMPLETED"}
    assert batch.notes[-1] == "1 row repeated by a later row of the same run; the last one was taken."


@pytest.mark.parametrize("name", ["slurm-26.05/sacct-D-P.txt", "slurm-22.05/sacct-D-X-unitsep.txt"])
def test_captured_files_read_alike_in_blocks_of_any_size(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_file(SAMPLES / name)
    for size in (300, 1500):
        monkeypatch.setattr(slurm, "BLOCK", size)
        parts = read_file(SAMPLES / name)
        assert parts.usage.equals(whole.usage) and parts.rejected == whole.rejected and parts.notes == whole.notes


def test_a_step_far_from_its_job_is_rejected_in_blocks_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "usage.txt"
    path.write_text(sacct(job("1"), job("2"), step("1.batch", TotalCPU="01:00:00"), job("3")))
    for size in (100, 10_000):
        monkeypatch.setattr(slurm, "BLOCK", size)
        assert [(one.line, one.reason) for one in read_file(path).rejected] == [(4, "its job does not stand before it")]
