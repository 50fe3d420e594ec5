"""A file priced without being kept: the same bytes however it is read, whole or not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from bench.rows import digest, stored
from bench.sacct_file import write_sacct_file
from data.settings import ROOT
from engine.errors import BatchRefused
from engine.rates import DEFAULT_CARDS
from ingest import pricing, slurm
from ingest.pricing import Priced, price_text
from ingest.slurm import Material
from tests.ingest.reading import job, sacct, step


def price(path: Path, out: Path) -> Priced:
    return price_text(Material(lambda: path.open("rb"), "file", str(path), path.name), out, "gov", list(DEFAULT_CARDS))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_sacct_file(tmp_path / "jobs.txt", 3000)
    return tmp_path / "jobs.txt"


def test_blocks_of_any_size_give_the_same_bytes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "ROW_GROUP", 1000)
    price(file, file.with_name("whole"))
    for size in (5_000, 100_000):
        monkeypatch.setattr(slurm, "BLOCK", size)
        price(file, file.with_name("parts"))
        assert file.with_name("parts").read_bytes() == file.with_name("whole").read_bytes()


def test_any_number_of_threads_gives_the_same_bytes(file: Path) -> None:
    for threads in ("1", "3"):
        words = [sys.executable, "-m", "bench.product_rate", str(file), str(file.with_name(threads))]
        subprocess.run(words, cwd=ROOT, env={**os.environ, "POLARS_MAX_THREADS": threads}, check=True, capture_output=True)
    assert file.with_name("1").read_bytes() == file.with_name("3").read_bytes()


def test_the_limit_and_the_peer_in_sql_make_the_same_rows(file: Path) -> None:
    """What the benchmark says is worth something only if all of them do the same."""
    for module in ("product_rate", "limit_rate", "peer_duckdb"):
        words = [sys.executable, "-m", f"bench.{module}", str(file), str(file.with_name(module))]
        subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    made = [digest(stored(file.with_name(module))) for module in ("product_rate", "limit_rate", "peer_duckdb")]
    assert made[0] == made[1] == made[2] and made[0]["rows"] == 3000


def test_the_golden_case_and_what_cannot_be_read(tmp_path: Path) -> None:
    """2 hours, 4 CPUs, 1 GPU, 16 GiB; two steps burnt 1:12 and 3:00 hours and held 6 and 8 GiB: 60.60 at tier gov."""
    golden = job("1", AllocTRES="cpu=4,gres/gpu=1,mem=16G")
    steps = (step("1.0", TotalCPU="01:12:00", AveRSS="6G"), step("1.1", TotalCPU="03:00:00", AveRSS="8G"))
    (tmp_path / "u.txt").write_text(sacct(golden, *steps, job("2", State="DONE")))
    priced = price(tmp_path / "u.txt", tmp_path / "out.parquet")
    assert (priced.runs, priced.cost_micro, [one.line for one in priced.rejected]) == (1, {"THB": 60_600_000}, [5])
    assert pl.read_parquet(tmp_path / "out.parquet")["cost_micro"].to_list() == [60_600_000]


def test_a_run_that_stands_twice_refuses_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "u.txt").write_text(sacct(job("1"), job("2"), job("1")))
    with pytest.raises(BatchRefused, match=r"1 run stands in it more than once"):
        price(tmp_path / "u.txt", tmp_path / "out.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["u.txt"]
