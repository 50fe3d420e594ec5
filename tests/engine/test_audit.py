"""The audit chain: a true chain verifies; whatever is done to it is found, and where."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.audit import GENESIS, Anchor, AuditEntry, canonical, link, verify

KEYS = {"k1": b"secret"}
AT = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)


def chain(length: int) -> list[AuditEntry]:
    """A true chain of `length` entries."""
    entries: list[AuditEntry] = []
    for number in range(1, length + 1):
        prev = entries[-1].hash if entries else GENESIS
        body = canonical(AT, "alice", "receipt.created", f"receipt:{number}", {"total_micro": number})
        hash = link(b"secret", prev, body)
        entries.append(AuditEntry(number, AT, "alice", "receipt.created", f"receipt:{number}", body, "k1", prev, hash))
    return entries


def head(entries: list[AuditEntry]) -> Anchor:
    return Anchor(entries[-1].id, entries[-1].hash) if entries else Anchor(0, GENESIS)


@given(st.integers(0, 30))
def test_a_true_chain_verifies(length: int) -> None:
    entries = chain(length)
    found = verify(entries, head(entries), [head(entries)], KEYS)
    assert (found.ok, found.checked) == (True, length)


@given(st.integers(0, 9), st.sampled_from(["body", "actor", "at", "hash", "prev_hash", "key_id"]))
def test_a_changed_entry_is_found(place: int, field: str) -> None:
    entries = chain(10)
    value = {"body": entries[place].body.replace(b"alice", b"mallo"), "actor": "mallory", "at": AT.replace(year=2025),
             "hash": bytes(31) + b"x", "prev_hash": bytes(31) + b"y", "key_id": "k9"}[field]
    entries[place] = replace(entries[place], **{field: value})
    found = verify(entries, head(chain(10)), [], KEYS)
    assert found.first_bad == place + 1 or (field == "hash" and found.first_bad in (place + 1, place + 2))


@given(st.integers(0, 9))
def test_a_removed_entry_is_found(place: int) -> None:
    entries = chain(10)
    del entries[place]
    assert verify(entries, head(chain(10)), [], KEYS).first_bad == place + 1


@given(st.integers(0, 8))
def test_two_swapped_entries_are_found(place: int) -> None:
    entries = chain(10)
    entries[place], entries[place + 1] = entries[place + 1], entries[place]
    assert verify(entries, head(chain(10)), [], KEYS).first_bad == place + 1


@pytest.mark.parametrize("kept", [0, 5, 9])
def test_a_tail_cut_off_with_its_head_is_found_by_an_anchor(kept: int) -> None:
    whole = chain(10)
    cut = whole[:kept]
    assert verify(cut, head(cut), [], KEYS).ok                       # inside the database it looks whole
    assert verify(cut, head(cut), [head(whole)], KEYS).first_bad == kept + 1


def test_a_second_history_with_a_stolen_head_is_found_by_an_anchor() -> None:
    other = [replace(entry, hash=bytes(32)) for entry in chain(3)]
    assert not verify(other, head(other), [head(chain(3))], KEYS).ok
