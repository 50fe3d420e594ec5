"""`./corehours ingest slurm` as others call it: what it prints and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.postgres.store import Store
from tests.conftest import Corehours
from tests.ingest.reading import SAMPLES, job, sacct

SAMPLE = str(SAMPLES / "slurm-22.05/sacct-D-P.txt")


def test_a_file_twice(corehours: Corehours) -> None:
    first = corehours("ingest", "slurm", "--file", SAMPLE, "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout) == {
        "source": "file", "lines": 100, "jobs": 47, "new": 47, "changed": 0, "unchanged": 0, "rejected": [],
        "notes": ["9 rows broken by a separator or a newline inside a name put together again."]}
    second = json.loads(corehours("ingest", "slurm", "--file", SAMPLE, "--json").stdout)
    assert (second["new"], second["changed"], second["unchanged"]) == (0, 0, 47)


def test_rejected_lines_are_told_and_the_batch_is_taken(corehours: Corehours, tmp_path: Path) -> None:
    path = tmp_path / "u.txt"
    path.write_text(sacct(job("1"), job("2", State="DONE")))
    done = corehours("ingest", "slurm", "--file", str(path), "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["rejected"] == [
        {"line": 3, "reason": "State: 'DONE' is no state this version knows", "text": job("2", State="DONE")}]
    for_people = corehours("ingest", "slurm", "--file", str(path))
    assert "2 lines, 1 job: 0 new, 0 changed, 1 unchanged." in for_people.stdout
    assert "State: 'DONE'" in for_people.stdout


def test_a_name_too_long_to_be_one_keeps_no_other_row_back(corehours: Corehours, tmp_path: Path) -> None:
    path = tmp_path / "u.txt"
    path.write_text(sacct(job("1"), job("2", User="x" * 300), job("3", Cluster="y" * 10_000)))
    done = corehours("ingest", "slurm", "--file", str(path), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["new"], [one["reason"] for one in told["rejected"]]) == (
        1, ["User: has 300 letters, 256 are the most", "Cluster: has 10,000 letters, 256 are the most"])


@pytest.mark.parametrize(("content", "sentence"), [
    (None, "There is no file"), (b"", "is empty"), (b"\x89PNG\r\n\x1a\n\0\0", "which is no text"),
    (sacct(job("1"), job("2"))[:-40].encode(), "the last line (3) is cut off"),
])
def test_a_batch_set_aside_exits_with_3_and_leaves_nothing(
        corehours: Corehours, store: Store, tmp_path: Path, content: bytes | None, sentence: str) -> None:
    path = tmp_path / "u.txt"
    if content is not None:
        path.write_bytes(content)
    done = corehours("ingest", "slurm", "--file", str(path), "--json")
    assert (done.returncode, done.stdout) == (3, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from usage_record").scalar_one() == 0
        assert connection.exec_driver_sql("select state from ingest_run").scalars().all() == ["refused"]


def test_the_configured_chain(corehours: Corehours, tmp_path: Path) -> None:
    path = tmp_path / "u.txt"
    path.write_text(sacct(job("1")).replace("|Cluster", "").replace("|rig", ""))
    set_up = {"COREHOURS_SACCT": "sacct-of-nowhere", "COREHOURS_USAGE_FILE": str(path)}
    done = corehours("ingest", "slurm", "--cluster", "beta", "--json", **set_up)
    told = json.loads(done.stdout)
    assert (told["source"], told["new"]) == ("file", 1)
    assert "Not taken: sacct: There is no command sacct-of-nowhere here." in told["notes"]


@pytest.mark.parametrize("words", [["--file", "a", "--sacct"], ["--nonsense"], []])
def test_asked_wrongly(corehours: Corehours, words: list[str]) -> None:
    assert corehours("ingest", *(["slurm", *words] if words else [])).returncode == 2
