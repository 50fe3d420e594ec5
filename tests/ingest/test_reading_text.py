"""sacct's text: which rows are taken, which are rejected and why, and what refuses a whole batch."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from engine import slurm_text
from engine.errors import BatchRefused
from ingest import slurm
from tests.ingest.reading import COLUMNS, job, read, sacct, step

GIB = 1024


def test_the_golden_job(tmp_path: Path) -> None:
    """Two hours, 4 CPUs, one GPU, 16 GiB; two steps burnt 1:12 and 3:00 hours and held 6 and 8 GiB."""
    batch = read(tmp_path, sacct(
        job("7", AllocTRES="cpu=4,gres/gpu=1,mem=16G", TotalCPU="04:12:00"),
        step("7.batch", TotalCPU="01:12:00", AveRSS="6G"),
        step("7.0", TotalCPU="03:00:00", AveRSS="8G")))
    row = batch.usage.row(0, named=True)
    assert row["cpu_used_core_seconds"] == 15_120                # 4.2 core-hours
    assert row["alloc_gpus"] * row["elapsed_seconds"] == 7_200   # 2 GPU-hours
    assert row["mem_used_mib_seconds"] == 28 * GIB * 3600        # 28 GiB-hours
    assert (row["run_key"], row["detail"]) == ("rig/7/1793520000", 1)
    assert (batch.lines, batch.rejected, batch.notes) == (3, (), ())


def test_milliseconds_of_steps_are_added_before_they_are_cut(tmp_path: Path) -> None:
    """Three times 0.6 s is 1 s, not 0."""
    batch = read(tmp_path, sacct(job(), *(step(f"1.{n}", TotalCPU="00:00.600") for n in range(3))))
    assert batch.usage["cpu_used_core_seconds"][0] == 1


def test_without_steps_the_job_tells_for_itself(tmp_path: Path) -> None:
    row = read(tmp_path, sacct(job(TotalCPU="02:00:00.500"))).usage.row(0, named=True)
    assert (row["cpu_used_core_seconds"], row["cpu_used_from"]) == (7200, "job TotalCPU")
    assert (row["mem_used_mib_seconds"], row["mem_used_from"]) == (16 * GIB * 7200, "AllocTRES mem × ElapsedRaw")


def test_steps_that_do_not_know_their_memory(tmp_path: Path) -> None:
    """Then the allocation counts; one step that knows is enough to count what is known."""
    unknown = read(tmp_path, sacct(job(), step(AveRSS=""))).usage.row(0, named=True)
    assert unknown["mem_used_mib_seconds"] == 16 * GIB * 7200
    known = read(tmp_path, sacct(job(), step(AveRSS=""), step("1.0", AveRSS="2G", ElapsedRaw="60"))).usage.row(0, named=True)
    assert known["mem_used_mib_seconds"] == 2 * GIB * 60


def test_cpu_hidden_by_x_is_remarked_once(tmp_path: Path) -> None:
    batch = read(tmp_path, sacct(job("1"), job("2"), job("3", ElapsedRaw="0", AllocTRES="")))
    assert batch.notes == ("2 runs without steps and with TotalCPU 0: sacct -X hides it; ask without -X to bill CPU by use.",)


def test_steps_belong_to_the_run_before_them(tmp_path: Path) -> None:
    """A requeued job has two rows with one id; each has the steps that follow it."""
    first = {"Submit": "2026-11-01T07:00:00", "State": "REQUEUED"}
    batch = read(tmp_path, sacct(job("1", **first), step(TotalCPU="00:10.000"), job("2"), job("1"), step(TotalCPU="00:20.000")))
    used = batch.usage.select("state", "job_id_raw", "cpu_used_core_seconds").rows()
    assert used == [("REQUEUED", 1, 10), ("COMPLETED", 2, 0), ("COMPLETED", 1, 20)]


def test_a_sluid_says_whose_a_step_is(tmp_path: Path) -> None:
    """26.05: the batch step of a resized job outlives its row, and stays with it all the same."""
    lines = [f"{COLUMNS}|SLUID", f"{job('3', State='RESIZING')}|sA", f"{job('3', Submit='2026-11-01T09:00:00')}|sB",
             f"{step('3.batch', TotalCPU='00:30.000')}|sA", ""]
    used = read(tmp_path, "\n".join(lines)).usage.select("run_key", "sluid", "cpu_used_core_seconds").rows()
    assert used == [("rig/sA", "sA", 30), ("rig/sB", "sB", 0)]


def test_array_and_het_ids_stay_as_people_write_them(tmp_path: Path) -> None:
    ids = ["6_[3-19:2%1]", "6_2", "22+0", "6_"]
    batch = read(tmp_path, sacct(*(job(str(n), JobID=name) for n, name in enumerate(ids, 40))))
    assert batch.usage["job_id"].to_list() == ids


@pytest.mark.parametrize(("columns", "reason"), [
    ({"State": "DONE"}, "State: 'DONE' is no state this version knows"),
    ({"Submit": "yesterday"}, "Submit: 'yesterday' is no time"),
    ({"Submit": "Unknown"}, "Submit: 'Unknown' is no time"),
    ({"Start": "2026-13-01T00:00:00"}, "Start: '2026-13-01T00:00:00' is no time"),
    ({"End": "Unknown"}, "End: 'Unknown' does not fit State 'COMPLETED'"),
    ({"ElapsedRaw": "-5"}, "ElapsedRaw: '-5' is no whole number"),
    ({"ElapsedRaw": "99999999999999999999"}, "ElapsedRaw: '99999999999999999999' is no whole number"),
    ({"ElapsedRaw": ""}, "Elapsed: is empty"),
    ({"TotalCPU": "INVALID"}, "TotalCPU: 'INVALID' is no duration"),
    ({"TotalCPU": ""}, "TotalCPU: is empty although the job ran"),
    ({"AllocTRES": "cpu=4,mem=16X"}, "AllocTRES: '16X' is no size"),
    ({"AllocTRES": "cpu=-4,mem=16G"}, "AllocTRES: '-4' is no whole number"),
    ({"AllocTRES": "lots"}, "AllocTRES: 'lots' in 'lots' cannot be read"),
    ({"AllocTRES": ""}, "AllocTRES: is empty although the job ran"),
    ({"User": ""}, "User: is empty"),
    ({"Account": ""}, "Account: is empty"),
    ({"Cluster": ""}, "Cluster: is empty"),
    ({"JobIDRaw": "12_3"}, "JobIDRaw: '12_3' is no job number"),
])
def test_a_row_that_cannot_be_read_is_rejected_with_its_reason(tmp_path: Path, columns: dict[str, str], reason: str) -> None:
    """Never zero, never guessed; the rows around it are taken."""
    bad = job(**{"raw_id": "2", **columns}) if "JobIDRaw" not in columns else job("2").replace("2|2|", "12_3|12_3|", 1)
    batch = read(tmp_path, sacct(job("1"), bad, job("3")))
    assert [(one.line, one.reason, one.text) for one in batch.rejected] == [(3, reason, bad)]
    assert batch.usage["job_id_raw"].to_list() == [1, 3]
    assert batch.lines == 3


def test_a_step_that_cannot_be_read_takes_its_job_along(tmp_path: Path) -> None:
    batch = read(tmp_path, sacct(job("1"), step("1.batch"), step("1.0", AveRSS="8Q"), job("2")))
    assert [(one.line, one.reason) for one in batch.rejected] == [
        (2, "its step at line 4 cannot be read"), (4, "AveRSS: '8Q' is no size")]
    assert batch.usage["job_id_raw"].to_list() == [2]


def test_a_step_without_its_job(tmp_path: Path) -> None:
    batch = read(tmp_path, sacct(step("9.batch"), job("1")))
    assert [(one.line, one.reason) for one in batch.rejected] == [(2, "its job does not stand before it")]


def test_steps_after_a_damaged_job_are_not_an_earlier_runs(tmp_path: Path) -> None:
    """The second run of job 1 is cut in the middle of the file: its steps must not be added to the first."""
    damaged = job("1", Submit="2026-11-02T08:00:00")[:60]
    batch = read(tmp_path, sacct(job("1"), step(TotalCPU="00:10.000"), damaged, step(TotalCPU="01:00:00"), job("2")))
    assert batch.usage.select("job_id_raw", "cpu_used_core_seconds").rows() == [(1, 10), (2, 0)]
    assert [(one.line, one.reason) for one in batch.rejected] == [(4, "it has 10 columns, the header 18")]


def test_old_slurm_without_alloctres(tmp_path: Path) -> None:
    """CPUs and memory are in older columns; where GPUs may have been there too, nothing is guessed."""
    head = f"{COLUMNS}|NCPUS|NNodes|ReqMem|ReqTRES"
    rows = [f"{job('1', AllocTRES='')}|8|2|4000Mc|cpu=8", f"{job('2', AllocTRES='')}|8|2|31000Mn|",
            f"{job('3', AllocTRES='')}|8|1|16G|cpu=8,gres/gpu=1", f"{job('4', AllocTRES='')}|8|1||"]
    batch = read(tmp_path, "\n".join([head, *rows, ""]))
    assert batch.usage.select("job_id_raw", "alloc_cpus", "alloc_mem_mib").rows() == [(1, 8, 32_000), (2, 8, 62_000)]
    assert [one.line for one in batch.rejected] == [4, 5]


def test_gpus_named_alone(tmp_path: Path) -> None:
    """AllocTRES names the GPUs only; the CPUs are in a column of their own."""
    text = "\n".join([f"{COLUMNS}|NCPUS", f"{job('1', AllocTRES='gres/gpu:a100=2')}|8", ""])
    assert read(tmp_path, text).usage.select("alloc_cpus", "alloc_gpus").row(0) == (8, 2)


def test_what_never_ran_used_nothing(tmp_path: Path) -> None:
    line = job(State="CANCELLED by 1007", Start="None", ElapsedRaw="0", AllocTRES="")
    row = read(tmp_path, sacct(line)).usage.row(0, named=True)
    assert (row["ended"], row["start_at"], row["alloc_cpus"], row["mem_used_mib_seconds"]) == (True, None, 0, 0)


def test_a_run_that_comes_twice_counts_once(tmp_path: Path) -> None:
    batch = read(tmp_path, sacct(job("1", State="RUNNING", End="Unknown"), job("1")))
    assert batch.usage["state"].to_list() == ["COMPLETED"]
    assert "1 row repeated by a later row of the same run; the last one was taken." in batch.notes


# --- separators and newlines in names ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [
    "a|b", "|", "||||||", "two\nlines", "\n", "a\n\n\nb", "x|y\nz|", "<script>alert(1)</script>", "=2+5", "\u202egnp.exe",
    "é" * 10_000,
    "|" * 10_000, "1|1|name", "0|COMPLETED|2026-11-01T08:00:00", "tab\there", '"quoted"', "'", "\\", "a\rb", "a\r\nb", "\u2028",
])
@pytest.mark.parametrize("separator", ["|", "\x1f"])
def test_any_name_comes_through(tmp_path: Path, name: str, separator: str) -> None:
    lines = [job("1"), job("2", JobName="N4ME"), step("2.batch"), job("3")]
    text = sacct(*lines).replace("|", separator).replace("N4ME", name)
    batch = read(tmp_path, text)
    assert batch.usage.select("job_id_raw", "job_name").rows() == [(1, "train"), (2, name), (3, "train")]
    assert batch.rejected == ()


def test_a_newline_in_the_last_column(tmp_path: Path) -> None:
    batch = read(tmp_path, sacct(job("1", Comment="more\nthan one\n\nline"), job("2")))
    assert batch.usage["job_id_raw"].to_list() == [1, 2]
    assert batch.rejected == ()


def test_a_name_that_poses_as_the_rest_of_its_row_is_rejected(tmp_path: Path) -> None:
    """Two readings bill two different people: neither is taken."""
    forged = job("2", JobName=job("2", JobName="x", User="bob").split("|", 2)[2])
    batch = read(tmp_path, sacct(job("1"), forged, job("3")))
    assert batch.usage["job_id_raw"].to_list() == [1, 3]
    assert [(one.line, one.reason) for one in batch.rejected] == [(3, "a separator inside a name leaves its User open")]


def test_a_name_with_a_whole_row_in_it_bills_nobody_else(tmp_path: Path) -> None:
    forged = job("2", JobName=f"x\n{job('99', User='bob')}\n")
    batch = read(tmp_path, sacct(job("1"), forged, job("3")))
    assert "bob" not in set(batch.usage["user_name"])
    assert batch.usage["job_id_raw"].to_list()[0] == 1
    assert batch.usage["job_id_raw"].to_list()[-1] == 3


def test_rows_that_lie_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of any size give the same rows, lines and reasons."""
    lines = [line for n in range(1, 9) for line in (
        job(str(n), JobName=f"odd|name\nof {n}" if n % 3 == 0 else "plain", State="DONE" if n == 5 else "COMPLETED"),
        step(f"{n}.batch", TotalCPU=f"00:0{n}.000"))]
    whole = read(tmp_path, sacct(*lines))
    for size in (97, 333, 1000):
        monkeypatch.setattr(slurm, "BLOCK", size)
        parts = read(tmp_path, sacct(*lines))
        assert parts.usage.equals(whole.usage)
        assert parts.rejected == whole.rejected
    assert whole.usage["cpu_used_core_seconds"].to_list() == [1, 2, 3, 4, 6, 7, 8]


def test_line_numbers_count_physical_lines(tmp_path: Path) -> None:
    batch = read(tmp_path, sacct(job("1", JobName="a\nb\nc"), job("2", State="DONE"), job("3", JobName="|", State="LOST")))
    assert [(one.line, one.text) for one in batch.rejected] == [
        (5, job("2", State="DONE")), (6, job("3", JobName="|", State="LOST"))]


def test_a_damaged_line_is_rejected_alone(tmp_path: Path) -> None:
    batch = read(tmp_path, sacct(job("1"), job("2")[:70], job("3"), job("4")))
    assert batch.usage["job_id_raw"].to_list() == [1, 3, 4]
    assert [(one.line, one.reason) for one in batch.rejected] == [(3, "it has 11 columns, the header 18")]


# --- forms of the file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [
    lambda text: b"\xef\xbb\xbf" + text.encode(),                                  # a BOM
    lambda text: text.replace("\n", "\r\n").encode(),                              # Windows
    lambda text: text.replace("\n", "|\n").encode(),                               # --parsable
    lambda text: gzip.compress(text.encode()),
    lambda text: text.rstrip("\n").encode(),                                       # no newline at the end
    lambda text: (text + "\n\n").encode(),                                         # empty lines at the end
    lambda text: text.replace("ElapsedRaw", "Elapsed").replace("|7200|", "|02:00:00|").encode(),
    lambda text: text.replace("JobIDRaw|JobID", "JobID|JobIDRaw").encode(),
    lambda text: text.replace("2026-11-01T08:00:00", "1793520000").encode(),       # SLURM_TIME_FORMAT=%s
    lambda text: text.replace("2026-11-01T08:00:00", "2026-11-01T15:00:00+07:00").encode(),
])
def test_the_same_table_in_other_clothes(tmp_path: Path, change: object) -> None:
    text = sacct(job("1"), job("2", JobName="a|b"))
    assert read(tmp_path, change(text)).usage.equals(read(tmp_path, text).usage)  # type: ignore[operator]


def test_the_cluster_may_be_told_from_outside(tmp_path: Path) -> None:
    text = "\n".join(line.replace("|Cluster", "").replace("|rig", "") for line in sacct(job("1")).split("\n"))
    assert read(tmp_path, text, cluster="alpha").usage["run_key"][0] == "alpha/1/1793520000"
    with pytest.raises(BatchRefused, match=r"no column Cluster: add Cluster to .* or name it with --cluster"):
        read(tmp_path, text)


@pytest.mark.parametrize(("text", "sentence"), [
    (b"", "usage.txt is empty."),
    (b"\n\n", "usage.txt is empty."),
    (b"hello\nworld\n", "usage.txt, line 1, is not the header of sacct --parsable2: 'hello'."),
    (b"JobID JobName Partition Account\n1 a b c\n", "usage.txt, line 1, is not the header of sacct --parsable2"),
    (b"\x7fELF\x02\x01\x01\0\0\0\n", "usage.txt, line 1, holds a NUL byte"),
    (b"\xff\xd8\xff\xe0\n", "usage.txt, line 1, holds byte 0xff, which is no text"),
    (sacct(job("1"), job("2")).encode().replace(b"train", b"tr\xe4in", 2)[:-1] + b"\n", "usage.txt, line 2, holds byte 0xe4"),
    (sacct(job("1"), job("2")).encode()[:-90], "usage.txt: the last line (3) is cut off: 10 of 18 columns."),
    (sacct(job("1"), job("2")[:50]).encode(), "usage.txt: the last line (3) is cut off: 10 of 18 columns."),
    (sacct(job("1")).replace("|AllocTRES", "|ReqTRES").encode(), "no column AllocTRES: add AllocTRES to the list after sacct"),
    (sacct(job("1")).replace("JobIDRaw|JobID", "UID|GID").encode(), "has no column JobIDRaw or JobID: add JobIDRaw"),
    (sacct(job("1")).replace("|TotalCPU", "|UserCPU").encode(), "has no column TotalCPU"),
    (sacct(job("1")).replace("|ElapsedRaw", "|CPUTime").encode(), "has no column ElapsedRaw or Elapsed: add ElapsedRaw"),
    (sacct(job("1")).replace("|QOS", "|User").encode(), "line 1, names a column twice"),
    (b"{", "usage.txt is no complete JSON: it breaks off at line 1"),
    (b'{"jobs": [{"job_id": 1', "usage.txt is no complete JSON: it breaks off at line 1"),
    (b'{"meta": {}}', "usage.txt is JSON without jobs."),
    (b"[1, 2]", "usage.txt is JSON, but no answer of Slurm."),
    (b'{"jobs": [], "errors": [{"error_number": 7000, "description": "no database"}]}', "reports error 7000: no database."),
    (b"HTTP/1.1 401 UNAUTHORIZED\r\n\r\nAuthentication failure", "is an answer 401 UNAUTHORIZED: Authentication failure."),
    (b"\x1f\x8b\x08broken", "usage.txt is a broken gzip file"),
])
def test_whole_batches_that_are_set_aside(tmp_path: Path, text: bytes, sentence: str) -> None:
    with pytest.raises(BatchRefused) as refusal:
        read(tmp_path, text)
    assert sentence in refusal.value.detail


def test_a_table_whose_lines_have_other_columns_than_its_header(tmp_path: Path) -> None:
    with pytest.raises(BatchRefused, match="most lines do not have the header's 18 columns; line 2 has 17"):
        read(tmp_path, sacct(*(job(str(n)).rpartition("|")[0] for n in range(1, 40))))


def test_folders_and_missing_files(tmp_path: Path) -> None:
    from ingest.sources.file import read_file
    with pytest.raises(BatchRefused, match="is a folder, not a file"):
        read_file(tmp_path)
    with pytest.raises(BatchRefused, match="There is no file"):
        read_file(tmp_path / "nothing")


def test_a_header_alone_is_a_batch_without_rows(tmp_path: Path) -> None:
    batch = read(tmp_path, COLUMNS + "\n")
    assert (len(batch.usage), batch.notes) == (0, ("There is a header and no row.",))


def test_fitting_takes_typed_columns_at_their_word() -> None:
    """The search for a broken row's columns: each typed column takes one piece, a free one as many as are left."""
    from engine.slurm_columns import header
    head = header(COLUMNS, "here")
    row = job("5", JobName="a|b|c").split("|")
    fitted = slurm_text.fit(head, row)
    assert isinstance(fitted, list)
    assert fitted[2:4] == ["a|b|c", "alice"]
    assert slurm_text.fit(head, row[:-4]) == slurm_text.MISFIT


def test_many_rejections_are_counted_and_the_first_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine import slurm_usage
    monkeypatch.setattr(slurm_usage, "MOST_REJECTIONS", 10)
    batch = read(tmp_path, sacct(*(job(str(n), State="DONE") for n in range(1, 30))))
    assert len(batch.rejected) == 10
    assert "29 rows were rejected; the first 10 are kept." in batch.notes
    assert batch.usage.is_empty()


def test_names_are_never_read_as_numbers(tmp_path: Path) -> None:
    usage = read(tmp_path, sacct(job("1", User="007", Account="1e5", JobName="null"))).usage
    assert usage.select("user_name", "account_name", "job_name").row(0) == ("007", "1e5", "null")
    assert usage.schema["user_name"] == pl.String
