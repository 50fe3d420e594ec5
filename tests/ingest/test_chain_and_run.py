"""The chain, the window that is due, and what a run leaves behind whether its batch is taken or refused."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from data.postgres.store import Store
from data.settings import Settings
from engine.errors import BatchRefused
from engine.ports import Progress, UsageSource
from engine.usage import UsageBatch
from ingest import __main__ as ingest_worker
from ingest import run
from ingest.__main__ import seconds
from ingest.chain import Chain, configured
from ingest.run import DAY, HOUR, due, run_once, take
from ingest.sources.file import FileSource
from tests.ingest.reading import SAMPLES, job, sacct
from tests.programs import Programs


@dataclass
class Told:
    """A source that says what it is told to say, and remembers its windows."""

    usage: UsageBatch | str                              # a batch, or why there is none
    name: str = "slurmrestd"
    origin: str = "http://head:6820"
    windows: list[tuple[int, int] | None] = field(default_factory=list)

    def read(self, window: tuple[int, int] | None, progress: Progress) -> UsageBatch:
        self.windows.append(window)
        if isinstance(self.usage, str):
            raise BatchRefused(self.usage)
        return self.usage


def batch(source: str = "slurmrestd") -> UsageBatch:
    usage = FileSource(SAMPLES / "slurm-22.05/sacct-D-P.txt").read(None, lambda _: None).usage
    return UsageBatch(source, "http://head:6820", len(usage), (usage,))


def runs(store: Store) -> list[tuple[object, ...]]:
    with store.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(
            "select source, state, jobs, new, reason from ingest_run order by id"))]


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> list[UsageSource]:
    """The sources that a scheduled run finds configured."""
    sources: list[UsageSource] = []
    monkeypatch.setattr(run, "configured", lambda _: Chain(tuple(sources)))
    return sources


def test_the_first_that_answers_is_taken_and_the_others_are_named() -> None:
    down, up, spare = Told("it is down."), Told(batch("sacct"), "sacct"), Told(batch("file"), "file")
    answer = Chain((down, up, spare)).read((1, 2), lambda _: None)
    assert (answer.source, answer.skipped, spare.windows) == ("sacct", ("slurmrestd: it is down.",), [])


def test_when_none_answers_every_reason_is_told() -> None:
    with pytest.raises(BatchRefused, match=r"slurmrestd: it is down\. sacct: no such command\."):
        Chain((Told("it is down."), Told("no such command.", "sacct"))).read(None, lambda _: None)


def test_what_is_configured(tmp_path: Path) -> None:
    everything = Settings(home=tmp_path, slurmrestd_url="http://head:6820", usage_file="/srv/usage.txt", slurm_cluster="alpha")
    assert [source.name for source in configured(everything).sources] == ["slurmrestd", "sacct", "file"]
    assert configured(everything).origin == "slurmrestd, sacct, file"
    assert [source.name for source in configured(Settings(home=tmp_path)).sources] == ["sacct"]


def test_a_run_keeps_what_came(store: Store, chain: list[UsageSource]) -> None:
    chain += [Told("it is down."), Told(batch("sacct"), "sacct")]
    kept = run_once(store)
    assert kept is not None
    assert (kept.jobs, kept.new) == (47, 47)
    assert runs(store) == [("sacct", "taken", 47, 47, "slurmrestd: it is down.")]


def test_windows_overlap_and_once_a_week_they_reach_far_back(store: Store, chain: list[UsageSource]) -> None:
    """The first run asks for everything, the next for 48 hours before the watermark, a later one for 35 days."""
    told = Told(batch())
    chain.append(told)
    for _ in range(2):
        run_once(store)
    now = int(store.read(lambda tx: tx.now).timestamp())
    (first, mark), (second, _) = told.windows[0], told.windows[1]  # type: ignore[misc]
    assert first == run.FIRST
    assert second == mark - 48 * HOUR
    with store.engine.begin() as connection:                       # eight days later
        connection.execute(sa.text("update ingest_run set started_at = started_at - interval '8 days'"))
    assert abs(store.read(due)[0] - (now - 35 * DAY)) < 60
    run_once(store)
    assert abs(store.read(due)[0] - (now - 48 * HOUR)) < 60


def test_a_refused_run_leaves_the_watermark_and_says_why(store: Store, chain: list[UsageSource]) -> None:
    told = Told(batch())
    chain.append(told)
    run_once(store)
    before = store.read(lambda tx: tx.runs.watermarks())
    told.usage = "slurmdbd is down."
    assert run_once(store) is None
    assert store.read(lambda tx: tx.runs.watermarks()) == before
    assert runs(store)[-1] == ("chain", "refused", 0, 0, "slurmrestd: slurmdbd is down.")
    told.usage = batch()
    run_once(store)
    assert told.windows[2] is not None
    assert told.windows[1] is not None
    assert told.windows[2][0] == told.windows[1][0]                # the same time is asked for again


def test_a_quiet_time_moves_the_watermark(store: Store, chain: list[UsageSource]) -> None:
    """Nothing found is an answer: usage is complete up to now."""
    told = Told(batch())
    chain.append(told)
    run_once(store)
    before = store.read(lambda tx: tx.runs.watermarks())["rig"]
    told.usage = UsageBatch("slurmrestd", "http://head:6820", 0, ())
    with store.engine.begin() as connection:
        connection.execute(sa.text("update ingest_watermark set complete_to = complete_to - interval '1 hour'"))
    run_once(store)
    assert store.read(lambda tx: tx.runs.watermarks())["rig"] >= before


def test_one_run_at_a_time(store: Store, chain: list[UsageSource]) -> None:
    """Who comes while another is at work leaves at once and writes nothing."""
    inside, leave = threading.Event(), threading.Event()

    class Slow(Told):
        def read(self, window: tuple[int, int] | None, progress: Progress) -> UsageBatch:
            inside.set()
            assert leave.wait(20)
            return super().read(window, progress)

    chain.append(Slow(batch()))
    first = threading.Thread(target=run_once, args=(store,))
    first.start()
    assert inside.wait(20)
    assert run_once(store) is None
    leave.set()
    first.join()
    assert [state for _, state, *_ in runs(store)] == ["taken"]


def test_times_of_another_zone_are_remarked(store: Store) -> None:
    """A command behind ssh may not get TZ=UTC: runs from the future give it away."""
    usage = batch().usage
    kept, _ = take(store, Told(batch()), (run.FIRST, int(usage["submit_at"].min()) - HOUR))
    assert "47 runs were submitted after the asked time: does the command that is asked set TZ=UTC?" in kept.notes


def test_a_window_of_a_file_keeps_what_was_there_then(store: Store, tmp_path: Path) -> None:
    (tmp_path / "u.txt").write_text(sacct(
        job("1"), job("2", Submit="2026-11-03T00:00:00", Start="2026-11-03T00:00:00", End="2026-11-03T02:00:00"),
        job("3", State="RUNNING", End="Unknown")))
    kept, taken = take(store, FileSource(tmp_path / "u.txt"), (1793577600, 1793664000))
    assert kept.jobs == 1
    assert taken.usage["job_id"].to_list() == ["3"]
    assert "2 runs outside the asked time left out." in kept.notes


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86400)])
def test_spans_of_time(text: str, value: int) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_the_worker_runs_again_and_ends_cleanly(
        store: Store, installation_env: dict[str, str], programs: Programs, tmp_path: Path, signum: int) -> None:
    """Wherever the signal finds it: the second run may have more to do when it is seen."""
    (tmp_path / "u.txt").write_text(sacct(job("1")))
    env = {**installation_env, "COREHOURS_SACCT": "sacct-of-nowhere", "COREHOURS_USAGE_FILE": str(tmp_path / "u.txt")}
    worker = programs.start("ingest", ["--every", "1s"], env, tmp_path / "worker")
    try:
        until = time.monotonic() + 300              # a busy machine takes its time; nothing is judged by it
        while len(runs(store)) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        assert worker.pid is not None
        os.kill(worker.pid, signum)
        worker.process.join(60)
        code = worker.ended()
    finally:
        worker.kill()
    assert code == 0, worker.said()
    assert "Traceback" not in worker.said()
    assert runs(store)[0] == ("file", "taken", 1, 1, "sacct: There is no command sacct-of-nowhere here.")
    assert len(runs(store)) >= 2


def test_one_that_hangs_on_its_way_out_is_gone_in_the_end(installation_env: dict[str, str], programs: Programs, tmp_path: Path) -> None:
    """The signal came in the middle of a `with lock:`, and what is unwound asks for that lock again."""
    worker = programs.start("tests.ingest.stuck", [], installation_env, tmp_path)
    worker.process.join(60)
    code = worker.ended()
    worker.kill()
    assert code == 0, worker.said()


def test_what_a_library_makes_of_the_signal_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB's word for it; without a signal it is a failure like any other."""
    def interrupted(*_: object) -> None:
        raise RuntimeError("Query interrupted")
    monkeypatch.setattr(ingest_worker, "load", interrupted)
    monkeypatch.setattr(ingest_worker, "stopping", threading.Event())
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(RuntimeError):
        ingest_worker.main([])
    ingest_worker.stopping.set()
    assert ingest_worker.main([]) == 0


def test_one_refused_run_exits_with_1(store: Store, installation_env: dict[str, str], programs: Programs) -> None:
    done = programs.run("ingest", [], {**installation_env, "COREHOURS_SACCT": "sacct-of-nowhere"})
    assert done.returncode == 1
    assert "refused: sacct: There is no command sacct-of-nowhere here." in done.stderr
    assert os.environ.get("COREHOURS_SACCT") is None
