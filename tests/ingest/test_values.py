"""Every form in which Slurm writes a time, a duration, a size or trackable resources, and what is refused."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import slurm_values as values
from engine.usage import JobState

BIG = st.integers(0, 10**7)


@pytest.mark.parametrize(("text", "seconds"), [
    ("1795232434", 1795232434),                          # SLURM_TIME_FORMAT=%s
    ("2026-11-21T03:40:34", 1795232434),                 # UTC
    ("2026-11-21T03:40:34Z", 1795232434),
    ("2026-11-21T10:40:34+07:00", 1795232434),
    ("2026-11-21T10:40:34+0700", 1795232434),
    ("2024-02-29T00:00:00", 1709164800),
])
def test_times(text: str, seconds: int) -> None:
    assert values.instant(text) == seconds
    assert values.instant_column(pl.Series([text]))[0] == seconds


@pytest.mark.parametrize("text", ["21.11.2026", "2026-11-21", "2026-02-30T00:00:00", "2026-11-21T24:01:00", "now", "-5", "1e9",
                                  "2026-11-21 03:40:34", "2026-1-1T00:00:00", " 2026-11-21T03:40:34", "2026-11-21T03:40:34.5"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        values.instant(text)
    assert values.instant_column(pl.Series([text]))[0] is None


@pytest.mark.parametrize(("text", "ms"), [
    ("00:01.257", 1_257),                                # MM:SS.mmm, how TotalCPU is written below an hour
    ("59:59.999", 3_599_999),
    ("01:12:00", 4_320_000),
    ("1-00:00:00", 86_400_000),
    ("2-03", 183_600_000),                               # D-HH
    ("2-03:30", 185_400_000),                            # D-HH:MM
    ("46-10:34:16", 4_012_456_000),
    ("365-00:00:00", 31_536_000_000),
    ("00:00:00", 0),
    ("00:00:03.001999", 3_001),                          # microseconds are cut
])
def test_durations(text: str, ms: int) -> None:
    assert values.duration_ms(text) == ms
    assert values.duration_column(pl.Series([text]))[0] == ms


@pytest.mark.parametrize("text", ["90", "UNLIMITED", "Partition_Limit", "INVALID", "1-24:00:00", "00:61", "00:60:00", "-00:00:05",
                                  "1:2:3:4", "00:00:00 ", "abc", "1-", "-", "00:00:0x", "１２:00:00", "1-2-03:00:00"])
def test_what_is_no_duration(text: str) -> None:
    """A bare number would be minutes as a limit and seconds elsewhere: it is not guessed."""
    with pytest.raises(ValueError, match="is no duration"):
        values.duration_ms(text)
    assert values.duration_column(pl.Series([text]))[0] is None


@pytest.mark.parametrize(("text", "kib"), [
    ("3172K", 3172), ("3248128", 3172), ("0", 0), ("1.50M", 1536), ("6G", 6 << 20), ("2T", 2 << 30), ("1023", 0),
])
def test_resident_sizes(text: str, kib: int) -> None:
    """AveRSS is bytes when it has no unit."""
    assert values.size_kib(text) == kib
    assert values.rss_column(pl.Series([text]))[0] == kib


@pytest.mark.parametrize(("text", "mib"), [
    ("2G", 2048), ("1000M", 1000), ("2048K", 2), ("62.50G", 64_000), ("1T", 1 << 20), ("1P", 1 << 30), ("1024", 1024), ("0", 0),
])
def test_memory(text: str, mib: int) -> None:
    assert values.memory_mib(text) == mib


@pytest.mark.parametrize("text", ["", "16X", "G", "-1G", "1.G", "1,5G", "16?", "512K", "16 G", "1e3M", "99999999999999P", "٣G"])
def test_what_is_no_memory(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no size|too large|less than 1 MiB"):
        values.memory_mib(text)


@pytest.mark.parametrize(("text", "mib"), [
    ("31000Mn", 62_000), ("4000Mc", 32_000), ("16G", 16_384), ("4096", 4096), ("1Gn", 2048)])
def test_requested_memory_of_old_versions(text: str, mib: int) -> None:
    """Two nodes, eight CPUs: `n` is per node, `c` per core."""
    assert values.requested_memory_mib(text, nodes=2, cpus=8) == mib


@pytest.mark.parametrize(("text", "cpus", "gpus", "mem_mib"), [
    ("billing=38,cpu=4,gres/gpu:a100=2,gres/gpu=2,mem=8G,node=1", 4, 2, 8192),      # the same GPUs, named twice
    ("cpu=8,gres/gpu:a100=2,mem=1T,node=1", 8, 2, 1 << 20),                         # typed only
    ("cpu=8,gres/gpu:a100=2,gres/gpu:h100=3,mem=62.50G", 8, 5, 64_000),             # several types
    ("cpu=8,gres/gpu:a100=2,gres/gpu:h100=3,gres/gpu=5,mem=2048K", 8, 5, 2),
    ("gres/gpu:a100=2", None, 2, None),
    ("cpu=1,gres/gpumem=80G,gres/gpuutil=97,gres/shard=4,mem=1G", 1, 0, 1024),      # no GPUs, though they sound like it
    ("cpu=4", 4, 0, None),
])
def test_trackable_resources(text: str, cpus: int | None, gpus: int, mem_mib: int | None) -> None:
    found = values.tres(text)
    assert (found.cpus, found.gpus, found.mem_mib) == (cpus, gpus, mem_mib)
    assert values.tres_column(pl.Series([text])).rows() == [(cpus, gpus, mem_mib, found.text)]


@pytest.mark.parametrize(("text", "exact"), [
    ("cpu=1,mem=62.50G,node=1", "cpu=1,mem=64000M,node=1"),
    ("cpu=1,mem=16384M,node=1", "cpu=1,mem=16G,node=1"),
    ("cpu=1,mem=1000M,node=1", "cpu=1,mem=1000M,node=1"),
])
def test_allocations_are_written_one_way(text: str, exact: str) -> None:
    """sacct rounds or not as it is asked; the same allocation must not look changed."""
    assert values.tres(text).text == exact


@pytest.mark.parametrize("text", [
    "cpu", "cpu=", "=4", "cpu=4,,mem=1G", "cpu=4,cpu=5", "cpu=-1", "cpu=1.5", "mem=16X,cpu=1", "gres/gpu=x"])
def test_what_are_no_resources(text: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be read|is no"):
        values.tres(text)
    assert values.tres_column(pl.Series([text])).rows() == [(None, None, None, None)]


@pytest.mark.parametrize(("text", "state"), [
    ("COMPLETED", JobState.COMPLETED), ("CANCELLED by 1007", JobState.CANCELLED), ("OUT_OF_MEMORY", JobState.OUT_OF_MEMORY),
])
def test_states(text: str, state: JobState) -> None:
    assert values.state(text) is state


@pytest.mark.parametrize("text", ["", "completed", "CANCELLED+", "DONE"])
def test_what_is_no_state(text: str) -> None:
    with pytest.raises(ValueError, match="is no state"):
        values.state(text)


@pytest.mark.parametrize(("flags", "state"), [
    (["PENDING", "REQUEUED"], "REQUEUED"), (["PENDING", "RESIZING"], "RESIZING"), (["RUNNING", "COMPLETING"], "RUNNING"),
    (["PENDING"], "PENDING"), ([], ""),
])
def test_states_as_flags(flags: list[str], state: str) -> None:
    """A requeued run has ended and was real usage: the first flag alone would hide it."""
    assert values.state_of_flags(flags) == state


@given(days=st.integers(0, 9_999), hours=st.integers(0, 23), minutes=st.integers(0, 59), seconds=st.integers(0, 59))
def test_any_duration_comes_back(days: int, hours: int, minutes: int, seconds: int) -> None:
    text = f"{f'{days}-' if days else ''}{hours:02}:{minutes:02}:{seconds:02}"
    expected = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000
    assert values.duration_ms(text) == expected
    assert values.duration_column(pl.Series([text]))[0] == expected


SHAPED = ("2026-02-28T23:59:59", "2024-02-29T00:00:00", "2099-12-31T23:59:59", "1999-12-31T23:59:59", "00:00:00", "99:59:59",
          "1-00:00:00", "12-23:59:59", "999999-00:00:01", "01:02.500", "2-03", "1795232434")
MISSHAPED = ("2026-02-29T00:00:00", "2026-01- 1T00:00:00", "2026-01-01T00:00:60", "2026-01-01T24:00:00", "2026-13-01T00:00:00",
             "2026-00-10T00:00:00", "2026-01-01 00:00:00", "00:60:00", "00:00:60", "1-24:00:00", "-1:00:00", "1- 1:00:00", "+5", "é")


def test_shapes_are_told_apart_in_one_column() -> None:
    """Texts of every width beside each other, empty ones and nulls too, each as the plain function reads it."""
    texts = [*SHAPED, None, *MISSHAPED, "", *SHAPED] * 700
    for column, read in ((values.duration_column, values.duration_ms), (values.instant_column, values.instant),
                         (values.whole_column, values.whole)):
        expected = {text: None if text is None else _or_none(read, text) for text in texts}
        assert column(pl.Series(texts)).to_list() == [expected[text] for text in texts]


@given(mib=st.integers(0, 1 << 40))
def test_any_memory_comes_back(mib: int) -> None:
    assert values.memory_mib(values.memory_text(mib)) == mib


@given(cpus=BIG, gpus=BIG, mem_mib=BIG, typed=st.booleans())
def test_any_allocation_comes_back(cpus: int, gpus: int, mem_mib: int, typed: bool) -> None:
    text = f"cpu={cpus},{f'gres/gpu:a100={gpus},' if typed else ''}gres/gpu={gpus},mem={values.memory_text(mem_mib)}"
    assert values.tres(text) == values.Tres(cpus, gpus, mem_mib, text)


@given(st.text(max_size=24))
def test_a_column_reads_what_the_plain_function_reads(text: str) -> None:
    """The fast expressions and the plain functions agree on anything at all."""
    for column, read in ((values.duration_column, values.duration_ms), (values.instant_column, values.instant),
                         (values.whole_column, values.whole)):
        assert column(pl.Series([text]))[0] == _or_none(read, text)


@given(st.from_regex(r"\A[0-9T:Z.+-]{1,25}\Z"))
def test_they_agree_on_near_misses_too(text: str) -> None:
    for column, read in ((values.duration_column, values.duration_ms), (values.instant_column, values.instant)):
        assert column(pl.Series([text]))[0] == _or_none(read, text)


def _or_none(read: object, text: str) -> int | None:
    try:
        return read(text)  # type: ignore[operator, no-any-return]
    except ValueError:
        return None
