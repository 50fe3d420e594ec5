"""Batch scripts are read as sbatch reads them; what cannot be used is named, what cannot be read is refused by line."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import DomainError
from engine.sbatch import (
    BadRequest,
    Option,
    Request,
    array_size,
    gpu_counts,
    limit_seconds,
    memory,
    overridden,
    request,
    script_options,
)

NOW = datetime(2026, 11, 21, 15, tzinfo=UTC)
BANGKOK = ZoneInfo("Asia/Bangkok")


def read(*lines: str, stated: tuple[Option, ...] = ()) -> Request:
    """A script of these #SBATCH lines, with an hour's limit unless they say another."""
    text = "\n".join(["#!/bin/bash", "#SBATCH -t 60", *lines])
    return request(overridden(script_options(text, "job.sh"), stated), NOW, BANGKOK)


def asks(cpus: int, mem_gib: int = 0, **more: object) -> dict[str, object]:
    """What a reading is compared with."""
    return {"cpus": cpus, "mem_mib": mem_gib * 1024, **more}


@pytest.mark.parametrize(("lines", "expected"), [
    (["#SBATCH -c 8"], asks(8)),
    (["#SBATCH -c8"], asks(8)),
    (["#SBATCH --cpus-per-task=8"], asks(8)),
    (["#SBATCH --cpus-per-task 8 --ntasks 4"], asks(32)),
    (["#SBATCH -n4 -c 8"], asks(32)),
    (["#SBATCH -N 2 --ntasks-per-node=4 -c 2"], asks(16, nodes=2)),
    (["#SBATCH -N 2-4 --ntasks-per-node=4"], asks(16, nodes=4)),
    (["#SBATCH --nodes=3"], asks(3, nodes=3)),
    (["#SBATCH -n 5 -N 2"], asks(5, nodes=2)),
    (["#SBATCH --mem=64G -N 2"], asks(2, 128, nodes=2)),
    (["#SBATCH --mem-per-cpu=2g -n 8"], asks(8, 16)),
    (["#SBATCH --mem-per-gpu 40G -G 2"], asks(1, 80, gpus=(("", 2),))),
    (["#SBATCH --gres=gpu:a100:2 -N 2"], asks(2, nodes=2, gpus=(("a100", 4),))),
    (["#SBATCH --gres=gpu:2"], asks(1, gpus=(("", 2),))),
    (["#SBATCH --gres=gpu"], asks(1, gpus=(("", 1),))),
    (["#SBATCH --gres gpu:a100:2,gpu:H100:1"], asks(1, gpus=(("a100", 2), ("h100", 1)))),
    (["#SBATCH -G a100:2"], asks(1, gpus=(("a100", 2),))),
    (["#SBATCH --gpus=3"], asks(1, gpus=(("", 3),))),
    (["#SBATCH --gpus-per-node=a100:4 -N2"], asks(2, nodes=2, gpus=(("a100", 8),))),
    (["#SBATCH --gpus-per-task=1 -n 6"], asks(6, gpus=(("", 6),))),
    (["#SBATCH --cpus-per-gpu=12 --gpus=2"], asks(24, gpus=(("", 2),))),
    (["#SBATCH -a 0-15%4"], asks(1, count=16, at_once=4)),
    (["#SBATCH --array=1,3,5-9:2"], asks(1, count=5)),
    (["#SBATCH -A physics -p gpu -J name"], asks(1, account="physics")),
    (["#SBATCH --cpus-per-t 4"], asks(4)),                         # getopt takes what can only mean one option
    (["#SBATCH -c 4 # as many as there are"], asks(4)),
    (["# a remark", "", "   ", "##SBATCH -c 99", "# SBATCH -c 98", "#SBATCH -c 2"], asks(2)),
    (["#SBATCH -c 2", "#SBATCH -c 6"], asks(6)),                   # the last counts
    (["#SBATCH -c 2", "srun python train.py", "#SBATCH -c 99"], asks(2)),
    (['#SBATCH --job-name="my job" --output=\'a b.txt\' -c 3'], asks(3)),
])
def test_what_a_script_asks_for(lines: list[str], expected: dict[str, object]) -> None:
    found = read(*lines)
    assert {name: getattr(found, name) for name in expected} == expected and found.seconds == 3600


@pytest.mark.parametrize(("text", "seconds"), [
    ("90", 5400), ("90:00", 5400), ("0:30", 60), ("12:00:00", 43_200), ("2-12", 216_000), ("2-12:30", 217_800),
    ("2-12:30:01", 217_860), ("2-00:00:00", 172_800), ("48:00:00", 172_800)])
def test_time_limits_in_every_format_and_rounded_up_to_the_minute(text: str, seconds: int) -> None:
    assert limit_seconds(text) == seconds


@pytest.mark.parametrize("text", ["UNLIMITED", "infinite", "0", "-1", "1:2:3:4", "2d", "", "1.5", "400-0", "99999999999999999999", "²"])
def test_what_is_no_time_limit(text: str) -> None:
    with pytest.raises(ValueError, match=r"limit|a minute and 366 days"):
        limit_seconds(text)


@pytest.mark.parametrize(("text", "mib"), [
    ("4000", 4000), ("512M", 512), ("128G", 131_072), ("1T", 1_048_576), ("2g", 2048), ("2048K", 2), ("0", 0), ("1.5G", 1536)])
def test_sizes_are_mib_where_no_unit_stands(text: str, mib: int) -> None:
    assert memory(text) == mib


@pytest.mark.parametrize(("line", "words"), [
    ("#SBATCH --mem=4Q", "job.sh, line 3: --mem '4Q' is no size"),
    ("#SBATCH --mem=", "job.sh, line 3: --mem '' is no size"),
    ("#SBATCH -t soon", "job.sh, line 3: --time 'soon' is no time limit"),
    ("#SBATCH -t UNLIMITED", "what may run for ever has no price"),
    ("#SBATCH -c", "job.sh, line 3: -c needs a value"),
    ("#SBATCH -c many", "'many' is no whole number"),
    ("#SBATCH -c 0", "'0' is no whole number from 1"),
    ("#SBATCH -n -4", "'-4' is no whole number"),
    ("#SBATCH -G a100:two", "'a100:two' is not like 2 or a100:2"),
    ("#SBATCH --array=5-1", "'5-1' is no list of tasks"),
    ("#SBATCH --array=0-99999999999", "is no list of tasks"),
    ("#SBATCH --array=" + "0-4000000," * 400 + "1", "the same tasks again and again"),
    ("#SBATCH --job-name='open", "a quotation mark is never closed"),
    ("#SBATCH hetjob", "a heterogeneous job is several requests"),
    ("#SBATCH train.py", "train.py is no option of sbatch"),
    ("#SBATCH -% 4", "-% is no option of sbatch"),
    ("#SBATCH --begin=whenever", "job.sh, line 3: --begin 'whenever'"),
    ("#SBATCH -n 9999999 -c 9999999", "CPUs are more than 10,000,000"),
    ("#SBATCH --mem=1024P -N 9999", "MiB of memory are more than"),
])
def test_what_cannot_be_read_is_refused_by_its_line(line: str, words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(line)
    assert words in refused.value.sentence and "\n" not in refused.value.sentence


@pytest.mark.parametrize(("text", "words"), [
    ("", "job.sh is empty."), (" \n\n", "job.sh is empty."), ("#SBATCH -c 4\n", "job.sh, line 1: a job script begins with #!"),
    ("PK\x03\x04\0\0", "job.sh is no text"), ("echo hello\n", "line 1: a job script begins with #!")])
def test_what_is_no_script(text: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        script_options(text, "job.sh")


@pytest.mark.parametrize(("line", "words"), [
    ("#SBATCH --exclusive --mem=1G", "--exclusive: whole nodes are set aside"),
    ("#SBATCH --gres=gpu:1,nvme:100G --mem=1G", "job.sh, line 3: nvme:100G has no price here."),
    ("#SBATCH --frobnicate=7 --mem=1G", "--frobnicate is no option known here"),
    ("#SBATCH --constraint=a100 --mem=1G", "--constraint: which nodes fit"),
    ("#SBATCH --mem=0", "memory is not in this price"),
    ("#SBATCH -c 2", "No memory is asked for"),
])
def test_what_is_not_used_is_named(line: str, words: str) -> None:
    assert any(words in note for note in read(line).notes)


def test_a_script_without_anything_strange_has_no_note() -> None:
    assert read("#SBATCH -J x -o %j.out -e %j.err --mail-type=END --export=ALL -p gpu -q high --mem=4G -c 2").notes == ()


def test_no_time_is_refused_and_says_how_it_is_written() -> None:
    with pytest.raises(BadRequest, match="--time 2-00:00:00"):
        request(script_options("#!/bin/sh\n#SBATCH -c 4\n", "job.sh"), NOW, BANGKOK)


@pytest.mark.parametrize(("stated", "expected"), [
    ({"cpus": "16"}, asks(16, 32, nodes=2, gpus=(("a100", 8),))),
    ({"gpus": "1"}, asks(16, 32, gpus=(("", 1),))),
    ({"gpus": "1", "gpu-model": "H100"}, asks(16, 32, gpus=(("h100", 1),))),
    ({"gpu-model": "h100"}, asks(16, 32, gpus=(("h100", 8),))),
    ({"mem-total": "5G"}, asks(16, 5)),
    ({"nodes": "1"}, asks(8, 16, nodes=1, gpus=(("a100", 4),))),
    ({"count": "3"}, asks(16, 32, count=3, at_once=0)),
    ({"account": "chem"}, asks(16, 32, account="chem")),
])
def test_what_is_stated_beside_a_script_takes_its_place(stated: dict[str, str], expected: dict[str, object]) -> None:
    found = read("#SBATCH -N 2 --ntasks-per-node=4 -c 2 --mem=16G --gres=gpu:a100:4 -A physics -a 1-9%3",
                 stated=tuple(Option(name, value, "On the command line") for name, value in stated.items()))
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(("text", "begin"), [
    ("2026-12-01T08:00", datetime(2026, 12, 1, 1, tzinfo=UTC)), ("now+2hours", datetime(2026, 11, 21, 17, tzinfo=UTC)),
    ("23:30", datetime(2026, 11, 21, 16, 30, tzinfo=UTC)), ("08:00", datetime(2026, 11, 22, 1, tzinfo=UTC)),
    ("noon", datetime(2026, 11, 22, 5, tzinfo=UTC)), ("tomorrow", datetime(2026, 11, 21, 17, tzinfo=UTC))])
def test_begin_is_read_in_the_sites_zone_and_a_past_hour_is_tomorrows(text: str, begin: datetime) -> None:
    assert read(f"#SBATCH --begin={text}").begin == begin


def test_a_beginning_that_has_passed_is_now_but_a_stated_start_is_kept() -> None:
    assert read("#SBATCH --begin=2020-01-01").begin is None
    stated = (Option("start", "2026-11-01T07:00", "On the command line"),)
    assert read("#SBATCH --begin=2027-01-01", stated=stated).begin == datetime(2026, 11, 1, tzinfo=UTC)


@settings(max_examples=20)
@given(st.sets(st.integers(0, 300), min_size=1), st.sampled_from(["", "%7"]))
def test_an_array_has_as_many_tasks_as_it_names(tasks: set[int], limit: str) -> None:
    assert array_size(",".join(map(str, tasks)) + limit) == (len(tasks), 7 if limit else 0)


@given(st.dictionaries(st.sampled_from(["a100", "h100", "v100", ""]), st.integers(1, 9)))
def test_gpu_lists_add_up(counts: dict[str, int]) -> None:
    text = ",".join(f"{model}:{number}" if model else str(number) for model, number in counts.items())
    assert gpu_counts(text) == counts


@given(st.text(alphabet=st.sampled_from("#SBATCH-=: \"'\\0123456789agpu%,tnNcG\n\t\0é"), max_size=60))
def test_no_text_is_more_than_a_refusal(text: str) -> None:
    try:
        read(*text.split("\n"))
        read(f"#SBATCH {text}")
    except DomainError as refused:
        assert refused.sentence
