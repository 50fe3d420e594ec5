"""A large file is kept while it is read, and leaves just what it would have left as any other file."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from bench.sacct_file import write_sacct_file
from commands.check import findings
from data.analytics import lake
from data.postgres.store import Store
from engine.errors import BatchRefused
from engine.policy import OPERATOR
from engine.revisions import STORED_SCHEMA
from engine.services.payers import set_tier
from engine.services.usage import price
from engine.usage import Asked
from ingest import large_file
from ingest.keep import Kept
from ingest.run import take
from ingest.sources.file import FileSource, read_file

JOBS = 3000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is large here, so that a test need not write millions; several blocks still."""
    monkeypatch.setattr(large_file, "LARGE", 100_000)
    monkeypatch.setattr(large_file, "BLOCK", 200_000)


@pytest.fixture
def year(tmp_path: Path) -> Path:
    path = tmp_path / "year.txt"
    write_sacct_file(path, JOBS)
    return path


def runs(store: Store) -> list[tuple[object, ...]]:
    with store.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(
            "select state, lines, jobs, new, rejected, reason from ingest_run order by id"))]


def usage(store: Store) -> pl.DataFrame:
    return store.read(lambda tx: tx.usage.listed(Asked())).drop("id").sort("run_key")


def as_read(store: Store, path: Path) -> pl.DataFrame:
    """What reading all of it and pricing it then gives."""
    read = read_file(path).usage
    tiers, book = store.run(lambda tx: (tx.usage.tiers(read["user_name"].unique()), tx.rates.book()))
    priced = price(read, tiers, book).with_columns(revision=pl.lit(1, pl.Int32), billed_micro=pl.lit(None, pl.Int64))
    return priced.select(name for name in STORED_SCHEMA if name != "id").sort("run_key")


def at_once(store: Store, path: Path) -> Kept | None:
    """While it is read; None where that was not possible."""
    loaded = large_file.keep_large(store, FileSource(path), lambda _: None, "ingest")
    return loaded and loaded[0]


def counts(kept: Kept | None) -> tuple[int, int, int]:
    """New, changed, unchanged."""
    assert kept is not None
    return kept.new, kept.changed, kept.unchanged


def nothing_there(store: Store) -> bool:
    with store.engine.connect() as connection:
        return connection.execute(sa.text("select not exists (select from usage_record) and not exists (select from payer)"
                                          " and not exists (select from lake_batch)")).scalar_one()


def test_it_leaves_what_reading_all_of_it_first_leaves(store: Store, year: Path) -> None:
    told: list[float] = []
    kept, batch = take(store, FileSource(year), None, keeping=told.append)
    assert (kept.lines, kept.jobs, kept.new, kept.changed, batch.lines) == (JOBS, JOBS, JOBS, 0, JOBS)
    assert usage(store).equals(as_read(store, year))
    assert told[-1] == 1.0 and told == sorted(told) and len(told) > 2
    assert runs(store) == [("taken", JOBS, JOBS, JOBS, 0, "")]
    assert lake.verify(store) == [] and not any(one.violations for one in findings(store))


def test_told_again_it_changes_what_is_told_otherwise(store: Store, year: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing at first; then one run that is corrected, one that is new, and all others as they are."""
    monkeypatch.setattr("ingest.spool.ROOM", 0)
    assert counts(at_once(store, year)) == (JOBS, 0, 0)
    assert counts(at_once(store, year)) == (0, 0, JOBS)
    header, *lines = year.read_text().splitlines()
    corrected, new = lines[700].split("|"), lines[-1].split("|")
    corrected[26], new[0], new[1], new[8] = "00:00:01", "9000000", "9000000", "newcomer"
    lines[700] = "|".join(corrected)
    year.write_text("\n".join([header, *lines, "|".join(new), ""]))
    assert counts(at_once(store, year)) == (1, 1, JOBS - 1)
    assert usage(store).drop("revision").equals(as_read(store, year).drop("revision"))
    assert usage(store).filter(revision=2)["job_id"].to_list() == [corrected[0]]
    assert lake.verify(store) == [] and not any(one.violations for one in findings(store))


def test_lines_that_cannot_be_read_are_set_aside(store: Store, year: Path) -> None:
    lines = year.read_text().splitlines()
    lines[2000] = lines[2000].replace("|COMPLETED|", "|SINGING|").replace("|FAILED|", "|SINGING|").replace("|TIMEOUT|", "|SINGING|")
    year.write_text("\n".join([*lines, ""]))
    kept, batch = take(store, FileSource(year), None)
    assert kept.jobs == JOBS - 1 and [one.line for one in batch.rejected] == [2001]
    assert runs(store) == [("taken", JOBS, JOBS - 1, JOBS - 1, 1, "")]


def test_who_is_known_pays_by_his_tier(store: Store, year: Path) -> None:
    store.run(lambda tx: tx.payers.ensure(["user0001"], "mu"))
    store.run(lambda tx: set_tier(tx, "user0001", "private", OPERATOR))
    assert at_once(store, year)
    assert set(usage(store).filter(payer="user0001")["tier"]) == {"private"}
    assert usage(store).equals(as_read(store, year))


def test_a_payer_whom_another_makes_meanwhile_pays_by_his_tier(store: Store, year: Path) -> None:
    """It is noticed at the end, and all is read anew."""
    def another(_share: float) -> None:
        store.run(lambda tx: tx.payers.ensure(["user0001"], "gov"))
    assert large_file.keep_large(store, FileSource(year), another, "ingest") is None
    assert runs(store) == [] and usage(store).is_empty()
    take(store, FileSource(year), None)
    assert set(usage(store).filter(payer="user0001")["tier"]) == {"gov"}


def test_a_run_that_stands_twice_counts_once(store: Store, year: Path) -> None:
    """Its last row is taken, as ever; what was written before that was seen is taken back."""
    lines = year.read_text().splitlines()
    first = lines[1].split("|")
    first[16] = "CANCELLED"
    year.write_text("\n".join([*lines, "|".join(first), ""]))
    assert at_once(store, year) is None and nothing_there(store) and runs(store) == []
    kept, _ = take(store, FileSource(year), None)
    assert kept.jobs == JOBS and kept.notes[-1] == "1 row repeated by a later row of the same run; the last one was taken."
    assert usage(store).filter(job_id=first[0])["state"].to_list() == ["CANCELLED"]
    assert runs(store) == [("taken", JOBS + 1, JOBS, JOBS, 0, "")]


def test_a_file_that_ends_in_the_middle_of_a_line_leaves_nothing(store: Store, year: Path) -> None:
    year.write_bytes(year.read_bytes()[:-40])
    with pytest.raises(BatchRefused, match=rf"the last line \({JOBS + 1}\) is cut off"):
        take(store, FileSource(year), None)
    assert nothing_there(store)
    (refused,) = runs(store)
    assert refused[0] == "refused" and str(refused[-1]).startswith("year.txt: the last line")


def test_it_is_for_large_text_only(store: Store, tmp_path: Path) -> None:
    assert at_once(store, tmp_path / "nowhere.txt") is None
    (tmp_path / "large.json").write_text('{"jobs": [' + " " * 200_000 + "]}")
    assert at_once(store, tmp_path / "large.json") is None
    assert runs(store) == []
