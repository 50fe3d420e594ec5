"""A digest says the same on every machine and in every release: reckoned here once more in plain Python."""

from __future__ import annotations

from hashlib import blake2b

import polars as pl
import pytest

from engine.digests import digest
from engine.revisions import DIGESTED, told_digest
from tests.usage.frames import NOON, run, running, usage, without_steps

WORD = 2**64


def by_hand(row: dict[str, object]) -> int:
    """A round for each column: a multiplication by an odd number, and the upper bits folded onto the lower ones."""
    told = 1
    for name in DIGESTED:
        value = row[name]
        if value is None:
            number = 0x7FF8_0000_0000_0001
        elif isinstance(value, str):
            number = int.from_bytes(blake2b(value.encode(), digest_size=8).digest(), "little")
        else:
            number = int(value) % WORD      # type: ignore[call-overload]
        told = (told ^ number) * 0x9E37_79B9_7F4A_7C15 % WORD
        told ^= told >> 29
    return told - WORD if told >= WORD // 2 else told


def test_a_digest_is_what_plain_python_makes_of_it() -> None:
    rows = usage(run(1), running(2, 60), without_steps(3), run(4, user_name="น้ำ", alloc_gpus=2**40))
    assert told_digest(rows).to_list() == [by_hand(row) for row in rows.iter_rows(named=True)]
    assert told_digest(usage(run(1)))[0] == 431_438_675_565_676_299


@pytest.mark.parametrize("told", [
    {"user_name": "bob"}, {"account_name": "x"}, {"partition_name": "x"}, {"state": "FAILED"}, {"start_at": None}, {"end_at": NOON + 1},
    {"elapsed_seconds": 7201}, {"alloc_cpus": 0}, {"alloc_gpus": 3}, {"alloc_mem_mib": 1}, {"cpu_used_core_seconds": 1},
    {"mem_used_mib_seconds": 1}, {"ended": False}, {"detail": 0}])
def test_whatever_is_compared_is_in_it(told: dict[str, object]) -> None:
    one, other = told_digest(usage(run(1), run(1, **told)))
    assert one != other


def test_rows_that_differ_in_one_column_never_share_one() -> None:
    rows = pl.DataFrame({"a": range(100_000), "b": 7})
    assert digest(rows, ("a", "b")).n_unique() == digest(rows, ("b", "a")).n_unique() == 100_000
