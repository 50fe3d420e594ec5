"""The sacct source against a command that plays sacct: what it is asked, what it is believed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import BatchRefused
from engine.usage import UsageBatch
from ingest.sources.sacct import COLUMNS, SacctSource
from tests.ingest.reading import SAMPLES, job, sacct

Play = Callable[..., SacctSource]
WINDOW = (1793520000, 1793606400)
OLD = " ".join(COLUMNS)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """A sacct that lists `columns`, prints `rows`, says `words` on stderr and exits with `code`."""
    def make(rows: str = "", words: str = "", code: int = 0, columns: str = OLD) -> SacctSource:
        (tmp_path / "rows").write_text(rows)
        (tmp_path / "columns").write_text(columns)
        script = tmp_path / "play sacct"
        script.write_text(f"""#!/bin/sh
cd {shlex.quote(str(tmp_path))}
if [ "$1" = --helpformat ]; then cat columns; exit 0; fi
for word in "TZ=$TZ" "$@"; do printf '%s\\n' "$word"; done > asked
mark=$(printf '%s' "$4" | cut -d= -f2)
sed "s/@MARK@/$mark/g" rows; printf '%s' {shlex.quote(words)} >&2; exit {code}
""")
        script.chmod(0o755)
        return SacctSource(shlex.quote(str(script)))
    return make


def read(source: SacctSource, window: tuple[int, int] | None = WINDOW) -> UsageBatch:
    return source.read(window, lambda _: None)


def units(text: str) -> str:
    return text.replace("|", "\x1f")


def test_what_it_is_asked(play: Play, tmp_path: Path) -> None:
    """All users, earlier runs, steps; UTC; a separator nobody types; sizes unrounded; columns of the oldest Slurm."""
    batch = read(play(units(sacct(job("1", JobName="N4ME"))).replace("N4ME", "a|b\nc")))
    assert batch.usage["job_name"].to_list() == ["a|b\nc"]
    asked = (tmp_path / "asked").read_text().splitlines()
    mark = asked.pop(4)
    assert re.fullmatch("--delimiter=\x1f[0-9a-f]{16}\x1f", mark)
    assert asked == ["TZ=UTC", "-a", "-D", "-P", "--noconvert", "-o", ",".join(COLUMNS),
                     "-S", "2026-11-01T08:00:00", "-E", "2026-11-02T08:00:00"]
    assert (batch.source, batch.lines) == ("sacct", 1)


def test_no_name_reads_as_another_row(play: Play) -> None:
    """Rows forged with 0x1F and newlines inside a name: the separator of a run cannot be known beforehand."""
    forged = units(job("2", JobName="x", User="bob")).split("\x1f", 2)[2] + "\n" + units(job("99")).rsplit("\x1f", 15)[0]
    rows = sacct(job("1"), job("2", JobName="N4ME"), job("3")).replace("|", "@MARK@").replace("N4ME", forged)
    batch = read(play(rows))
    assert batch.usage.select("job_id_raw", "user_name").rows() == [(1, "alice"), (2, "alice"), (3, "alice")]
    assert batch.usage["job_name"][1] == forged.replace("\x1f", "␟")
    assert batch.rejected == ()


def test_sluid_is_asked_for_where_it_is_known(play: Play, tmp_path: Path) -> None:
    known = (SAMPLES / "slurm-26.05/sacct-helpformat.txt").read_text()
    read(play(units(sacct(job("1"))), columns=known))
    assert (tmp_path / "asked").read_text().splitlines()[7].endswith(",SLUID")
    assert set(COLUMNS) <= set(known.split())


def test_without_a_window_everything(play: Play, tmp_path: Path) -> None:
    read(play(units(sacct(job("1")))), None)
    assert (tmp_path / "asked").read_text().splitlines()[-2:] == ["-S", "1970-01-01T00:00:00"]


@pytest.mark.parametrize(("rows", "words", "code", "sentence"), [
    ("", "sacct: error: Problem talking to the database", 1, "failed with exit code 1: sacct: error: Problem talking"),
    (units(sacct(job("1"))), "slurmstepd: killed", 137, "failed with exit code 137"),
    (units(sacct(job("1"))), "sacct: error: slurmdbd: connection lost", 0, "reported: sacct: error: slurmdbd: connection lost"),
    (units(sacct(job("1"), job("2")))[:-40], "", 0, "the last line (3) is cut off"),
    ("", "", 0, "sacct's output is empty"),
])
def test_an_outage_does_not_look_like_no_usage(play: Play, rows: str, words: str, code: int, sentence: str) -> None:
    with pytest.raises(BatchRefused) as refusal:
        read(play(rows, words, code))
    assert sentence in refusal.value.detail


def test_nothing_in_the_window_is_no_failure(play: Play) -> None:
    batch = read(play(units(sacct())))
    assert (len(batch.usage), batch.lines) == (0, 0)


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(BatchRefused, match="There is no command sacct-of-nowhere here"):
        read(SacctSource("sacct-of-nowhere --cluster x"))
    with pytest.raises(BatchRefused, match="COREHOURS_SACCT is no command"):
        read(SacctSource("sacct 'unclosed"))


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    with pytest.raises(BatchRefused, match="There is no command"):
        read(SacctSource(f"sacct-of-nowhere; touch {tmp_path}/broken"))
    assert not (tmp_path / "broken").exists()
