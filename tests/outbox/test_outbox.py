"""A decision and its job are one commit; the job is done by whoever is free, at least once, never twice at a time."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from data.failpoints import NAMES
from data.postgres.health import figures
from data.postgres.store import PostgresTransaction, Store
from engine.errors import NotAllowed, NotFound
from engine.outbox import ATTEMPTS, SLOWEST_SECONDS, Job, JobTrouble, Verdict, judge
from engine.payments import Outcome, ProviderTrouble
from engine.policy import OPERATOR
from engine.services.outbox import replay_job
from engine.users import Person, Role
from tests.conftest import Corehours
from tests.payments.conftest import wait_until
from tests.programs import Program, Programs
from webhooks import outbox, queue_worker
from webhooks.jobs import Context
from webhooks.metrics import Metrics
from webhooks.outbox import OutboxWorker

NEVER = 3600.0


def queue(store: Store, *keys: str) -> None:
    """Queue `test.write` jobs, all in one transaction."""
    store.run(lambda tx: [tx.outbox.add("test.write", key, {"word": key}) for key in keys], actor="finn")


def states(store: Store) -> dict[str, str]:
    """Every job's state, by key."""
    return {job.key: str(job.state) for job in store.read(lambda tx: tx.outbox.newest(10_000))}


def all_done(store: Store) -> bool:
    """True when no job waits."""
    return set(states(store).values()) <= {"done"}


@dataclass
class Hands:
    """Workers in threads of the test, and what their handler did."""

    store: Store
    did: list[str] = field(default_factory=list)
    trouble: Callable[[Job], None] = lambda job: None
    workers: list[OutboxWorker] = field(default_factory=list)

    def start(self, workers: int = 1) -> Hands:
        """Start so many sidecars' workers."""
        for _ in range(workers):
            self.workers.append(OutboxWorker(self.store, {}, Metrics([], lambda: figures(self.store)), {"test.write": self.handle}))
            self.workers[-1].start()
        return self

    def handle(self, job: Job, _context: Context) -> str:
        self.trouble(job)
        self.did.append(job.word("word"))
        return f"wrote {job.key}"


@pytest.fixture
def hands(store: Store) -> Iterator[Hands]:
    made = Hands(store)
    yield made
    for worker in made.workers:
        worker.stop()


def test_a_job_exists_exactly_when_its_decision_does(store: Store) -> None:
    def decide_and_fail(tx: PostgresTransaction) -> None:
        tx.outbox.add("test.write", "one", {})
        raise NotFound("the decision was refused")
    with pytest.raises(NotFound):
        store.run(decide_and_fail)
    assert states(store) == {}
    queue(store, "one", "one")
    assert states(store) == {"one": "queued"}, "the same kind and key is queued once"


def test_a_worker_is_woken_by_the_commit(store: Store, hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks by itself once an hour only: what it does, it was told of."""
    monkeypatch.setattr(outbox, "POLL_SECONDS", NEVER)
    hands.start()
    for key in ("one", "two"):
        queue(store, key)
        wait_until(lambda: all_done(store), f"{key} is done")
    assert hands.did == ["one", "two"]
    [second, first] = store.read(lambda tx: tx.outbox.newest())
    assert (first.outcome, first.attempts, first.created_by, second.done_at is None) == ("wrote one", 1, "finn", False)


def test_a_worker_that_was_cut_off_hears_again(store: Store, hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "POLL_SECONDS", NEVER)
    monkeypatch.setattr(queue_worker, "OUTAGE_SECONDS", 0.05)
    hands.start()
    queue(store, "one")
    wait_until(lambda: all_done(store), "one is done")
    store.run(lambda tx: tx.outbox.rows("select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen%'"
                                        " and datname = current_database()"))
    queue(store, "two")
    wait_until(lambda: all_done(store), "two is done")
    assert hands.did == ["one", "two"]


def test_four_sidecars_do_two_hundred_jobs_once_each(store: Store, hands: Hands) -> None:
    queue(store, *(f"job{number:03}" for number in range(200)))
    hands.start(4)
    wait_until(lambda: all_done(store), "all done")
    assert Counter(hands.did) == Counter(f"job{number:03}" for number in range(200))


def test_what_went_wrong_is_tried_again_later_and_later() -> None:
    passing = ProviderTrouble("no answer", Outcome.UNKNOWN)
    assert judge(passing, 1, draw=0.5) == Verdict(False, 1.0)
    assert judge(passing, 5, draw=0.5) == Verdict(False, 16.0)
    assert judge(passing, 20, draw=0.5) == Verdict(False, SLOWEST_SECONDS / 2)
    assert judge(passing, 3, draw=0.0) == Verdict(False, 0.0), "full jitter: from at once to all of it"
    assert judge(ProviderTrouble("busy", Outcome.NOT_DONE, 30), 1, draw=0.5) == Verdict(False, 31.0), "not before it said"
    assert judge(ProviderTrouble("no", Outcome.REFUSED), 1, draw=0.5) == Verdict(True)
    assert judge(ValueError("a bug"), 1, draw=0.5) == Verdict(False, 1.0)
    assert judge(ValueError("a bug"), ATTEMPTS, draw=0.5) == Verdict(True)


def test_a_refused_job_rests_in_sight_and_can_be_replayed(store: Store, hands: Hands, corehours: Corehours) -> None:
    """A passing trouble first: it is tried again by itself. Then a refusal: dead at once, until somebody replays it."""
    answers = [JobTrouble("The mail server is away."), JobTrouble("No such mailbox.", Outcome.REFUSED)]

    def trouble(_: Job) -> None:
        if answers:
            raise answers.pop(0)
    hands.trouble = trouble
    hands.start()
    queue(store, "one")
    wait_until(lambda: states(store) == {"one": "dead"}, "dead")
    [dead] = json.loads(corehours("payments", "outbox", "--state", "dead", "--json").stdout)
    assert (dead["attempts"], dead["outcome"]) == (2, "JobTrouble: A job could not be done. No such mailbox.")
    assert figures(store).outbox_dead == 1 and hands.did == []

    assert "is due" in corehours("payments", "replay", str(dead["id"]), "--outbox").stdout
    wait_until(lambda: all_done(store), "done")
    assert hands.did == ["one"]
    assert corehours("payments", "replay", str(dead["id"]), "--outbox").stderr == (
        "This step is not possible in the present state. Job 1 is done and cannot become queued.\n")


def test_who_may_replay(store: Store) -> None:
    queue(store, "one")
    for role in (Role.RESEARCHER, Role.AUDITOR):
        with pytest.raises(NotAllowed):
            store.run(lambda tx, role=role: replay_job(tx, 1, Person(9, "somebody", role, "somebody")))  # type: ignore[misc]
    with pytest.raises(NotFound):
        store.run(lambda tx: replay_job(tx, 99, OPERATOR))


def test_a_job_that_kills_every_worker_is_put_aside(store: Store, hands: Hands) -> None:
    queue(store, "deadly", "harmless")
    store.run(lambda tx: tx.outbox.execute("update outbox set attempts = :most where key = 'deadly'", most=ATTEMPTS))
    hands.start()
    wait_until(lambda: states(store) == {"deadly": "dead", "harmless": "done"}, "put aside")
    assert hands.did == ["harmless"]


def test_who_slept_past_the_lease_marks_nothing(store: Store) -> None:
    queue(store, "one")
    slow = store.run(lambda tx: tx.outbox.claim(["test.write"]))
    store.run(lambda tx: tx.outbox.execute("update outbox set leased_until = clock_timestamp() where state = 'working'"))
    quick = store.run(lambda tx: tx.outbox.claim(["test.write"]))
    assert slow and quick and (slow.id, quick.attempts) == (quick.id, 2)
    assert not store.run(lambda tx: tx.outbox.hold(slow)) and not store.run(lambda tx: tx.outbox.done(slow, "late"))
    store.run(lambda tx: tx.outbox.failed(slow, ValueError(), "late"))
    assert store.run(lambda tx: tx.outbox.hold(quick)) and store.run(lambda tx: tx.outbox.done(quick, "in time"))


def test_a_worker_takes_only_what_it_can_do(store: Store, hands: Hands) -> None:
    store.run(lambda tx: tx.outbox.add("test.other", "one", {}))
    queue(store, "two")
    hands.start()
    wait_until(lambda: states(store) == {"one": "queued", "two": "done"}, "the known kind is done")


def test_the_database_itself_guards_jobs(store: Store) -> None:
    queue(store, "one")
    for sql in ("update outbox set payload = '{}'", "delete from outbox", "truncate outbox",
                "update outbox set state = 'done', done_at = now()"):
        with pytest.raises(Exception, match=r"never changes|does not go|written once"):
            store.run(lambda tx, sql=sql: tx.outbox.execute(sql))  # type: ignore[misc]


@pytest.fixture
def work(installation_env: dict[str, str], programs: Programs, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts a process of workers; whatever still runs at the end is killed."""
    made: list[Program] = []

    def start(seconds: float = 0, **more: str) -> Program:
        made.append(programs.start("tests.outbox.working", [str(tmp_path / "written"), str(seconds)], {**installation_env, **more},
                                   tmp_path / f"worker{len(made)}"))
        return made[-1]
    yield start
    for program in made:
        program.kill()


def leases_are_over(store: Store) -> None:
    """Two minutes pass for whatever a dead worker had in hand."""
    store.run(lambda tx: tx.outbox.execute("update outbox set leased_until = clock_timestamp() where state = 'working'"))


@pytest.mark.parametrize("place", [name for name in NAMES if name.startswith("outbox.") and "put_off" not in name])
def test_killed_between_any_two_steps_the_job_is_done(
        store: Store, hands: Hands, work: Callable[..., Program], tmp_path: Path, place: str) -> None:
    """Once where the kill came before the handler or after the mark; a second time, by a handler that must look first, only
    where it fell between the two."""
    queue(store, "one")
    doomed = work(COREHOURS_FAILPOINT=place)
    wait_until(lambda: doomed.ended() is not None, f"killed at {place}")
    assert doomed.ended() == -signal.SIGKILL
    written = (tmp_path / "written").read_text().split() if (tmp_path / "written").exists() else []
    assert written == ([] if place.startswith("outbox.claim") else ["one"])
    leases_are_over(store)
    hands.start()
    wait_until(lambda: all_done(store), "done")
    assert hands.did == ([] if place == "outbox.mark.committed" else ["one"])


def test_three_processes_killed_again_and_again_do_every_job(
        store: Store, work: Callable[..., Program], tmp_path: Path) -> None:
    """Sixty jobs, nine kill -9 in the midst of them: every job is done in the end."""
    file, kills = tmp_path / "written", 9

    def written() -> list[str]:
        return file.read_text().split() if file.exists() else []
    queue(store, *(f"job{number:02}" for number in range(60)))
    running = [work(0.02) for _ in range(3)]
    for kill in range(kills):
        before = len(written())
        wait_until(lambda before=before: len(written()) > before or all_done(store), "some work")  # type: ignore[misc]
        running[kill % 3].kill()
        running[kill % 3] = work(0.02)
    leases_are_over(store)
    wait_until(lambda: all_done(store), "all done", seconds=80)
    assert set(written()) == {f"job{number:02}" for number in range(60)}
