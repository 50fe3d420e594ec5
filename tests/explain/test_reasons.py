"""Why a job is charged or not: each reason comes out of a real flow, in one plain sentence, with its code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.postgres.store import Store
from engine.explain_reasons import names_job
from engine.policy import OPERATOR
from engine.services.receipts import mark_paid, void_receipt
from ingest.keep import refuse
from tests.engine.usage_frames import ENDED, run
from tests.explain.examples import ask, codes, load, only, publish
from tests.flows.examples import ALICE, BOB, FINANCE, bill, broken, keep_runs
from tests.ingest.reading import SAMPLES, job, sacct

UNREAD = job("8", State="WHAT")


def test_still_running_and_waiting(store: Store) -> None:
    keep_runs(store, run(1, state="RUNNING", end_at=None, ended=False),
              run(2, state="PENDING", start_at=None, end_at=None, ended=False, elapsed_seconds=0))
    assert codes(only(store, "1")) == ["running"] and "priced when it ends" in only(store, "1").reasons[0].sentence
    assert codes(only(store, "2")) == ["pending"]


def test_unbilled_then_on_a_receipt_then_paid(store: Store) -> None:
    keep_runs(store, run())
    assert codes(only(store)) == ["unbilled"]
    receipt = bill(store)
    assert [because.sentence for because in only(store).reasons] == [f"It is on receipt {receipt.number} (pending)."]
    store.run(lambda tx: mark_paid(tx, receipt.id, "cash", OPERATOR))
    assert [because.sentence for because in only(store).reasons] == [f"It is on receipt {receipt.number} (paid)."]


def test_its_receipt_was_voided(store: Store) -> None:
    keep_runs(store, run())
    receipt = bill(store)
    store.run(lambda tx: void_receipt(tx, receipt.id, "wrong payer", OPERATOR))
    one = only(store)
    assert codes(one) == ["receipt_void"] and receipt.number in one.reasons[0].sentence
    assert [(each.number, each.live) for each in one.receipts] == [(receipt.number, False)]
    bill(store)
    assert codes(only(store)) == ["on_receipt"]


def test_corrected_after_it_was_billed(store: Store) -> None:
    """Two hours become one: the next receipt takes half off; what was told before is kept, the receipt's line too."""
    keep_runs(store, run())
    receipt = bill(store)
    keep_runs(store, run(cpu_used_core_seconds=7560, elapsed_seconds=3600, mem_used_mib_seconds=14 * 1024 * 3600))
    one = only(store)
    assert codes(one) == ["corrected"]
    assert one.reasons[0].sentence == (f"It is on receipt {receipt.number} (pending). Its usage was corrected since: "
                                       "the next receipt takes off 14.10 THB.")
    [before] = one.revisions
    assert (before.revision, before.was["elapsed_seconds"], before.was["cost_micro"]) == (1, 7200, 28_200_000)
    assert one.brought is not None and (one.run.revision, one.brought.run_id) == (2, before.replaced_by)
    keep_runs(store, run(2))
    second = bill(store)
    assert only(store).reasons[0].sentence == (
        f"It is on receipt {receipt.number} (pending), with an adjustment on {second.number} (pending).")
    assert [(each.number, each.kind, each.cost_micro) for each in only(store).receipts] == [
        (second.number, "adjustment", -14_100_000), (receipt.number, "usage", 28_200_000)]
    assert broken(store) == []


def test_a_running_job_told_again_is_no_correction(store: Store) -> None:
    keep_runs(store, run(state="RUNNING", end_at=None, ended=False, elapsed_seconds=60))
    keep_runs(store, run())
    assert only(store).revisions == ()


@pytest.mark.parametrize(("change", "prices", "code", "words"), [
    ({"state": "CANCELLED", "start_at": None, "elapsed_seconds": 0, "cpu_used_core_seconds": 0, "mem_used_mib_seconds": 0,
      "alloc_gpus": 0}, "cpu: 1, gpu: 1, mem: 1", "not_run", "ended before it ran"),
    ({"alloc_gpus": 0, "mem_used_mib_seconds": 0, "cpu_used_core_seconds": 0}, "cpu: 1, gpu: 1, mem: 1", "nothing_used",
     "by policy used nothing that is billed was measured"),
    ({"alloc_gpus": 0}, "cpu: 0, gpu: 1, mem: 0", "zero_rate", "Card mu-v2 prices what it used at zero"),
    ({"alloc_gpus": 0, "mem_used_mib_seconds": 0, "cpu_used_core_seconds": 3}, "cpu: 1, gpu: 1, mem: 1", "below_smallest_coin",
     "less than the smallest coin"),
])
def test_it_costs_nothing(store: Store, change: dict[str, object], prices: str, code: str, words: str) -> None:
    """The reason stands alone while it is unbilled, and behind the receipt's once it is billed at 0.00."""
    publish(store, prices)
    keep_runs(store, run(**change), run(2))
    one = only(store)
    assert (one.run.cost_micro, codes(one)) == (0, [code]) and words in one.reasons[0].sentence
    bill(store)
    assert codes(only(store)) == ["on_receipt", code]


def test_a_line_that_could_not_be_read_names_it(store: Store, tmp_path: Path) -> None:
    """Line, reason and text are shown to those who may see ingestion; a later good reading ends it."""
    load(store, tmp_path / "u.txt", sacct(job("7"), UNREAD))
    answer = ask(store, "8")
    assert (answer.runs, codes(answer)) == ((), ["quarantined"])
    [line] = answer.rejected
    assert (line.line, line.text, line.source) == (3, UNREAD, "file") and "'WHAT' is no state" in line.reason
    assert "line 3 of ingest run" in answer.reasons[0].sentence
    assert (ask(store, "8", ALICE).rejected, codes(ask(store, "8", ALICE))) == ((), ["unknown"])
    assert codes(ask(store, "8", FINANCE)) == ["quarantined"]
    load(store, tmp_path / "u.txt", sacct(job("7"), job("8")))
    assert codes(ask(store, "8")) == ["unbilled"] and not ask(store, "8").rejected


@pytest.mark.parametrize(("text", "names", "others"), [
    (job("12"), {"12"}, {"4", "1", "2", "7200"}),
    (job("17", JobID="12_3"), {"17", "12_3"}, {"12", "3"}),
    (job("23", JobID="22+1"), {"23", "22+1"}, {"22"}),
    (job("12.batch"), {"12"}, {"batch"}),
    ("\x1f".join(["alice", "12", "train", "4"]), {"12"}, {"4"}),
    ('{"job_id": 17, "array": {"job_id": 12, "task_id": {"set": true, "number": 3}}}', {"17", "12_3"}, {"12", "3"}),
    ('{"job_id": 23, "het": {"job_id": 22, "job_offset": {"set": true, "infinite": false, "number": 1}}}', {"23", "22+1"}, {"22"}),
    ('{"account": "x", "job_id": 12, "steps": [{"cut o', {"12"}, {"1"}),
])
def test_which_jobs_a_line_names(text: str, names: set[str], others: set[str]) -> None:
    assert {one for one in names | others if names_job(text, one)} == names


def test_the_jobs_of_a_captured_answer_are_found_by_their_ids() -> None:
    """A real slurmrestd answer: every job is named by its raw id, and by its array or het id where it has one."""
    jobs = json.loads(next((SAMPLES / "slurm-26.05").glob("*.json")).read_text(encoding="utf-8"))["jobs"]
    assert jobs and all(names_job(json.dumps(one)[:2000], str(one["job_id"])) for one in jobs)


def test_a_job_nobody_told_of(store: Store) -> None:
    assert ask(store, "99").reasons[0].sentence == "No source ever told of job 99: no usage was loaded yet."
    keep_runs(store, run())
    answer = ask(store, "99")
    assert codes(answer) == ["unknown"] and [one.cluster for one in answer.complete] == ["c"]
    assert "Usage of c is complete up to 21 Sep 2026 14:13" in answer.reasons[0].sentence
    refuse(store, "slurmrestd", "http://head:6820", "slurmdbd is down.")
    assert ask(store, "99").reasons[0].sentence.endswith("The last ingest run (2, slurmrestd) was refused.")
    assert "no usage on cluster x was loaded yet, only of c" in ask(store, "1", cluster="x").reasons[0].sentence


def test_every_run_of_an_id_newest_first_and_every_way_to_write_it(store: Store) -> None:
    """Job 12 was requeued; 12_3 is a task whose raw id is 17; 22+1 has the raw id 23; one has an SLUID."""
    keep_runs(
        store, run(12, run_key="c/12/100", submit_at=100, state="REQUEUED"), run(12, run_key="c/12/200", submit_at=200),
        run(12, run_key="d_1/12/300", cluster="d_1", submit_at=300), run(17, job_id="12_3"), run(23, job_id="22+1"),
        run(30, run_key="c/s1ABC", sluid="s1ABC"))
    found = {asked: [one.run.run_key for one in ask(store, asked).runs] for asked in (
        "12", "12_3", "17", "22+1", "23", "30", " c/s1ABC ", "c/12/100", "1", "%", "c/%", "3")}
    late = ENDED - 7200
    assert found == {
        "12": ["d_1/12/300", "c/12/200", "c/12/100"], "12_3": [f"c/17/{late}"], "17": [f"c/17/{late}"], "22+1": [f"c/23/{late}"],
        "23": [f"c/23/{late}"], "30": ["c/s1ABC"], " c/s1ABC ": ["c/s1ABC"], "c/12/100": ["c/12/100"], "1": [], "%": [], "c/%": [],
        "3": []}
    assert [one.run.run_key for one in ask(store, "12", cluster="c").runs] == ["c/12/200", "c/12/100"]


def test_who_may_ask(store: Store) -> None:
    """To somebody else the job does not exist, and the answer is that of an unknown one."""
    keep_runs(store, run())
    assert len(ask(store, "1", ALICE).runs) == len(ask(store, "1", FINANCE).runs) == 1
    assert ask(store, "1", BOB) == ask(store, "1", BOB, "") and codes(ask(store, "1", BOB)) == ["unknown"]
