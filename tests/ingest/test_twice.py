"""Runs that stand twice are found whatever names them and wherever they stand: the same as by looking at every key's hash."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import BatchRefused
from engine.usage import USAGE_SCHEMA
from ingest import once, pricing, slurm, twice
from ingest.repeats import Repeats
from ingest.twice import Twice
from tests.ingest.reading import COLUMNS, job, read
from tests.ingest.test_pricing import price


class ByEveryKey:
    """What `Twice` must be like."""

    def __init__(self) -> None:
        self._keys = Repeats()

    @property
    def count(self) -> int:
        return self._keys.count

    def add(self, usage: pl.DataFrame) -> None:
        self._keys.add(usage["run_key"].hash())

    def found(self, again: Callable[[], Iterable[pl.DataFrame]]) -> pl.Series:
        assert sum(map(len, again())) == self.count
        return self._keys.found()


# Numbers mostly rise, as in real accounting; arrays, requeues (another submit time), other clusters and SLUIDs come between.
JUMPS = st.sampled_from([1, 1, 1, 1, 2, 0, 0, -1, -3])
RUNS = st.lists(st.tuples(JUMPS, st.integers(0, 1), st.sampled_from(["a", "a", "a", "a/1"]),
                          st.sampled_from(["", "", "", "", "", "", "S1", "S2", "7"])), min_size=1, max_size=40)
RISING = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 1), st.sampled_from(["a", "b"]), st.just("")), min_size=1, max_size=40)
CUTS = st.lists(st.integers(0, 40), max_size=5)


def usage(runs: list[tuple[int, int, str, str]]) -> pl.DataFrame:
    """Rows as engine/slurm_usage.py names them."""
    number, rows = 5, []
    for jump, submit, cluster, sluid in runs:
        number += jump if number + jump >= 0 else 0
        key = f"{cluster}/{sluid}" if sluid else f"{cluster}/{number}/{submit}"
        rows.append({"run_key": key, "cluster": cluster, "job_id_raw": number, "submit_at": submit, "sluid": sluid or None})
    return pl.DataFrame(rows, schema={name: USAGE_SCHEMA[name] for name in ("run_key", "cluster", "job_id_raw", "submit_at", "sluid")})


def cut(rows: pl.DataFrame, places: list[int]) -> list[pl.DataFrame]:
    edges = [0, *sorted(min(place, len(rows)) for place in places), len(rows)]
    return [rows.slice(start, end - start) for start, end in pairwise(edges)]


@given(RUNS | RISING, CUTS, CUTS, st.sampled_from([0, 1, twice.FEW]))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_are_found_as_by_every_key(monkeypatch: pytest.MonkeyPatch, runs: list[tuple[int, int, str, str]], cuts: list[int],
                                            other_cuts: list[int], few: int) -> None:
    monkeypatch.setattr(twice, "FEW", few)
    rows, quick, slow = usage(runs), Twice(), ByEveryKey()
    for frame in cut(rows, cuts):
        quick.add(frame)
        slow.add(frame)
    found = quick.found(lambda: cut(rows, other_cuts))
    assert sorted(found) == sorted(slow.found(lambda: [rows])) and quick.count == len(rows)
    wanted = {key for key in rows["run_key"] if (rows["run_key"] == key).sum() > 1}
    assert sorted(found) == sorted(pl.Series(list(wanted), dtype=pl.String).hash())


def test_numbers_that_only_rise_are_not_looked_at_again() -> None:
    seen = Twice()
    for frame in cut(usage([(1, 0, "a", "")] * 30), [7, 20]):
        seen.add(frame)

    def again() -> Iterable[pl.DataFrame]:
        raise AssertionError("nothing can stand twice")
    assert seen.found(again).is_empty()


LINES = st.lists(st.tuples(JUMPS, st.integers(0, 1), st.sampled_from(["rig", "rig", "other"]), st.sampled_from(["", "", "", "S1", "S2"]),
                           st.sampled_from(["{}", "{}", "4_{}", "{}+0"])), min_size=1, max_size=30)


@given(LINES, st.sampled_from([200, 700, 1 << 20]))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_is_priced_or_refused_and_read_as_by_every_key(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lines: list[tuple[int, int, str, str, str]], block: int) -> None:
    """The same bytes, the same refusal, and for ingestion the same runs and remarks."""
    number, rows = 5, []
    for jump, hour, cluster, sluid, name in lines:
        number += jump
        rows.append(job(str(max(number, 0)), JobID=name.format(max(number, 0)), Cluster=cluster,
                        Submit=f"2026-11-01T0{hour}:00:00") + f"|{sluid}")
    text = "\n".join([f"{COLUMNS}|SLUID", *rows, ""])
    monkeypatch.setattr(slurm, "BLOCK", block)
    monkeypatch.setattr(pricing, "ROW_GROUP", 4)
    monkeypatch.setattr(pricing, "AT_ONCE", 8)
    made = []
    for kind in (Twice, ByEveryKey):
        monkeypatch.setattr(pricing, "Twice", kind)
        monkeypatch.setattr(once, "Twice", kind)
        made.append((priced(tmp_path, text), kept(tmp_path, text)))
    assert made[0] == made[1]


def priced(folder: Path, text: str) -> bytes | str:
    (folder / "u.txt").write_text(text)
    try:
        price(folder / "u.txt", folder / "out.parquet")
    except BatchRefused as refusal:
        return refusal.sentence
    return (folder / "out.parquet").read_bytes()


def kept(folder: Path, text: str) -> tuple[list[dict[str, object]], tuple[str, ...]]:
    batch = read(folder, text)
    return batch.usage.to_dicts(), batch.notes
